"""Step 5 in a real window with a real worker: models, scans, results, export."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from cut_controls import cut_text
from gui_fixtures import child, click, press_key, process_events, wait_until
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_singlestrip.engine.learning.checkpoint import load_checkpoint, save_checkpoint
from napari_singlestrip.engine.learning.model_card import card_to_json, read_card
from napari_singlestrip.events import Cancelled, Failed, Finished
from napari_singlestrip.sample_data import render_head
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.volumes_table import BRAIN_SUFFIX, MASK_SUFFIX, read_table
from napari_singlestrip.vocabulary import StudyPart
from napari_singlestrip.widgets.apply import export_box

if TYPE_CHECKING:
    from conftest import Heads

    from napari_singlestrip.widgets.apply.panel import ApplyPanel
    from napari_singlestrip.widgets.dock.main_widget import StripWidget

pytest_plugins = ("gui_fixtures",)

JOB_SECONDS = 300  # on a computer that is busy with other things


@dataclass
class Bench:
    """The window with step 5 open."""

    window: StripWidget

    @property
    def panel(self) -> ApplyPanel:
        return self.window.panels["apply"]  # type: ignore[return-value]

    @property
    def job(self) -> Any:
        return self.window.session.job

    def click(self, name: str) -> None:
        widget = child(self.panel, name)
        scroll_to(widget)
        click(widget)

    def finish(self) -> Any:
        """Wait for the job, and return how it ended."""
        wait_until(lambda: not self.job.status.busy, "the job to end", JOB_SECONDS)
        process_events()
        return self.job.status.end

    def rows(self) -> list[list[str]]:
        """What the table says."""
        model = self.panel.results.table.model()
        assert model is not None
        return [
            [model.index(r, c).data() for c in range(model.columnCount())]
            for r in range(model.rowCount())
        ]

    def double_click(self, row: int) -> None:
        table = self.panel.results.table
        scroll_to(table)
        place = table.visualRect(table.model().index(row, 0)).center()  # type: ignore[union-attr]
        for press in (QTest.mouseClick, QTest.mouseDClick):
            press(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        process_events()


def scroll_to(widget: Any) -> None:
    from qtpy.QtWidgets import QScrollArea

    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QScrollArea):
        parent = parent.parentWidget()
    if parent is not None:
        parent.ensureWidgetVisible(widget)
        process_events()


@pytest.fixture
def bench(window: StripWidget) -> Iterator[Bench]:
    click(child(window, "step_apply"))
    yield Bench(window)
    window.session.job.close()


@pytest.fixture
def trained(bench: Bench, trained_copy: Study) -> Bench:
    bench.window.session.take_study(trained_copy)
    click(child(bench.window, "step_apply"))
    return bench


@pytest.fixture(scope="module")
def model(trained_study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from napari_singlestrip.pipeline.trained_model import export_model

    path = tmp_path_factory.mktemp("exported") / "given.pt"
    export_model(trained_study, path)
    return path


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One head in all 48 orientations, each with its own header codes."""
    folder = tmp_path_factory.mktemp("turned")
    head = render_head(8, "T1w", 9.0)
    image = nib.Nifti1Image(head.data.astype(np.int16), head.affine)
    files = {}
    for axes in itertools.permutations(("RL", "AP", "SI")):
        for n, letters in enumerate(itertools.product(*axes)):
            codes = "".join(letters)
            target = nib.orientations.axcodes2ornt(codes)
            turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), target)
            made = image.as_reoriented(turn)
            made.set_sform(made.affine, code=1 + n % 4)
            made.set_qform(made.affine, code=1 + (n + 1) % 4)
            files[codes] = folder / f"head_{codes}.nii.gz"
            nib.save(made, files[codes])
    assert len(files) == 48
    return files


def load(path: Path) -> Any:
    return nib.load(path)  # nibabel's own types do not know of values


# --- what can be chosen


def test_without_a_model_the_step_says_what_to_do(bench: Bench) -> None:
    panel = bench.panel
    assert panel.empty.isVisible()
    assert not panel.models.isVisible()
    assert not panel.apply.isEnabled()
    for name in ("export_masks", "export_model", "write_report", "open_report", "scans_of_study"):
        assert not child(panel, name).isEnabled(), name
    bench.click("go_train")
    assert bench.window.session.step == "train"


def test_models_are_listed_newest_first_with_their_facts(trained: Bench) -> None:
    models = trained.panel.models
    assert models.isVisible()
    assert [c.round for c in models.choices()] == [1, 0]
    chosen = models.value()
    assert chosen is not None and chosen.round == 1
    assert chosen.title == "Round 1 from round 0  ·  newest"
    for fact in ("scans", "Dice 0.", " on synthetic heads", "quick"):
        assert fact in chosen.facts
    assert "1 painted" in chosen.tip
    QTest.mouseClick(
        models.viewport(), Qt.MouseButton.LeftButton,
        pos=models.visualItemRect(models.item(1)).center(),
    )
    chosen = models.value()
    assert chosen is not None and chosen.options == ["--round", "0"]
    trained.window.session.study_changed.emit(StudyPart.ROUNDS)  # the worker wrote something
    assert models.value() == chosen  # what a person chose stays chosen


def test_no_card_of_a_model_is_cut(trained: Bench) -> None:
    models = trained.panel.models
    first, port = models.choices()[0], models.viewport()
    assert port is not None
    facts = f"{first.facts}  ·  {first.facts}  ·  {first.facts}"
    models.set_choices([replace(first, facts=facts), *models.choices()[1:]])
    process_events()
    heights = []
    for row in range(2):
        card = models.itemWidget(models.item(row))
        assert card is not None
        heights.append(card.height())
        assert card.width() <= port.width()
        assert list(cut_text(card)) == []
    assert heights[0] > heights[1]
    assert port.height() >= sum(heights)


def test_a_model_file_needs_no_study(bench: Bench, model: Path, tmp_path: Path) -> None:
    bench.panel.take_files([model])
    chosen = bench.panel.models.value()
    assert chosen is not None and (chosen.path, chosen.round) == (model, None)
    assert "study, round 1" in chosen.facts
    assert not bench.panel.empty.isVisible()
    other = tmp_path / "other.pt"
    other.write_bytes(b"hello")
    bench.panel.add_model(other)
    assert "other.pt is not a model" in bench.window.job_bar.message.text()
    assert len(bench.panel.models.choices()) == 1


def test_a_study_remembers_model_files(trained: Bench, model: Path) -> None:
    trained.panel.add_model(model)
    folder = trained.window.session.need_study().folder
    trained.panel._files = []
    trained.window.session.open_study(folder)
    assert [c.path for c in trained.panel.models.choices()] == [folder, folder, model]


def test_scans_are_chosen_by_button_and_by_path(trained: Bench, heads: Heads) -> None:
    panel = trained.panel
    assert not panel.apply.isEnabled()
    trained.click("scans_of_study")
    assert panel.apply.text() == f"Apply to {len(heads.scans)} scans"
    assert panel.apply.isEnabled()
    panel.take_files([heads.scans[0]])
    assert panel.apply.text() == "Apply to 1 scan"
    panel.take_files([heads.scans[0].parent])
    assert panel.scans.value() == heads.scans
    panel.take_files([heads.scans[0].parent / "nothing.nii.gz"])
    assert "nothing.nii.gz" in trained.window.job_bar.message.text()
    assert panel.scans.value() == heads.scans  # what was chosen stays


def test_a_folder_is_given_as_one_argument_without_results_of_ours(
    trained: Bench, heads: Heads, tmp_path: Path
) -> None:
    new = tmp_path / "new"
    new.mkdir()
    for file in heads.scans[:2]:
        shutil.copy(file, new)
    scans = trained.panel.scans
    scans.take_files([new])
    assert scans.arguments == [str(new)]
    shutil.copy(heads.masks[0], new / ("x" + MASK_SUFFIX))
    scans.take_files([new])
    assert [path.name for path in scans.value()] == [path.name for path in heads.scans[:2]]
    assert scans.arguments == [str(path) for path in scans.value()]


def test_scans_that_are_gone_are_said(trained: Bench, tmp_path: Path, heads: Heads) -> None:
    study = trained.window.session.need_study()
    shutil.copy(heads.scans[1], tmp_path / "soon_gone.nii.gz")
    study.scans.add([tmp_path / "soon_gone.nii.gz"])
    (tmp_path / "soon_gone.nii.gz").unlink()
    trained.click("scans_of_study")
    assert len(trained.panel.scans.value()) == len(heads.scans)
    assert "soon_gone" in trained.window.job_bar.message.text()


def test_each_run_gets_a_folder_of_its_own(trained: Bench) -> None:
    first = trained.panel.out_folder()
    assert first is not None and "round-01" in first.name
    assert first.parent == trained.window.session.need_study().folder / "applied"
    first.mkdir(parents=True)
    second = trained.panel.out_folder()
    assert second is not None and second != first
    trained.panel.set_out(first)
    assert trained.panel.out_folder() == first


# --- a whole run


def test_apply_keeps_grid_and_header_in_all_orientations(
    trained: Bench, turned: dict[str, Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(turned["RAS"].read_bytes()[:2000])
    before = {path: path.read_bytes() for path in turned.values()}
    trained.panel.take_files([*turned.values(), broken])
    child(trained.panel, "brain").click()
    out = trained.panel.out_folder()
    assert out is not None
    trained.click("apply")
    assert len(trained.rows()) == 49
    wait_until(lambda: any(row[1] for row in trained.rows()), "the first result", JOB_SECONDS)
    assert trained.job.status.busy  # the table fills while the job runs
    assert not trained.panel.apply.isEnabled()
    assert isinstance(trained.finish(), Finished)

    for codes, file in turned.items():
        scan, mask = load(file), load(out / f"head_{codes}{MASK_SUFFIX}")
        assert mask.shape == scan.shape
        assert nib.aff2axcodes(mask.affine) == tuple(codes)
        assert np.allclose(mask.affine, scan.affine, atol=1e-4)
        for code in ("sform_code", "qform_code"):
            assert mask.header[code] == scan.header[code]
        assert (out / f"head_{codes}{BRAIN_SUFFIX}").is_file()
    assert all(path.read_bytes() == content for path, content in before.items())
    rows = {row[0]: row for row in trained.rows()}
    assert rows["broken"][3].startswith("failed: broken.nii.gz")
    assert all(rows[f"head_{codes}"][1] for codes in turned)
    assert "48 of 49 masks" in trained.panel.results.summary.text()
    assert "1 failed" in trained.panel.results.summary.text()
    trained.click("only_flagged")
    assert "broken" in [row[0] for row in trained.rows()]
    _look_at_a_result(trained, turned["PIR"])


def _look_at_a_result(bench: Bench, file: Path) -> None:
    """A result is shown upright, in slices and in 3D, and gives way to the study's scan."""
    viewer, session = bench.window.viewer, bench.window.session
    session.show_scan(session.need_study().scans.names[1])
    bench.click("only_flagged")
    table = bench.panel.results.table
    names = [row[0] for row in bench.rows()]
    table.scrollTo(table.model().index(names.index("head_PIR"), 0))  # type: ignore[union-attr]
    bench.double_click(names.index("head_PIR"))
    assert [layer.name for layer in viewer.layers[:2]] == ["head_PIR", "head_PIR: brain mask"]
    # P, I, R of the file: displayed axes are I, P, L.
    expected = np.flip(np.asarray(load(file).dataobj).transpose(1, 0, 2), 2)
    assert np.array_equal(viewer.layers["head_PIR"].data, expected)
    mask = viewer.layers["head_PIR: brain mask"]
    assert mask.data.any() and mask.data.shape == expected.shape
    assert not mask.editable
    assert mask.contour == 1
    press_key(viewer, Qt.Key.Key_O)
    assert mask.contour == 0
    press_key(viewer, Qt.Key.Key_O)
    press_key(viewer, Qt.Key.Key_D)
    assert viewer.dims.ndisplay == 3
    assert viewer.layers["head_PIR: brain only"].visible and not mask.visible
    press_key(viewer, Qt.Key.Key_N)
    assert "head_PIR" not in viewer.layers
    assert viewer.dims.ndisplay == 3
    press_key(viewer, Qt.Key.Key_D)
    assert viewer.dims.ndisplay == 2
    click(child(bench.window, "step_paint"))
    assert session.scan == session.need_study().scans.names[1]
    assert not any("head_" in layer.name for layer in viewer.layers)


def test_flags_are_shown_and_a_flagged_scan_can_be_corrected(
    trained: Bench, model: Path, heads: Heads, tmp_path: Path
) -> None:
    narrow = tmp_path / "narrow.pt"
    card = card_to_json(read_card(model)).replace('"volume_ml": [', '"volume_ml": [9999999.0, ')
    card = card.replace("[9999999.0, ", "[9999990.0, 9999999.0], \"was\": [")
    save_checkpoint(narrow, "model", {**load_checkpoint(model, "model"), "card": card})
    new = tmp_path / "newcomer.nii.gz"
    shutil.copy(heads.scans[1], new)
    trained.panel.take_files([narrow, new])
    trained.click("apply")
    assert isinstance(trained.finish(), Finished)
    ((name, volume, error, verdict),) = trained.rows()
    assert name == "newcomer" and volume and error
    assert verdict.startswith("volume")
    table = trained.panel.results.table
    index = table.model().index(0, 3)  # type: ignore[union-attr]
    assert "outside" in index.data(Qt.ItemDataRole.ToolTipRole)
    assert index.data(Qt.ItemDataRole.ForegroundRole) is not None
    assert "1 to inspect" in trained.panel.results.summary.text()

    table.select("newcomer")
    trained.click("correct_result")
    session = trained.window.session
    assert session.step == "paint"
    assert session.scan == "newcomer"
    assert "newcomer" in session.need_study().scans.names
    folder = trained.panel.results.folder
    assert folder is not None
    found = np.asarray(load(folder / ("newcomer" + MASK_SUFFIX)).dataobj) > 0
    on_screen = session.layers.editing.mask_on_scan()
    assert on_screen is not None and np.array_equal(on_screen, found)


def test_stopping_keeps_what_is_written(trained: Bench, turned: dict[str, Path]) -> None:
    trained.panel.take_files(list(turned.values()))
    out = trained.panel.out_folder()
    assert out is not None
    trained.click("apply")
    wait_until(lambda: any(row[1] for row in trained.rows()), "the first result", JOB_SECONDS)
    click(child(trained.window, "stop"))
    assert isinstance(trained.finish(), Cancelled)
    done = {row.scan for row in read_table(out / "volumes.csv")}
    assert 0 < len(done) < 48
    assert {path.name.removesuffix(MASK_SUFFIX) for path in out.glob("*.nii.gz")} == done
    shown = {row[0]: row for row in trained.rows()}
    assert len(shown) == 48
    for name, row in shown.items():
        assert bool(row[1]) == (name in done)
        assert name in done or "stopped" in row[3]
    assert trained.panel.apply.isEnabled()
    assert trained.panel.out_folder() != out  # another run leaves these results alone


def test_results_of_a_study_are_there_after_reopening(
    trained: Bench, heads: Heads
) -> None:
    trained.panel.take_files([heads.scans[2]])
    trained.click("apply")
    assert isinstance(trained.finish(), Finished)
    rows = trained.rows()
    trained.window.session.open_study(trained.window.session.need_study().folder)
    click(child(trained.window, "step_apply"))
    assert trained.rows() == rows
    trained.double_click(0)
    assert heads.names[2] in trained.window.viewer.layers


def test_a_job_that_fails_says_why(trained: Bench, heads: Heads, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file, not a folder")
    trained.panel.take_files([heads.scans[1]])
    trained.panel.set_out(tmp_path / "out")
    trained.click("apply")
    assert isinstance(trained.finish(), Failed)
    assert "out" in trained.window.job_bar.message.text()
    assert trained.panel.apply.isEnabled()


def test_scans_of_one_file_name(trained: Bench, heads: Heads, tmp_path: Path) -> None:
    """Another person's scan of a known file name is no other's: here, and in the study."""
    twin = tmp_path / "patient2" / heads.scans[1].name
    twin.parent.mkdir()
    shutil.copy(heads.scans[2], twin)
    trained.panel.take_files([heads.scans[1], twin])
    trained.click("apply")
    assert isinstance(trained.finish(), Finished)
    name = f"patient2_{heads.names[1]}"
    assert sorted(row[0] for row in trained.rows()) == sorted([heads.names[1], name])
    trained.panel.results.table.select(name)
    trained.click("correct_result")
    assert trained.window.session.scan == name
    assert trained.window.session.need_study().scans.path(name) == twin


# --- export


def test_jobs_know_where_they_write(
    trained: Bench, heads: Heads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Path | None] = {}
    monkeypatch.setattr(
        trained.window.session, "start_job",
        lambda arguments, kind, *, out=None: told.update({kind: out}),
    )
    trained.panel.export.export_model(tmp_path / "mine")
    trained.panel.export.export_masks(tmp_path / "masks")
    trained.panel.export.write_report()
    trained.panel.take_files([heads.scans[1]])
    trained.panel.set_out(tmp_path / "applied")
    trained.panel.start()
    study = trained.window.session.need_study()
    assert told == {
        "export": tmp_path / "mine.safetensors", "masks": tmp_path / "masks",
        "report": study.folder / "report.html", "apply": tmp_path / "applied",
    }  # fmt: skip


def test_model_report_and_masks_leave_the_study(
    trained: Bench, heads: Heads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []
    monkeypatch.setattr(export_box, "open_outside", opened.append)
    study = trained.window.session.need_study()
    box = trained.panel.export
    box.export_model(tmp_path / "mine")
    assert not child(trained.panel, "write_report").isEnabled()  # one job at a time
    assert isinstance(trained.finish(), Finished)
    assert read_card(tmp_path / "mine.safetensors").round == 1
    assert "round 1" in (tmp_path / "mine_card.md").read_text()

    trained.click("write_report")
    assert isinstance(trained.finish(), Finished)
    trained.click("open_report")
    assert opened == [study.folder / "report.html"]
    assert "<html" in opened[0].read_text()

    trained.click("export_brain")
    box.export_masks(tmp_path / "masks")
    assert isinstance(trained.finish(), Finished)
    for suffix in (MASK_SUFFIX, BRAIN_SUFFIX):
        assert len(list((tmp_path / "masks").glob(f"*{suffix}"))) == len(heads.scans)

    trained.panel.take_files([tmp_path / "mine.safetensors", heads.scans[1]])
    trained.panel.set_out(tmp_path / "applied")
    trained.click("apply")
    assert isinstance(trained.finish(), Finished)
    made = load(tmp_path / "applied" / (heads.names[1] + MASK_SUFFIX))
    label = load(study.rounds.pseudo_label_path(1, heads.names[1]))
    assert np.array_equal(np.asarray(made.dataobj), np.asarray(label.dataobj))
