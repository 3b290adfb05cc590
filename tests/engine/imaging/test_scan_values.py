"""Padding is no air: the box of the head and grey values are as without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip.engine.imaging.geometry import conform, head_box
from napari_singlestrip.engine.imaging.grid import Volume
from napari_singlestrip.engine.imaging.scan_values import padding_to_air
from napari_singlestrip.engine.imaging.volume import open_scan, save_brain
from napari_singlestrip.widgets.common.thumbnail_image import scan_picture

SHAPE = (48, 60, 50)
AFFINE = np.diag([4.0, 4, 4, 1])


def head() -> np.ndarray:
    """A bright ball in noisy air."""
    rng = np.random.default_rng(0)
    place = np.linalg.norm((np.indices(SHAPE).T - np.array(SHAPE) / 2).T, axis=0)
    return np.where(place < 18, 600, 20) + rng.normal(0, 8, SHAPE).clip(-19)


def padded(fill: float) -> np.ndarray:
    """As distortion correction and tilted slices leave it: slabs and a wedge of one value."""
    data = head()
    data[:, :, :4] = fill
    data[:, :4] = fill
    i, j, _ = np.indices(SHAPE)
    data[i + j > 96] = fill
    return data


def write(folder: Path, data: np.ndarray, dtype: str) -> Path:
    nib.save(nib.Nifti1Image(data.astype(dtype), AFFINE), folder / "scan.nii")
    return folder / "scan.nii"


@pytest.mark.parametrize(
    ("fill", "dtype"),
    [
        (-32768, "<i2"), (-10000, "<i2"), (-2000, ">i2"), (-1024, "<i2"), (-1, "<f4"),
        (-1e30, "<f4"), (-3.4028235e38, "<f4"), (-1e300, "<f8"), (-np.inf, "<f4"),
        (np.nan, "<f4"), (np.inf, "<f4"), (32767, "<i2"), (65535, "<u2"), (1e30, "<f4"),
    ],
)  # fmt: skip
def test_padding_changes_neither_box_nor_grey_values(
    tmp_path: Path, fill: float, dtype: str
) -> None:
    data = padded(fill) / (600 if fill == -1 else 1)
    if fill == -1:
        data[padded(0) == 0] = -1
    volume = open_scan(write(tmp_path, data, dtype)).load()
    assert any("padding" in note or "NaN or inf" in note for note in volume.notes)
    expected = Volume(head().astype(np.float32), AFFINE)
    np.testing.assert_allclose(head_box(volume), head_box(expected), atol=17)
    seen, usual = conform(volume, 4.0, box=head_box(expected)), conform(expected, 4.0)
    inside = padded(np.nan)[6:-6, 6:-6, 6:-6]
    assert np.isfinite(inside).mean() > 0.9
    assert np.abs(seen.data - usual.data).mean() < 0.02


@pytest.mark.parametrize(
    "data",
    [
        head(),
        np.where(head() > 300, head(), 0),  # a brain without its head
        np.where(head() > 300, head() - 400, -400),  # the same, its mean taken off
        head() - 300,
        np.clip(head(), 0, 500),  # saturated
        (head() > 300).astype(float),
        -head(),
    ],
)
def test_air_stays_as_it_is(data: np.ndarray) -> None:
    values = data.astype(np.float32)
    after, notes = padding_to_air(values.copy())
    brain = data > np.median(data)
    assert after[brain].min() >= after[~brain].max()
    assert not notes or data.min() == -400  # nothing darker than the brain but one value: the same
    if not notes:
        np.testing.assert_array_equal(after, values)


def test_a_halo_of_interpolated_padding_goes_too() -> None:
    data = padded(-1e30)
    data[:, :, 4] = -3e29
    data[:, 4] = -5e28
    after, notes = padding_to_air(data.astype(np.float32))
    assert after.min() >= 0
    assert "padding of -1e+30" in notes[0]


def test_the_written_brain_keeps_the_stored_values(tmp_path: Path) -> None:
    path = write(tmp_path, padded(-1024), "<i2")
    mask = head() > 300
    save_brain(tmp_path / "brain.nii", mask, open_scan(path))
    images: list[Any] = [nib.load(p) for p in (path, tmp_path / "brain.nii")]
    stored, brain = (np.asarray(image.dataobj) for image in images)
    np.testing.assert_array_equal(brain, np.where(mask, stored, 0))


def test_a_picture_shows_the_head(tmp_path: Path) -> None:
    plain = scan_picture(write(tmp_path, head(), "<i2")).rgb.astype(float)
    data = padded(-32768)
    seen = scan_picture(write(tmp_path, data, "<i2")).rgb.astype(float)
    assert np.abs(seen - plain).mean() < 5
