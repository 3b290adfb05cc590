"""What networks learn from: painted heads whose brain is cut off above get a vertex."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
import torch

from napari_singlestrip.engine.overrides import settings_for
from napari_singlestrip.events import Note
from napari_singlestrip.pipeline.job import Job
from napari_singlestrip.pipeline.training_data import geometry_of_study, load_example, training_data
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.training_set import masks_by_hand

if TYPE_CHECKING:
    from conftest import Heads


def painted(folder: Path, heads: Heads, *, cut_mm: float) -> Job:
    """A study whose painted scan ends within the brain."""
    scan, mask = (nib.as_closest_canonical(nib.Nifti1Image.from_filename(path))
                  for path in (heads.scans[0], heads.masks[0]))
    top = int(np.flatnonzero(np.asarray(mask.dataobj).any((0, 1)))[-1]) + 1
    end = top - round(cut_mm / scan.header.get_zooms()[2]) if cut_mm else None
    for name, image in (("scan", scan), ("mask", mask)):
        nib.save(image.slicer[:, :, :end], folder / f"{name}.nii.gz")
    study = Study.create(folder / "study", [folder / "scan.nii.gz"])
    study.masks.import_file("scan", folder / "mask.nii.gz")
    return Job(study, settings_for("quick", {"conform.spacing_mm": 8}), torch.device("cpu"))


@pytest.mark.parametrize("cut_mm", [0.0, 20.0])
def test_a_brain_that_is_cut_off_gets_a_vertex_for_training(
    tmp_path: Path, heads: Heads, cut_mm: float
) -> None:
    job = painted(tmp_path, heads, cut_mm=cut_mm)
    (mask,) = masks_by_hand(job.study)
    geometry = geometry_of_study(job)
    example, volume, array = load_example(job, mask, geometry)
    assert volume.data.shape == array.shape  # validated on as it is
    voxel_ml = (geometry.spacing_mm / geometry.ratio) ** 3 / 1000
    learned, own = example.mask.sum() * voxel_ml, array.sum() * volume.grid.voxel_ml
    assert (learned > 1.02 * own) == bool(cut_mm)
    # Where the brain ends there is more of the head above it than air.
    top = int(np.flatnonzero(example.mask.any((0, 1)))[-1])
    assert example.seen[..., top + 1].mean() > 0.5

    corrected = load_example(job, replace(mask, kind="corrected"), geometry)[0]
    assert corrected.mask.sum() * voxel_ml == pytest.approx(own, rel=0.02)  # as it is

    notes = [e.text for e in training_data(job, [mask], None) if isinstance(e, Note)]
    assert any("scan is cut off above" in text for text in notes) == bool(cut_mm)
