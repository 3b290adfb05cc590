"""Step 1 in a real window: drops, new studies, the table, removing, sample heads, two windows."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from bids_dataset import CROWDED, make_dataset
from gui_fixtures import child, click, press_key, process_events, wait_until
from qtpy.QtCore import QMimeData, QPoint, QPointF, QSettings, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_singlestrip.events import Finished
from napari_singlestrip.sample_data import sample_head, write_sample_head
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.scans import add_scans
from napari_singlestrip.widgets.scans import dropped_files as incoming
from napari_singlestrip.widgets.scans import table as table_module
from napari_singlestrip.widgets.scans.table import CHECK
from napari_singlestrip.widgets.session import user_settings as preferences
from napari_singlestrip.widgets.session.window_lock import FILE, WindowMark

if TYPE_CHECKING:
    from conftest import Heads

pytest_plugins = ("gui_fixtures",)

Window = Any


@pytest.fixture(autouse=True)
def own_preferences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of recent studies is that of the test, and home is a folder of its own."""
    file = str(tmp_path / "preferences.ini")
    kept = QSettings(file, QSettings.Format.IniFormat)
    monkeypatch.setattr(preferences, "settings", lambda: kept)
    for module in (incoming, add_scans):
        monkeypatch.setattr(module, "home", lambda: tmp_path / "home")


@pytest.fixture
def said(window: Window) -> Iterator[list[tuple[str, str]]]:
    """What the window told."""
    told: list[tuple[str, str]] = []
    window.session.told.connect(lambda text, level: told.append((text, level)))
    yield told


def drop(window: Window, *paths: Path) -> None:
    """Drop files on the dock, as a file manager does."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    action, button = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    none = Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(50, 50), action, data, button, none)
    QApplication.sendEvent(window, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(window, QDropEvent(QPointF(50, 50), action, data, button, none))
    process_events()


def scan(path: Path, codes: str = "RAS", *, frames: int = 1, tilt: float = 0.0,
         spacing: tuple[float, float, float] = (6, 6, 6)) -> Path:
    """A box of a head with a bright arrow at the patient's left."""
    shape = tuple(int(180 / mm) for mm in spacing)
    values = np.random.default_rng(0).integers(20, 40, shape).astype(np.int16)
    values[:2, shape[1] // 2, shape[2] // 2] = 1000  # RAS: the first voxels are leftmost
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes)
    )
    c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    rotation = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    affine = rotation @ np.diag([*spacing, 1.0]) @ nib.orientations.inv_ornt_aff(turn, shape)
    stored = nib.orientations.apply_orientation(values, turn)
    if frames > 1:
        stored = np.repeat(stored[..., None], frames, axis=3)
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(stored, affine), path)
    return path


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    """A folder as it comes from a hospital."""
    folder = tmp_path / "hospital"
    scan(folder / "pir.nii.gz", "PIR")
    scan(folder / "lps.nii.gz", "LPS")
    scan(folder / "oblique.nii.gz", "RAS", tilt=8)
    scan(folder / "fourd.nii.gz", "RAS", frames=3)
    scan(folder / "thick.nii.gz", "LPS", spacing=(2, 2, 6))
    (folder / "broken.nii.gz").write_bytes(b"\x1f\x8b\x08 no scan")
    (folder / "letter.docx").write_bytes(b"Dear colleague")
    return folder


def panel_of(window: Window) -> Any:
    return window.panels["scans"]


def looked_at(window: Window) -> None:
    """Wait until all headers and images are there."""
    panel = panel_of(window)
    wait_until(lambda: not panel.checks.busy and not panel.table.check_next()
               and not window.session.thumbnails.busy, "checks", 60)


def checks(window: Window) -> dict[str, str]:
    table = panel_of(window).table
    return {row.name: str(table.data(table.index(n, CHECK))) for n, row in enumerate(table.rows)}


def open_study(window: Window, study: Study) -> None:
    window.session.take_study(study)
    process_events()
    looked_at(window)


def click_row(window: Window, name: str) -> None:
    view = panel_of(window).view
    index = view.scans.mapFromSource(view.scans.table.index(view.scans.table.row_of(name), 0))
    view.scrollTo(index)
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton,
                     pos=view.visualRect(index).center())
    process_events()


# --- beginning


def test_empty_state_says_what_to_do(window: Window) -> None:
    assert child(window, "empty").isVisible()
    assert "Paint one brain" in child(window, "empty_text").text()
    assert "drop files, a folder of scans or a study here" in child(window, "empty_drop").text()
    for name in ("my_scans", "add_files", "open_study", "try_samples", "try_finished"):
        assert child(window, name).isVisible() and child(window, name).toolTip()
    assert not child(window, "scan_table").isVisible()
    assert not child(window, "recent").isVisible()


def test_a_bids_dataset_gives_its_structural_scans(
    window: Window, tmp_path: Path, said: list[tuple[str, str]]
) -> None:
    drop(window, make_dataset(tmp_path / "ds"))
    assert f"{len(CROWDED)} scans found" in child(window, "place_question").text()
    assert any("1 bold" in text and level == "warning" for text, level in said)


def test_a_hospital_folder_is_dropped(
    window: Window, hospital: Path, said: list[tuple[str, str]]
) -> None:
    before = {path: path.read_bytes() for path in hospital.iterdir()}
    drop(window, hospital)
    assert child(window, "place_row").isVisible()
    assert child(window, "place").text() == str(hospital.with_name("hospital_singlestrip"))
    assert "6 scans found" in child(window, "place_question").text()
    click(child(window, "place_ok"))
    looked_at(window)
    found = checks(window)
    assert found["pir"] == "ok" and found["lps"] == "ok"
    assert found["oblique"] == "8° oblique"
    assert found["fourd"] == "4D: mean of 3 frames"
    assert found["thick"] == "6 mm slices"
    assert found["broken"] == "cannot be used"
    summary = child(window, "summary")
    wait_until(lambda: "skipped: broken" in summary.text(), "the summary")
    assert not [text for text, level in said if level == "error"]
    assert {path: path.read_bytes() for path in hospital.iterdir()} == before

    left_to_right = {}
    for name in ("pir", "lps", "oblique", "fourd", "thick"):
        click_row(window, name)
        assert window.session.scan == name
        image = np.asarray(window.session.layers.showing.image_layer.data)
        bright = np.argwhere(image > 500)
        left_to_right[name] = bright[:, 2].min() / image.shape[2]
        assert bright[:, 2].max() == image.shape[2] - 1  # the patient's left is at the right
    assert min(left_to_right.values()) > 0.9

    click_row(window, "broken")
    assert said[-1][1] == "error" and said[-1][0].startswith("broken.nii.gz")
    assert window.session.scan == "thick"  # what was on screen stays


def test_what_is_no_scan_is_told_and_the_rest_goes_on(
    window: Window, hospital: Path, said: list[tuple[str, str]]
) -> None:
    drop(window, hospital / "pir.nii.gz", hospital / "letter.docx", hospital / "gone.nii.gz")
    assert "letter.docx does not end like a scan" in said[-1][0] and said[-1][1] == "warning"
    assert "1 scan found" in child(window, "place_question").text()
    press_key(child(window, "place"), Qt.Key.Key_Return)
    assert window.session.need_study().scans.names == ("pir",)


def test_only_rubbish_is_told(
    window: Window, hospital: Path, said: list[tuple[str, str]]
) -> None:
    drop(window, hospital / "letter.docx")
    assert said[-1][1] == "error" and "letter.docx" in said[-1][0]
    assert not child(window, "place_row").isVisible()
    assert child(window, "empty").isVisible()


def test_cancel_leaves_everything_as_it_was(window: Window, hospital: Path) -> None:
    drop(window, hospital)
    click(child(window, "place_cancel"))
    assert child(window, "empty").isVisible() and not child(window, "place_row").isVisible()
    assert not hospital.with_name("hospital_singlestrip").exists()


def test_a_place_that_is_in_use_is_told(
    window: Window, hospital: Path, said: list[tuple[str, str]], tmp_path: Path
) -> None:
    drop(window, hospital)
    child(window, "place").setText(str(hospital))
    click(child(window, "place_ok"))
    assert said[-1][1] == "error" and "not empty" in said[-1][0]
    assert child(window, "place_row").isVisible()  # to be corrected
    child(window, "place").setText(str(tmp_path / "elsewhere"))
    click(child(window, "place_ok"))
    assert window.session.need_study().folder == tmp_path / "elsewhere"


def test_a_study_is_dropped(window: Window, study: Study) -> None:
    drop(window, study.folder)
    assert window.session.need_study().folder == study.folder
    assert child(window, "scan_table").isVisible() and not child(window, "empty").isVisible()
    window.session.close_study()
    drop(window, study.folder / "study.json")
    assert window.session.need_study().folder == study.folder


def test_more_scans_are_dropped_on_a_study(
    window: Window, study: Study, hospital: Path, said: list[tuple[str, str]]
) -> None:
    open_study(window, study)
    shutil.copy(hospital / "pir.nii.gz", hospital / "pir.nii")
    (hospital / "broken.nii.gz").unlink()
    drop(window, hospital)
    assert len(window.session.need_study().scans.names) == 4 + 5
    assert "5 scans added" in said[-1][0] and "has the same name as" in said[-1][0]
    drop(window, hospital / "pir.nii")
    assert said[-1][0] == "The study already has these scans."


def test_scans_of_one_file_name_are_told_apart_by_their_folders(
    window: Window, hospital: Path, said: list[tuple[str, str]], tmp_path: Path
) -> None:
    for patient in ("patient1", "patient2", "patient3"):
        (tmp_path / "ward" / patient).mkdir(parents=True)
        shutil.copy(hospital / "pir.nii.gz", tmp_path / "ward" / patient / "T1.nii.gz")
    drop(window, tmp_path / "ward" / "patient1", tmp_path / "ward" / "patient2")
    assert "2 scans found" in child(window, "place_question").text()
    press_key(child(window, "place"), Qt.Key.Key_Return)
    assert window.session.need_study().scans.names == ("patient1_T1", "patient2_T1")
    assert "distinguished by their folders: patient1_T1" in said[-1][0]
    drop(window, tmp_path / "ward")
    names = ("patient1_T1", "patient2_T1", "patient3_T1")
    assert window.session.need_study().scans.names == names
    assert [row.name for row in window.panels["scans"].table.rows] == list(names)
    click_row(window, "patient3_T1")
    assert window.session.scan == "patient3_T1"


def test_a_chosen_row_is_drawn_without_a_word_of_qt(
    window: Window, study: Study, qtlog: Any
) -> None:
    open_study(window, study)
    click_row(window, study.scans.names[0])
    child(window, "scan_table").grab()
    assert [record.message for record in qtlog.records] == []


def test_a_damaged_study_is_told(
    window: Window, study: Study, said: list[tuple[str, str]]
) -> None:
    (study.folder / "study.json").write_text("{")
    drop(window, study.folder)
    assert said[-1][1] == "error" and "is damaged" in said[-1][0]
    assert window.session.study is None and child(window, "empty").isVisible()


def test_studies_of_before_are_offered(window: Window, study: Study) -> None:
    open_study(window, study)
    window.session.close_study()
    process_events()
    label = child(window, "recent")
    assert label.isVisible() and study.folder.name in label.text()
    label.linkActivated.emit(str(study.folder))
    assert window.session.need_study().folder == study.folder


def test_recent_studies_are_few_and_exist(tmp_path: Path) -> None:
    for n in range(7):
        (tmp_path / f"s{n}").mkdir()
        (tmp_path / f"s{n}" / "study.json").write_text("{}")
        preferences.remember_study(tmp_path / f"s{n}")
    preferences.remember_study(tmp_path / "s4")
    assert [path.name for path in preferences.recent_studies()] == ["s4", "s6", "s5", "s3", "s2"]
    shutil.rmtree(tmp_path / "s6")
    assert [path.name for path in preferences.recent_studies()] == ["s4", "s5", "s3", "s2"]


# --- the table


def test_a_click_shows_the_scan_and_enter_too(window: Window, study: Study) -> None:
    open_study(window, study)
    click_row(window, study.scans.names[2])
    assert window.session.scan == study.scans.names[2]
    view = child(window, "scan_table")
    press_key(view, Qt.Key.Key_Up)
    assert window.session.scan == study.scans.names[1]
    assert view.chosen == [study.scans.names[1]]
    press_key(view, Qt.Key.Key_Return)
    assert window.session.scan == study.scans.names[1]


def test_the_table_follows_the_scan_on_screen(window: Window, study: Study) -> None:
    open_study(window, study)
    window.session.show_scan(study.scans.names[3])
    assert child(window, "scan_table").chosen == [study.scans.names[3]]
    panel_of(window).previous_scan()
    assert window.session.scan == study.scans.names[2]
    panel_of(window).next_scan()
    assert window.session.scan == study.scans.names[3]
    panel_of(window).next_scan()  # the last one
    assert window.session.scan == study.scans.names[3]


def test_paint_this_one(window: Window, study: Study) -> None:
    open_study(window, study)
    assert not child(window, "paint_this_one").isEnabled()
    click_row(window, study.scans.names[1])
    click(child(window, "paint_this_one"))
    assert window.session.step == "paint" and window.session.scan == study.scans.names[1]


def test_remove_and_undo(window: Window, study: Study) -> None:
    open_study(window, study)
    name = study.scans.names[0]  # the painted one
    path = study.scans.path(name)
    click_row(window, name)
    click(child(window, "remove_scan"))
    assert name not in study.scans.names and path.exists()
    assert window.session.scan == ""  # it is not on screen any more
    click(child(window, "undo_remove"))
    assert name in study.scans.names and study.masks.names() == (name,)
    assert not child(window, "undo_remove").isVisible()


def test_all_scans_cannot_be_removed(window: Window, study: Study) -> None:
    open_study(window, study)
    child(window, "scan_table").selectAll()
    assert not child(window, "remove_scan").isEnabled()


def test_sort_and_filter(window: Window, study: Study) -> None:
    open_study(window, study)
    child(window, "sort").setCurrentIndex(child(window, "sort").findData("state"))
    view = child(window, "scan_table")
    assert view.scans.name_at(view.scans.index(0, 0)) == study.scans.names[0]
    QTest.keyClicks(child(window, "filter"), "painted")
    assert view.scans.rowCount() == 1
    click_row(window, study.scans.names[0])
    assert window.session.scan == study.scans.names[0]


def test_summary_counts(window: Window, ranked_study: Study) -> None:
    open_study(window, ranked_study)
    assert child(window, "summary").text() == "4 scans · 1 painted · 3 predicted"


def test_every_control_is_explained_and_fits(window: Window, study: Study) -> None:
    open_study(window, study)
    window.resize(430, 768)
    process_events()
    from qtpy.QtWidgets import QComboBox, QLineEdit, QPushButton

    panel = panel_of(window)
    for kind in (QPushButton, QComboBox, QLineEdit):
        for widget in panel.findChildren(kind):
            if widget.objectName().startswith("qt_"):
                continue
            assert widget.objectName() and widget.toolTip(), widget
            if widget.isVisible() and kind is QPushButton:
                assert widget.width() >= widget.minimumSizeHint().width(), widget.text()
    assert panel.minimumSizeHint().width() <= 430


# --- two windows


def test_a_second_window_is_warned(
    window: Window, study: Study, said: list[tuple[str, str]]
) -> None:
    first = WindowMark(study.folder)
    open_study(window, study)
    assert any("Another window on this computer" in text for text, _ in said)
    window.session.close_study()
    assert (study.folder / FILE).exists()  # that of the first window
    first.release()
    assert not (study.folder / FILE).exists()
    process_events()


def test_a_window_alone_is_not_warned(
    window: Window, study: Study, said: list[tuple[str, str]]
) -> None:
    open_study(window, study)
    assert (study.folder / FILE).exists()
    assert not [text for text, level in said if level == "warning"]
    window.session.close_study()
    assert not (study.folder / FILE).exists()


@pytest.mark.parametrize("change", [{}, {"pid": 2**22 + 1}, {"host": "gpu-box"}, {"pid": "?"}])
def test_a_killed_window_is_not_in_the_way(
    window: Window, study: Study, said: list[tuple[str, str]], change: dict[str, Any]
) -> None:
    dead = WindowMark(study.folder)
    content = json.loads((study.folder / FILE).read_text())
    dead.release()
    (study.folder / FILE).write_text(json.dumps({**content, **change}))
    if change.keys() & {"host"} or change == {"pid": "?"}:  # only time tells
        os.utime(study.folder / FILE, (0, 0))
    open_study(window, study)
    assert not [text for text, level in said if level == "warning"]
    process_events()


# --- sample heads


def test_a_sample_head_is_on_screen_at_once_and_others_come(
    window: Window, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The real command in a real process, with large voxels; no question is asked."""
    session = window.session
    start = session.start_job
    monkeypatch.setattr(
        session, "start_job",
        lambda command, kind: start([*command[:3], "3", "--spacing", "8"], kind),
    )
    began = time.process_time()
    click(child(window, "try_samples"))
    first = session.layers.showing.image_on_display()
    assert time.process_time() - began < 3  # a person does not wait for it
    assert first is not None and min(first.shape) >= 128  # no blocks
    assert session.step == "paint" and not child(window, "place_row").isVisible()
    study = session.need_study()
    assert study.folder == tmp_path / "home" / "sample_study" / "study"
    assert len(study.scans.names) == 1 and session.job.status.busy
    wait_until(lambda: not session.job.status.busy, "the other heads", 120)
    assert len(study.scans.names) == 3
    assert study.references.path(study.scans.names[1]) is not None
    assert study.masks.names() == ()  # to be painted


def test_sample_heads_that_are_there_are_opened_and_the_missing_ones_drawn(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = window.session
    begun: list[list[str]] = []
    monkeypatch.setattr(session, "start_job", lambda command, kind: begun.append(command))
    click(child(window, "try_samples"))
    folder = session.need_study().folder
    session.close_study()
    process_events()
    window.go_to("scans")
    click(child(window, "try_samples"))
    assert session.need_study().folder == folder
    assert len(begun) == 2 and begun[0] == begun[1]


def test_the_finished_study_asks_nothing(
    window: Window, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session, begun = window.session, []
    monkeypatch.setattr(session, "start_job", lambda command, kind: begun.append(command))
    click(child(window, "try_finished"))
    folder = tmp_path / "home" / "sample_heads"
    assert begun == [["samples", str(folder), "--finished"]]
    assert not child(window, "place_row").isVisible()
    write_sample_head(folder, sample_head(0, spacing_mm=8.0))
    Study.create(folder / "finished", [folder / "scans"])
    session.job_event.emit(Finished(1.0))
    assert session.need_study().folder == folder / "finished" and session.step == "review"
    session.close_study()
    process_events()
    window.open_sample("finished")
    assert session.need_study().folder == folder / "finished" and len(begun) == 1


# --- files that are back


def test_a_scan_whose_file_is_back_can_be_used(
    window: Window, heads: Heads, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    panel_of(window).checks._again.setInterval(50)
    mine = [Path(shutil.copy(scan, tmp_path)) for scan in heads.scans]  # they are for all tests
    study = Study.create(tmp_path / "study", mine)
    name = study.scans.names[1]
    path = study.scans.path(name)
    away = path.rename(path.with_name("away"))
    open_study(window, study)
    assert checks(window)[name] == "cannot be used"
    wait_until(lambda: name in child(window, "summary").text(), "the summary")
    wait_until(lambda: (window.session.thumbnails.notes(study, name) or ("", ""))[1], "its picture")
    view = panel_of(window).view
    view.setUpdatesEnabled(False)  # as in a long table: not on the screen
    request.addfinalizer(lambda: view.setUpdatesEnabled(True))
    away.rename(path)
    wait_until(lambda: checks(window)[name] != "cannot be used", "the scan that is back")
    wait_until(lambda: name not in child(window, "summary").text(), "the summary")
    again = panel_of(window).checks._again
    wait_until(lambda: not again.isActive(), "the end of looking")


def test_what_the_states_follow_from_is_read_when_it_changed(
    window: Window, ranked_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for another scan on screen, and not for each step of a job: of thousands, one waits."""
    open_study(window, ranked_study)
    read: list[Study] = []
    rows_of = table_module.rows_of

    def counting(study: Study, *more: Any) -> list[table_module.Row]:
        read.append(study)
        return rows_of(study, *more)

    monkeypatch.setattr(table_module, "rows_of", counting)
    a, b = ranked_study.scans.names[:2]
    for name in (a, b):
        window.session.show_scan(name)
        assert panel_of(window).view.chosen == [name]
    status = window.session.job.status
    for _ in range(3):
        window.session.job_changed.emit(status)
    assert not read
    ranked_study.decisions.decide(b, "accepted")
    assert len(read) == 1
    assert "1 accepted" in child(window, "summary").text()


def test_no_header_is_read_while_another_step_is_open(window: Window, study: Study) -> None:
    window.session.step_requested.emit("train")
    window.session.take_study(study)
    process_events()
    panel = panel_of(window)
    panel.checks.read(study)
    assert panel.checks.busy and not panel.checks._reading
    window.session.step_requested.emit("scans")
    looked_at(window)
    assert "..." not in checks(window).values()
