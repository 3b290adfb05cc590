"""A study that was copied without its scans: what needs none continues, the rest says which."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_singlestrip.cli.app import main
from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.engine.learning.model_card import read_card
from napari_singlestrip.errors import SOME_FAILED
from napari_singlestrip.events import Note
from napari_singlestrip.pipeline import stages
from napari_singlestrip.sample_data.finished_study import unfold
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.volumes_table import MASK_SUFFIX, read_table

if TYPE_CHECKING:
    from conftest import Heads


@pytest.fixture
def far(tmp_path: Path) -> Study:
    """The packaged study alone; its scans would be beside it."""
    return Study.open(unfold(tmp_path / "far" / "deep"))


def test_it_is_applied_and_exported(far: Study, heads: Heads, tmp_path: Path) -> None:
    model, out = tmp_path / "m.pt", tmp_path / "out"
    assert main(["apply", str(far.folder), str(heads.scans[1]), "--out", str(out), "--quiet"]) == 0
    assert [bool(row.mask) for row in read_table(out / "volumes.csv")] == [True]
    assert main(["export", str(far.folder), str(model)]) == 0
    low, high = read_card(model).volume_ml
    painted = open_scan(far.masks.path(far.scans.names[0]))
    ml = load_mask(painted.path, like=painted).sum() * painted.grid.voxel_ml
    assert 0 < low < ml < high < np.inf


def test_it_is_ranked_reported_and_decided(
    far: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    name = far.scans.names[1]
    assert main(["rank", str(far.folder)]) == 0
    assert main(["report", str(far.folder)]) == SOME_FAILED  # it lacks the images
    page = (far.folder / "report.html").read_text()
    assert "There is no image of this scan" in page and name in page
    assert main(["decide", str(far.folder), name, "accept"]) == 0
    assert far.decisions.all()[name].state == "accepted"


def test_its_masks_are_written_as_they_are_stored(far: Study, tmp_path: Path) -> None:
    from napari_singlestrip.pipeline.export_masks import export_masks

    events = list(export_masks(far, tmp_path / "out", brain=True))
    (note,) = (event for event in events if isinstance(event, Note))
    assert "12 scans are not where the study says" in note.text
    for name in far.scans.names[:3]:
        source = far.decisions.labelled_path(name) or far.rounds.newest_pseudo_label(name)
        stored = open_scan(source[1] if isinstance(source, tuple) else source or Path())
        written = open_scan(tmp_path / "out" / (name + MASK_SUFFIX))
        assert written.grid.same_as(stored.grid)
        assert np.array_equal(load_mask(written.path, like=stored), load_mask(stored.path, stored))


def test_a_run_says_which_scans_are_missing(far: Study) -> None:
    events = stages.run(far, device="cpu", rounds=0)
    notes = [event.text for event in events if isinstance(event, Note)]
    assert "12 of 12 scans are not where the study says" in notes[0]
    assert far.scans.names[0] in notes[0]
