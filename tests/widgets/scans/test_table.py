"""The table of scans: states, checks, sorting, filtering, and a thousand rows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from gui_fixtures import process_events, wait_until
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_singlestrip.engine.imaging.scan_facts import ScanFacts, scan_facts
from napari_singlestrip.study.drafts import save_draft
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.common.thumbnails import Thumbnails
from napari_singlestrip.widgets.scans.header_reader import BATCH, ScanChecks
from napari_singlestrip.widgets.scans.table import (
    CHECK,
    COLUMNS,
    SCAN,
    SORTS,
    STATE,
    STATES,
    ScanTable,
    SortedScans,
    check,
    detail,
    rows_of,
)

pytest_plugins = ("gui_fixtures",)

Display = Qt.ItemDataRole.DisplayRole


@pytest.fixture
def table(qapp: QApplication) -> Iterator[ScanTable]:
    thumbnails, checks = Thumbnails(), ScanChecks()
    made = ScanTable(thumbnails, checks)
    yield made
    thumbnails.close_all()
    checks.close_all()
    for thing in (made, thumbnails, checks):
        thing.deleteLater()
    process_events()


def show(table: ScanTable, study: Study) -> None:
    table.show(study)
    table._checks.read(study)
    wait_until(lambda: not table._checks.busy, "headers")


def text(table: Any, row: int, column: int) -> str:
    return str(table.data(table.index(row, column), Display))


def states(study: Study) -> dict[str, str]:
    return {row.name: row.state for row in rows_of(study)}


def test_states_of_scans(ranked_study: Study) -> None:
    study = ranked_study
    a, b, c, d = study.scans.names
    assert states(study) == {a: "painted", b: "predicted", c: "predicted", d: "predicted"}
    study.decisions.decide(b, "accepted")
    study.decisions.decide(c, "rejected")
    shape = nib.Nifti1Image.from_filename(study.scans.path(d)).shape
    save_draft(study.folder, d, np.ones(shape, bool))
    assert states(study) == {a: "painted", b: "accepted", c: "rejected", d: "unfinished"}
    assert set(states(study).values()) <= set(STATES)


def test_the_mask_that_counts_is_outlined(ranked_study: Study) -> None:
    masks = {row.name: row.mask for row in rows_of(ranked_study)}
    a, b = ranked_study.scans.names[:2]
    assert masks[a] == ranked_study.masks.path(a)
    assert masks[b] == ranked_study.rounds.pseudo_label_path(0, b)


def test_headers_are_shown(table: ScanTable, study: Study) -> None:
    show(table, study)
    row = 0
    facts = scan_facts(study.scans.path(study.scans.names[row]))
    assert text(table, row, SCAN) == study.scans.names[row]
    assert text(table, row, CHECK) == check(facts)
    assert detail(facts).startswith("32×40×40 · RAS")


def test_all_columns_answer_all_questions(table: ScanTable, study: Study) -> None:
    show(table, study)
    for row in range(table.rowCount()):
        for column in range(len(COLUMNS)):
            tip = table.data(table.index(row, column), Qt.ItemDataRole.ToolTipRole)
            assert tip and isinstance(tip, str)
    for column, name in enumerate(COLUMNS):
        assert table.headerData(column, Qt.Orientation.Horizontal) == name


def write(path: Path, shape: tuple[int, ...], spacing: tuple[float, float, float]) -> Path:
    values = np.random.default_rng(0).integers(1, 9, shape).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.diag([*spacing, 1.0])), path)
    return path


@pytest.mark.parametrize(
    ("shape", "spacing", "said"),
    [
        ((20, 20, 20), (8, 8, 8), "ok"),
        ((200, 200, 25), (1, 1, 6), "6 mm slices"),
        ((9, 20, 20), (8, 8, 8), "only 72 mm wide: a whole head?\n"),
        ((20, 20, 20, 4), (8, 8, 8), "4D: mean of 4 frames"),
    ],
)
def test_checks_in_a_few_words(
    shape: tuple[int, ...], spacing: tuple[float, float, float], said: str, tmp_path: Path
) -> None:
    words = check(scan_facts(write(tmp_path / "head.nii.gz", shape, spacing))) + "\n"
    assert words.startswith(said)


def test_oblique_is_said_in_degrees() -> None:
    assert check(ScanFacts((1,), (1.0,), "R", ("8 degrees oblique",))) == "8° oblique"


def test_a_broken_scan_is_listed_with_its_reason(table: ScanTable, tmp_path: Path) -> None:
    write(tmp_path / "good.nii.gz", (20, 20, 20), (8, 8, 8))
    (tmp_path / "bad.nii.gz").write_bytes(b"nothing")
    files = [tmp_path / "good.nii.gz", tmp_path / "bad.nii.gz"]
    show(table, Study.create(tmp_path / "study", files))
    bad = table.row_of("bad")
    assert text(table, bad, CHECK) == "cannot be used"
    tip = str(table.data(table.index(bad, CHECK), Qt.ItemDataRole.ToolTipRole))
    assert "does not begin with a NIfTI header" in tip


def test_values_are_checked_too(table: ScanTable, tmp_path: Path) -> None:
    path = tmp_path / "flat.nii.gz"
    nib.save(nib.Nifti1Image(np.full((20, 20, 20), 3, np.int16), np.diag([8.0, 8, 8, 1])), path)
    show(table, Study.create(tmp_path / "study", [path]))
    assert text(table, 0, CHECK) == "ok"  # the header is
    while table.check_next():
        process_events()
        time.sleep(0.01)
    assert text(table, 0, CHECK) == "cannot be used"


def order(scans: SortedScans) -> list[str]:
    return [scans.name_at(scans.index(row, 0)) for row in range(scans.rowCount())]


def test_sorting(table: ScanTable, ranked_study: Study) -> None:
    study = ranked_study
    show(table, study)
    scans = SortedScans(table)
    for what in SORTS:
        scans.sort_by(what)
        assert sorted(order(scans)) == sorted(study.scans.names)
    scans.sort_by("size")
    sizes = [_voxels(study.scans.path(name)) for name in order(scans)]
    assert sizes == sorted(sizes)
    scans.sort_by("state")
    assert order(scans)[0] == study.scans.names[0]  # the painted one
    scans.sort_by("name")
    assert order(scans) == sorted(study.scans.names)
    scans.deleteLater()


def _voxels(path: Path) -> float:
    return float(np.prod(scan_facts(path).shape))


def test_filtering(table: ScanTable, ranked_study: Study) -> None:
    show(table, ranked_study)
    scans = SortedScans(table)
    scans.setFilterFixedString("PAINTED")
    assert order(scans) == [ranked_study.scans.names[0]]
    scans.setFilterFixedString("flair")
    assert order(scans) == [n for n in ranked_study.scans.names if "FLAIR" in n]
    scans.setFilterFixedString("")
    assert scans.rowCount() == 4
    scans.deleteLater()


def test_a_thousand_scans_are_fluent(table: ScanTable, tmp_path: Path) -> None:
    source = write(tmp_path / "head.nii", (12, 12, 12), (15, 15, 15)).read_bytes()
    (tmp_path / "scans").mkdir()
    for n in range(1000):
        (tmp_path / "scans" / f"sub-{n:04d}.nii").write_bytes(source)
    study = Study.create(tmp_path / "study", [tmp_path / "scans"])
    scans = SortedScans(table)
    began = time.perf_counter()
    table.show(study)
    shown = time.perf_counter() - began
    table._checks.read(study)
    wait_until(lambda: not table._checks.busy, "headers")
    began = time.perf_counter()
    scans.sort_by("size")
    scans.setFilterFixedString("09")
    sorted_ = time.perf_counter() - began
    assert shown < 1.5 and sorted_ < 1.5, (shown, sorted_)
    scans.deleteLater()


def test_state_column_says_held_out(table: ScanTable, study: Study, tmp_path: Path) -> None:
    study.scans.add([write(tmp_path / "extra.nii.gz", (20, 20, 20), (8, 8, 8))], role="held_out")
    table.show(study)
    tip = table.data(table.index(table.row_of("extra"), STATE), Qt.ItemDataRole.ToolTipRole)
    assert "never used for training" in tip


def many(folder: Path, n: int) -> Study:
    source = write(folder / "head.nii", (12, 12, 12), (15, 15, 15)).read_bytes()
    (folder / "scans").mkdir()
    for k in range(n):
        (folder / "scans" / f"sub-{k:04d}.nii").write_bytes(source)
    return Study.create(folder / "study", [folder / "scans"])


def test_headers_are_read_a_few_at_a_time_and_not_while_paused(
    table: ScanTable, tmp_path: Path
) -> None:
    """Thousands that are asked for at once would hold up the window until all are read."""
    study, checks = many(tmp_path, 100), table._checks
    table.show(study)
    told: list[set[Path]] = []
    checks.found.connect(told.append)
    checks.read(study)
    checks.pause(True)  # one part is under way
    wait_until(lambda: bool(told), "the first headers")
    assert len(told[0]) == BATCH and checks.busy
    assert text(table, 99, CHECK) == "..."
    checks.pause(False)
    wait_until(lambda: sum(map(len, told)) == 100, "all headers")
    assert text(table, 99, CHECK) != "..."


def test_headers_that_were_read_change_their_rows_only(table: ScanTable, tmp_path: Path) -> None:
    study = many(tmp_path, 60)
    show(table, study)
    changed: list[tuple[int, int]] = []
    table.dataChanged.connect(lambda a, b, *_: changed.append((a.row(), b.row())))
    table._checks.found.emit({row.path for row in table.rows[10:20]})
    assert changed == [(10, 19)]


def test_the_next_picture_is_found_without_a_search(
    table: ScanTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = many(tmp_path, 40)
    table.show(study)
    asked: list[str] = []
    drawn = {row.name for row in table.rows[:30]}

    def notes(study: Study, name: str) -> tuple[tuple[str, ...], str] | None:
        asked.append(name)
        return ((), "") if name in drawn else None

    monkeypatch.setattr(table._thumbnails, "notes", notes)
    monkeypatch.setattr(table._thumbnails, "pixmap", lambda *_: None)
    assert table.check_next() and len(asked) == 31
    assert table.check_next() and len(asked) == 32
