"""Masks of a BIDS dataset leave as a valid BIDS derivative, and stay where they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from bids_checks import errors_of_validator, invalid_names
from bids_dataset import CROWDED, make_dataset, write_scan

from napari_singlestrip.engine.imaging.volume import open_scan, save_mask
from napari_singlestrip.events import Event, Finished, Note, Wrote
from napari_singlestrip.pipeline.apply import apply
from napari_singlestrip.pipeline.export_masks import export_masks
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.volumes_table import TABLE, read_table

if TYPE_CHECKING:
    from conftest import Heads

HEADS = (  # where the sample heads lie in the dataset
    "sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz",
    "sub-01/ses-a/anat/sub-01_ses-a_T2w.nii.gz",
    "sub-02/ses-a/anat/sub-02_ses-a_acq-hi_run-1_T1w.nii.gz",
    "sub-02/ses-a/anat/sub-02_ses-a_acq-hi_run-2_T1w.nii.gz",
)


def said(path: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads(path.read_text())
    return content


def no_failure(events: Iterator[Event]) -> list[Event]:
    told = list(events)
    end = told[-1]
    assert isinstance(end, Finished)
    assert end.n_failed == 0, [e.text for e in told if isinstance(e, Note)]
    return told


@pytest.fixture
def root(tmp_path: Path, heads: Heads) -> Path:
    root = make_dataset(tmp_path / "ds", ())
    for scan, file in zip(heads.scans, HEADS, strict=True):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(scan, root / file)
    return root


@pytest.fixture
def crowded(tmp_path: Path) -> Study:
    """A study of a dataset with one painted mask, one corrected, and predictions."""
    root = make_dataset(tmp_path / "ds")
    study = Study.create(tmp_path / "study", [root])
    for name in study.scans.names:
        scan = open_scan(study.scans.path(name))
        mask = np.zeros(scan.grid.shape, bool)
        mask[3:8, 3:9, 4:10] = True
        save_mask(study.rounds.pseudo_label_path(0, name), mask, scan)
    study.masks.save(study.scans.names[0], mask, "painted")
    study.masks.save(study.scans.names[1], mask, "corrected")
    return study


def test_masks_of_a_study_are_a_valid_derivative(crowded: Study, tmp_path: Path) -> None:
    out = tmp_path / "ds" / "derivatives" / "singlestrip"
    told = no_failure(export_masks(crowded, out, brain=True))
    written = [event.path for event in told if isinstance(event, Wrote)]
    assert len(set(written)) == len(CROWDED) + 1
    assert invalid_names(out) == []
    assert errors_of_validator(out) == []


def test_what_is_not_valid_is_noticed(crowded: Study, tmp_path: Path) -> None:
    out = tmp_path / "out"
    no_failure(export_masks(crowded, out))
    mask = out / "sub-01/ses-a/anat/sub-01_ses-a_desc-brain_mask.nii.gz"
    mask.rename(mask.with_name("sub-01_ses-a_T1w_desc-brain_mask.nii.gz"))
    assert len(invalid_names(out)) == 1
    assert errors_of_validator(out)


def test_sidecars_say_source_and_who_made_a_mask(crowded: Study, tmp_path: Path) -> None:
    out = tmp_path / "out"
    no_failure(export_masks(crowded, out, brain=True))
    painted = said(out / "sub-01/ses-a/anat/sub-01_ses-a_desc-brain_mask.json")
    source = "bids:raw:sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz"
    assert painted["Type"] == "Brain"
    assert painted["Sources"] == [source]
    assert painted["SpatialReference"] == source
    assert painted["Manual"] is True
    predicted = said(out / "sub-02/anat/sub-02_echo-1_desc-brain_mask.json")
    assert "Manual" not in predicted
    brain = said(out / "sub-01/ses-a/anat/sub-01_ses-a_desc-brain_T1w.json")
    assert brain["SkullStripped"] is True


def test_a_plain_export_stays_as_it_was(crowded: Study, tmp_path: Path) -> None:
    no_failure(export_masks(crowded, tmp_path / "flat", layout="flat"))
    assert not list((tmp_path / "flat").glob("**/*.json"))
    no_failure(export_masks(crowded, tmp_path / "flat"))  # as what is there
    assert not list((tmp_path / "flat").glob("sub-*/"))


def test_a_model_writes_a_valid_derivative(
    trained_study: Study, root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = {"device": "cpu", "brain": True, "probability": True}
    no_failure(apply(trained_study.folder, [root], out, **options))  # type: ignore[arg-type]
    t2w = out / "sub-01/ses-a/anat/sub-01_ses-a_space-T2w_desc-brain_mask.nii.gz"
    assert t2w.is_file()
    assert {row.mask for row in read_table(out / TABLE)} >= {t2w.relative_to(out).as_posix()}
    stem = out / "sub-01/ses-a/anat/sub-01_ses-a"
    values = open_scan(f"{stem}_label-brain_probseg.nii.gz").read_float()
    inside = open_scan(f"{stem}_desc-brain_mask.nii.gz").read_float() > 0
    assert values.min() >= 0
    assert values.max() <= 1
    assert values[inside].mean() > 0.5 > values[~inside].mean()
    assert invalid_names(out) == []
    assert errors_of_validator(out) == []


def test_results_stay_where_they_are(trained_study: Study, root: Path, tmp_path: Path) -> None:
    out, scan = tmp_path / "out", root / HEADS[1]
    (root / HEADS[0]).rename(tmp_path / "later.nii.gz")
    no_failure(apply(trained_study.folder, [scan], out, device="cpu"))
    first = read_table(out / TABLE)[0]
    assert first.mask == "sub-01/ses-a/anat/sub-01_ses-a_desc-brain_mask.nii.gz"
    before = (out / first.mask).read_bytes()
    (tmp_path / "later.nii.gz").rename(root / HEADS[0])  # a T1w comes: it would come first
    no_failure(apply(trained_study.folder, [root / "sub-01"], out, device="cpu"))
    masks = {row.scan: row.mask for row in read_table(out / TABLE)}
    assert masks[first.scan] == first.mask
    assert (out / first.mask).read_bytes() == before
    assert masks["sub-01_ses-a_T1w"].endswith("space-T1w_desc-brain_mask.nii.gz")


def test_loose_scans_are_told_and_the_rest_goes_on(
    trained_study: Study, root: Path, tmp_path: Path
) -> None:
    loose = write_scan(tmp_path / "loose.nii.gz")
    told = list(apply(
        trained_study.folder, [root / "sub-01", loose], tmp_path / "out", device="cpu",
        layout="bids",
    ))  # fmt: skip
    end = told[-1]
    assert isinstance(end, Finished)
    assert (end.summary["masks"], end.n_failed) == (2, 1)
    assert any("in no BIDS dataset" in e.text for e in told if isinstance(e, Note))
