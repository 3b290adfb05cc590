from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip.engine.masks.evaluation import (
    EvaluationRow,
    correlation,
    evaluate_folders,
    summarize,
    write_csv,
)
from napari_singlestrip.errors import UserError

AFFINE = np.diag([-1.0, 1.0, 2.0, 1.0])


def slab(start: int, stop: int) -> np.ndarray:
    mask = np.zeros((12, 8, 6), np.uint8)
    mask[start:stop, 2:6, 1:5] = 1
    return mask


def write(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    masks, references = tmp_path / "masks", tmp_path / "references"
    write(masks / "a_desc-brain_mask.nii.gz", slab(2, 8))
    write(masks / "a.nii.gz", slab(0, 12) * 50)  # the scan itself
    write(masks / "b_mask.nii", slab(4, 8))
    write(masks / "c.nii.gz", slab(2, 2))
    write(masks / "d.nii.gz", slab(2, 8), np.eye(4))
    (masks / "e.nii.gz").write_bytes(b"\x1f\x8b broken")
    write(masks / "only_mask.nii.gz", slab(2, 8))
    for name in ("a.nii.gz", "b.nii.gz", "c_mask.nii.gz", "d.nii.gz", "e.nii.gz", "f.nii.gz"):
        write(references / name, slab(2, 8))
    return masks, references


def test_masks_meet_their_references_and_bad_files_do_not_stop_the_rest(
    folders: tuple[Path, Path],
) -> None:
    rows = {row.name: row for row in evaluate_folders(*folders)}
    assert list(rows) == ["a", "b", "c", "d", "e", "f", "only"]
    assert (rows["a"].dice, rows["a"].hd95_mm, rows["a"].problem) == (1, 0, "")
    assert rows["b"].dice == pytest.approx(0.8)
    assert rows["b"].volume_difference_percent == pytest.approx(-100 / 3)
    assert (rows["b"].volume_ml, rows["b"].reference_ml) == pytest.approx((0.128, 0.192))
    assert (rows["c"].dice, rows["c"].problem) == (0, "The mask is empty.")
    assert "another grid" in rows["d"].problem
    assert "e.nii.gz" in rows["e"].problem
    assert "no mask" in rows["f"].problem
    assert "no reference" in rows["only"].problem
    assert np.isnan([rows[name].dice for name in ("d", "e", "f", "only")]).all()


def test_the_summary_counts_the_failures(folders: tuple[Path, Path]) -> None:
    summary = summarize(evaluate_folders(*folders))
    assert (summary.n, summary.n_problems) == (3, 5)
    assert summary.mean.dice == pytest.approx(0.6)
    assert summary.median.dice == pytest.approx(0.8)
    assert summary.worst.dice == 0
    assert summary.worst.volume_difference_percent == -100
    assert summary.worst.hd95_mm == pytest.approx(2)
    nothing = summarize([EvaluationRow("a", problem="gone")])
    assert np.isnan([nothing.mean.dice, nothing.median.hd95_mm, nothing.worst.dice]).all()
    assert summarize([]).n == 0


def test_the_table_can_be_read_back(folders: tuple[Path, Path], tmp_path: Path) -> None:
    write_csv(evaluate_folders(*folders), tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["a", "b", "c", "d", "e", "f", "only"]
    assert float(rows[1]["dice"]) == pytest.approx(0.8)
    assert rows[3]["dice"] == ""
    assert "another grid" in rows[3]["problem"]


def test_folders_that_cannot_be_compared(folders: tuple[Path, Path], tmp_path: Path) -> None:
    masks, _ = folders
    write(tmp_path / "others" / "z.nii", slab(1, 3))
    with pytest.raises(UserError, match="No mask in"):
        evaluate_folders(masks, tmp_path / "others")
    with pytest.raises(UserError, match="no file"):
        evaluate_folders(masks, tmp_path / "gone")
    with pytest.raises(UserError, match="not a folder"):
        evaluate_folders(masks, tmp_path / "others" / "z.nii")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no scan"):
        evaluate_folders(tmp_path / "empty", masks)


@pytest.mark.parametrize("exported", [True, False])
def test_folders_tell_masks_of_one_name_apart(tmp_path: Path, exported: bool) -> None:
    masks, references = tmp_path / "masks", tmp_path / "references"
    for patient, stop in (("p1", 8), ("p2", 5)):
        file = f"{patient}_T1_mask.nii" if exported else f"{patient}/T1_mask.nii"
        write(masks / file, slab(2, stop))
        write(references / patient / "T1.nii", slab(2, stop))
    write(references / "p3" / "T1.nii", slab(2, 4))
    rows = evaluate_folders(masks, references)
    assert [(row.name, row.problem) for row in rows] == [
        ("p1_T1", ""), ("p2_T1", ""), ("p3_T1", "There is no mask for this reference."),
    ]  # fmt: skip
    assert [row.dice for row in rows[:2]] == [1, 1]


def test_what_belongs_to_what_is_not_guessed(tmp_path: Path) -> None:
    write(tmp_path / "masks" / "T1_mask.nii", slab(2, 8))
    for patient in ("p1", "p2"):
        write(tmp_path / "references" / patient / "T1.nii", slab(2, 8))
    rows = evaluate_folders(tmp_path / "masks", tmp_path / "references")
    assert [row.name for row in rows] == ["T1", "p1_T1", "p2_T1"]
    assert all("not clear which mask" in row.problem for row in rows)


def test_correlation_of_a_score_with_the_truth() -> None:
    found = correlation([0.1, 0.2, 0.4, 0.9], [0.99, 0.97, 0.9, 0.2])
    assert found.spearman == pytest.approx(-1)
    assert -1 < found.pearson < -0.96
    assert found.n == 4
    shuffled = correlation([0.1, np.nan, 0.4, 0.9, 0.2], [0.99, 0.5, 0.2, 0.9, 0.97])
    assert shuffled.n == 4
    assert shuffled.spearman == pytest.approx(-0.8)


@pytest.mark.parametrize(
    ("scores", "dices"),
    [([], []), ([1, 2], [3, 4]), ([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [5, 5, 5]),
     ([1, 2, np.nan], [1, 2, 3])],
)  # fmt: skip
def test_correlation_says_nan_and_does_not_warn(scores: Any, dices: Any) -> None:
    found = correlation(scores, dices)
    assert np.isnan([found.spearman, found.pearson]).all()
