"""The ranking beside the truth: what a score is worth, and what happens without references."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip.engine.imaging import scan_names
from napari_singlestrip.engine.imaging.scan_files import find_files
from napari_singlestrip.errors import UserError
from napari_singlestrip.report import write_report
from napari_singlestrip.study.ranking_report import ranking_report
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import ScoreRow


def write_volume(path: Path, values: np.ndarray[Any, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    return path


def copies(file: Path, folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True)
    for name in names:
        os.link(file, folder / f"{name}.nii.gz")


def slab(thickness: int) -> np.ndarray[Any, Any]:
    mask = np.zeros((10, 4, 4), dtype=np.uint8)
    mask[:thickness, :2] = 1
    return mask


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Return a study whose predictions a, b, c get worse and worse; d has no reference."""
    noise = np.random.default_rng(0).random((10, 4, 4), dtype=np.float32)
    scans = [write_volume(tmp_path / "scans" / f"{name}.nii.gz", noise) for name in "abcd"]
    for name in "abc":
        write_volume(tmp_path / "references" / f"{name}.nii.gz", slab(8))
    made = Study.create(tmp_path / "study", scans, references=tmp_path / "references")
    for name, thickness in zip("abcd", (8, 6, 2, 8), strict=True):
        write_volume(made.rounds.pseudo_label_path(0, name), slab(thickness))
    errors = zip("cbad", (0.5, 0.2, 0.1, 0.3), (4, 2, 1, 3), strict=True)
    made.rounds.save_scores(
        0, [ScoreRow(name, error, 1 - error, 1.0, r) for name, error, r in errors]
    )
    return made


def test_best_comes_first_with_its_true_dice(study: Study) -> None:
    report = ranking_report(study, 0)
    assert [row.score.scan for row in report.rows] == ["a", "b", "d", "c"]
    dices = [row.dice for row in report.rows]
    assert dices[:2] == [1.0, pytest.approx(2 * 6 / 14)]
    assert dices[2] is None
    assert dices[3] == pytest.approx(2 * 2 / 10)
    assert report.problems == ()


def test_good_scores_correlate_positively(study: Study) -> None:
    report = ranking_report(study, 0)
    for name in ("rank", "autoencoder_error", "consistency"):
        assert report.correlations[name].n == 3
        assert report.correlations[name].spearman == pytest.approx(1)
        assert report.correlations[name].pearson > 0.9


def test_without_references_there_is_only_the_ranking(study: Study) -> None:
    study.references.set_folder(None)
    report = ranking_report(study, 0)
    assert report.correlations == {}
    assert {row.dice for row in report.rows} == {None}


def test_bad_reference_does_not_hide_the_others(study: Study) -> None:
    path = study.references.path("a")
    assert path is not None
    path.write_bytes(b"damaged")
    report = ranking_report(study, 0)
    assert len(report.problems) == 1
    assert "a.nii.gz" in report.problems[0]
    assert [row.dice is None for row in report.rows] == [True, False, True, False]
    assert math.isnan(report.correlations["consistency"].spearman)


def test_references_are_listed_once_for_all_scans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"s{i:03}" for i in range(300)]
    noise = np.random.default_rng(0).random((10, 4, 4), dtype=np.float32)
    references = tmp_path / "references"
    copies(write_volume(tmp_path / "scan.nii.gz", noise), tmp_path / "scans", names)
    copies(write_volume(tmp_path / "truth.nii.gz", slab(8)), references, names)
    study = Study.create(tmp_path / "study", [tmp_path / "scans"], references=references)
    predicted = study.rounds.pseudo_label_path(0, names[0]).parent
    copies(write_volume(tmp_path / "mask.nii.gz", slab(6)), predicted, names)
    study.rounds.save_scores(0, [ScoreRow(name, 0.1, rank=i) for i, name in enumerate(names, 1)])
    listed: list[Path] = []

    def listing(folders: list[Path]) -> list[Path]:
        listed.extend(folders)
        return find_files(folders)

    monkeypatch.setattr(scan_names, "find_files", listing)
    rows = ranking_report(study, 0).rows
    assert [row.dice for row in rows] == 300 * [pytest.approx(2 * 6 / 14)]
    assert listed == [references]
    write_report(study, tmp_path / "report.html")
    assert listed == 3 * [references]  # once more for the ranking, and once for all images
    found = study.references.find()
    assert [found.of(name) for name in names] == [references / f"{n}.nii.gz" for n in names]


def test_references_that_cannot_be_listed_are_told_once(study: Study) -> None:
    path = study.references.path("a")
    assert path is not None
    for file in path.parent.iterdir():
        file.unlink()
    report = ranking_report(study, 0)
    assert len(report.problems) == 1 and "references" in report.problems[0]
    assert len(report.rows) == 4 and report.correlations == {}


def test_round_that_was_not_ranked(study: Study) -> None:
    with pytest.raises(UserError, match="Round 1"):
        ranking_report(study, 1)


def test_unranked_scans_come_last(study: Study) -> None:
    study.rounds.save_scores(
        0, [ScoreRow("d"), ScoreRow("a", 0.1, rank=2), ScoreRow("b", 0.05, rank=1)]
    )
    assert [row.score.scan for row in ranking_report(study, 0).rows] == ["b", "a", "d"]
