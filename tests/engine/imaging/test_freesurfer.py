"""MGH files: types that the format has, and values as the scan has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip.engine.imaging.volume import open_scan, save_brain, save_map, save_mask

AFFINE = np.array([[-1.0, 0, 0, 20], [0, 0, 1, -30], [0, -1, 0, 40], [0, 0, 0, 1]])


def scan_of(path: Path, dtype: Any, slope: float | None = None) -> Path:
    data = np.random.default_rng(0).integers(1, 120, (7, 8, 9)).astype(dtype)
    image = nib.Nifti1Image(data, AFFINE)
    if slope is not None:
        image.header.set_slope_inter(slope, 0)
    nib.save(image, path)
    return path


@pytest.mark.parametrize(
    ("dtype", "written"),
    [("uint8", "uint8"), ("int8", "int16"), ("int16", "int16"), ("uint16", "int32"),
     ("int32", "int32"), ("float32", "float32"), ("float64", "float32"), ("uint32", "float32")],
)  # fmt: skip
def test_values_keep_their_type_or_a_larger_one(tmp_path: Path, dtype: str, written: str) -> None:
    scan = open_scan(scan_of(tmp_path / "a.nii", dtype))
    mask = np.zeros(scan.grid.shape, bool)
    mask[2:5, 2:6, 3:7] = True
    save_brain(tmp_path / "brain.mgz", mask, scan)
    made: Any = nib.load(tmp_path / "brain.mgz")
    assert made.get_data_dtype().newbyteorder("=") == np.dtype(written)
    assert np.allclose(made.affine, AFFINE)
    assert np.array_equal(made.get_fdata(), np.where(mask, scan.read_float(), 0))


def test_scaled_values_are_those_of_the_scan(tmp_path: Path) -> None:
    scan = open_scan(scan_of(tmp_path / "a.nii", "int16", 0.5))
    save_brain(tmp_path / "brain.mgh", np.ones(scan.grid.shape, bool), scan)
    assert np.allclose(open_scan(tmp_path / "brain.mgh").read_float(), scan.read_float())


def test_masks_and_maps_are_read_again(tmp_path: Path) -> None:
    scan = open_scan(scan_of(tmp_path / "a.nii", "int16"))
    mask = np.zeros(scan.grid.shape, bool)
    mask[2:5, 2:6, 3:7] = True
    save_mask(tmp_path / "mask.mgz", mask, scan)
    save_map(tmp_path / "map.mgz", mask * 0.25, scan)
    assert np.array_equal(open_scan(tmp_path / "mask.mgz").read_float() > 0, mask)
    assert np.array_equal(open_scan(tmp_path / "map.mgz").read_float(), mask * np.float32(0.25))
    assert open_scan(tmp_path / "mask.mgz").grid.same_as(scan.grid)
