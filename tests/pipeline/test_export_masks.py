"""The masks of a study in a folder: which one counts, on which grid, and where it came from."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_mask
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Finished, Note, Progress, Wrote
from napari_singlestrip.pipeline.export_masks import TABLE, export_masks
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.volumes_table import BRAIN_SUFFIX, MASK_SUFFIX

if TYPE_CHECKING:
    from conftest import Heads


@pytest.fixture
def predicted(study: Study, heads: Heads) -> Study:
    """All scans but the painted one have pseudo-labels, in two rounds; the newer are smaller."""
    for name, mask in zip(heads.names[1:], heads.masks[1:], strict=True):
        scan = open_scan(study.scans.path(name))
        truth = load_mask(mask, like=scan)
        save_mask(study.rounds.pseudo_label_path(0, name), truth, like=scan)
        smaller = truth.copy()
        smaller[:, :, : int(np.argwhere(truth)[:, 2].mean())] = False
        save_mask(study.rounds.pseudo_label_path(1, name), smaller, like=scan)
    return study


def run(study: Study, out: Path, **options: Any) -> list[Event]:
    return list(export_masks(study, out, **options))


def table(out: Path) -> dict[str, dict[str, str]]:
    with (out / TABLE).open() as file:
        return {row["scan"]: row for row in csv.DictReader(file)}


def values(path: Path) -> Any:
    return np.asarray(nib.load(path).dataobj)  # type: ignore[attr-defined]


def test_the_mask_that_counts_is_written(predicted: Study, tmp_path: Path) -> None:
    painted, first, second, third = predicted.scans.names
    predicted.decisions.decide(first, "accepted", note="good")
    predicted.decisions.decide(second, "rejected")
    events = run(predicted, tmp_path)
    rows = table(tmp_path)
    states = {name: (row["state"], row["round"]) for name, row in rows.items()}
    assert states == {
        painted: ("painted", ""), first: ("accepted", "1"), second: ("rejected", "1"),
        third: ("predicted", "1"),
    }  # fmt: skip
    assert rows[first]["note"] == "good"
    assert not (tmp_path / (second + MASK_SUFFIX)).exists()
    assert rows[second]["mask"] == ""
    for name, source in (
        (painted, predicted.masks.path(painted)),
        (first, predicted.rounds.pseudo_label_path(1, first)),
        (third, predicted.rounds.pseudo_label_path(1, third)),
    ):
        assert np.array_equal(values(tmp_path / (name + MASK_SUFFIX)) > 0, values(source) > 0)
    end = events[-1]
    assert isinstance(end, Finished)
    assert end.summary == {"masks": 3, "without": 1}
    assert [e.step for e in events if isinstance(e, Progress)] == [1, 2, 3, 4]
    assert all((tmp_path / e.path).is_file() for e in events if isinstance(e, Wrote))


def test_a_mask_that_was_accepted_stays_that_one(predicted: Study, tmp_path: Path) -> None:
    name = predicted.scans.names[1]
    scan = open_scan(predicted.scans.path(name))
    predicted.decisions.decide(name, "accepted")  # of round 1
    newer = np.zeros(scan.grid.shape, dtype=bool)
    newer[2:4, 2:4, 2:4] = True
    save_mask(predicted.rounds.pseudo_label_path(2, name), newer, like=scan)
    run(predicted, tmp_path)
    expected = values(predicted.rounds.pseudo_label_path(1, name))
    assert np.array_equal(values(tmp_path / (name + MASK_SUFFIX)), expected)


def test_a_correction_counts_more_than_the_prediction(predicted: Study, tmp_path: Path) -> None:
    name = predicted.scans.names[1]
    scan = open_scan(predicted.scans.path(name))
    mask = load_mask(predicted.rounds.pseudo_label_path(1, name), like=scan)
    mask[0, 0, 0] = True
    predicted.masks.save(name, mask, "corrected")
    run(predicted, tmp_path)
    assert table(tmp_path)[name]["state"] == "corrected"
    assert values(tmp_path / (name + MASK_SUFFIX))[0, 0, 0] == 1


def test_volume_and_brain_are_those_of_the_mask(predicted: Study, tmp_path: Path) -> None:
    run(predicted, tmp_path, brain=True)
    for name, row in table(tmp_path).items():
        scan = open_scan(predicted.scans.path(name))
        mask = values(tmp_path / row["mask"]) > 0
        assert float(row["volume_ml"]) == pytest.approx(mask.sum() * scan.grid.voxel_ml, rel=1e-4)
        brain = values(tmp_path / (name + BRAIN_SUFFIX))
        assert not brain[~mask].any()
        assert np.array_equal(brain[mask], values(scan.path)[mask])
        assert row["file"] == str(scan.path)


def test_a_damaged_mask_is_reported_and_the_others_go_on(
    predicted: Study, tmp_path: Path
) -> None:
    name = predicted.scans.names[1]
    predicted.rounds.pseudo_label_path(1, name).write_bytes(b"hello")
    events = run(predicted, tmp_path)
    assert [e.scan for e in events if isinstance(e, Note) and e.level == "warning"] == [name]
    assert table(tmp_path)[name]["mask"] == ""
    assert len(list(tmp_path.glob("*.nii.gz"))) == 3


def test_a_study_without_masks_says_so(study: Study, tmp_path: Path) -> None:
    study.masks.remove(study.scans.names[0])
    with pytest.raises(UserError, match="no masks yet"):
        run(study, tmp_path / "out")
    assert not (tmp_path / "out").exists()
