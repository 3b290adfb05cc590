"""The vertex that a head gets whose brain is cut off above."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip.engine.heads.vertex import is_cut_off_above, mask_with_vertex, with_vertex
from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.masks.metrics import dice

RADIUS, SKULL, SCALP = 70.0, 80.0, 90.0  # mm, outer
SPACING = (3.0, 2.0, 4.0)
LOST = 6  # slices, 24 mm


def head(scale: float = 1.0) -> tuple[Volume, np.ndarray[Any, Any]]:
    """A ball of brain (100) in a dark skull (10) and a bright scalp (200), in air, as RAS."""
    shape = tuple(round(220 / s) for s in SPACING)
    affine = np.diag([*(s * scale for s in SPACING), 1.0])
    affine[:3, 3] = (-30, 12, 5)
    grid = np.indices(shape).T - (np.array(shape) - 1) / 2
    far = np.linalg.norm(grid * SPACING, axis=-1).T
    data = np.select([far < RADIUS, far < SKULL, far < SCALP], [100, 10, 200], 0)
    return Volume(data.astype(np.float32), affine), far < RADIUS


def without_top(volume: Volume, mask: np.ndarray[Any, Any]) -> tuple[Volume, np.ndarray[Any, Any]]:
    """Cut off the slices above, `LOST` of which are brain."""
    end = int(np.flatnonzero(mask.any((0, 1)))[-1]) + 1 - LOST
    return Volume(volume.data[..., :end], volume.affine), mask[..., :end]


def test_a_ball_that_was_cut_is_a_ball_again() -> None:
    volume, mask = head()
    cut, its_mask = without_top(volume, mask)
    assert is_cut_off_above(its_mask, cut.grid)
    whole, brain = with_vertex(cut, its_mask)
    below = cut.data.shape[2]
    np.testing.assert_array_equal(whole.data[..., :below], cut.data)
    np.testing.assert_array_equal(brain[..., :below], its_mask)
    n = whole.data.shape[2]
    assert dice(brain[..., below:], mask[..., below:n]) > 0.9
    # What lies over it is what lies beside it.
    middle = np.array(whole.data.shape[:2]) // 2
    column = whole.data[middle[0], middle[1], below:]
    top = int(np.flatnonzero(brain[middle[0], middle[1], below:])[-1])
    assert column[:top].min() == column[:top].max() == 100
    assert column[top + 1 : top + 4].min() < 60  # the skull
    assert column[top + 3 : top + 7].max() > 150  # the scalp
    assert column[-1] < 50


@pytest.mark.parametrize("codes", ["RAS", "LPI", "SAR", "ILP", "PIR"])
def test_it_is_the_same_whatever_the_order_of_the_axes(codes: str) -> None:
    cut, mask = without_top(*head())
    expected, its_mask = with_vertex(cut, mask)

    def turned(array: np.ndarray[Any, Any], affine: Any, to: str) -> nib.Nifti1Image:
        image = nib.Nifti1Image(array.astype(np.float32), affine)
        now = nib.orientations.io_orientation(affine)
        change = nib.orientations.ornt_transform(now, nib.orientations.axcodes2ornt(to))
        return image.as_reoriented(change)

    one, other = turned(cut.data, cut.affine, codes), turned(mask, cut.affine, codes)
    found, brain = with_vertex(Volume(one.get_fdata(dtype=np.float32), one.affine),
                               other.get_fdata() > 0)
    back, brain_back = turned(found.data, found.affine, "RAS"), turned(brain, found.affine, "RAS")
    np.testing.assert_allclose(back.affine, expected.affine, atol=1e-6)
    np.testing.assert_array_equal(brain_back.get_fdata() > 0, its_mask)
    differs = np.abs(back.get_fdata() - expected.data) > 1e-3
    assert differs.mean() < 0.005  # at the borders of sectors


def test_the_mask_alone_is_completed_alike() -> None:
    cut, mask = without_top(*head())
    expected, its_mask = with_vertex(cut, mask)
    found, grid = mask_with_vertex(mask, cut.grid)
    np.testing.assert_array_equal(found, its_mask)
    assert grid.same_as(expected.grid)


def test_a_whole_brain_stays_as_it_is() -> None:
    volume, mask = head()
    found, brain = with_vertex(volume, mask)
    assert found is volume and brain is mask
    assert mask_with_vertex(mask, volume.grid)[0] is mask


def test_a_brain_cut_off_below_stays_as_it_is() -> None:
    volume, mask = head()
    start = int(np.flatnonzero(mask.any((0, 1)))[0]) + LOST
    assert not is_cut_off_above(mask[..., start:], Grid(mask[..., start:].shape, volume.affine))


def test_a_brain_that_just_touches_stays_as_it_is() -> None:
    volume, mask = head()
    end = int(np.flatnonzero(mask.any((0, 1)))[-1]) + 1
    touching = mask[..., :end].copy()
    touching[..., -1] = False
    touching[35:38, 54:57, -1] = True  # 0.5 cm2
    assert not is_cut_off_above(touching, Grid(touching.shape, volume.affine))


def test_small_animals_stay_as_they_are() -> None:
    """Their heads are not round above; an infant's is."""
    for scale, expected in ((0.1, False), (0.7, True)):
        cut, mask = without_top(*head(scale))
        assert is_cut_off_above(mask, cut.grid) == expected


def test_a_brain_that_fills_its_last_slice_and_an_empty_mask() -> None:
    """Where the field of view ends beside the brain, too, nothing is known to lie around it."""
    cut, mask = without_top(*head())
    box = np.s_[25:48, 40:70]
    volume, inside = Volume(cut.data[box], cut.affine), mask[box].copy()
    inside[..., -1] = True
    whole, _ = with_vertex(volume, inside)
    assert np.isfinite(whole.data).all()
    assert not is_cut_off_above(np.zeros_like(mask), cut.grid)
