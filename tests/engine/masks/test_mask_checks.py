from __future__ import annotations

import numpy as np
import pytest

from napari_singlestrip.engine.imaging.grid import Grid
from napari_singlestrip.engine.masks.mask_checks import check_mask
from napari_singlestrip.widgets.paint.checks_box import in_words

GRID = Grid((20, 20, 20), np.diag([1.0, 1.0, 2.0, 1.0]))


def test_slices_that_are_missing_are_counted_across_the_painted_plane() -> None:
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[5:15, 5:15, [2, 8, 12]] = True

    checks = check_mask(mask, GRID, 0)  # another plane is looked at

    assert (checks.painted, checks.missing) == (3, 8)
    assert checks.report.pieces == 3
    assert checks.report.volume_ml == 3 * 100 * 2 / 1000


def test_of_a_whole_mask() -> None:
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[5:15, 5:15, 3:9] = True

    assert check_mask(mask, GRID, 2).painted == 6
    assert check_mask(mask, GRID, 2).missing == 0
    assert check_mask(np.zeros_like(mask), GRID, 1).painted == 0


def test_a_brain_that_is_not_painted_to_its_ends_is_flat() -> None:
    mask = np.zeros(GRID.shape, dtype=bool)
    assert not check_mask(mask, GRID, 0).is_flat
    mask[2:18, 3:17, 8:10] = True  # 16 x 14 x 4 mm
    assert check_mask(mask, GRID, 0).is_flat
    mask[2:18, 3:17, 5:10] = True
    assert not check_mask(mask, GRID, 0).is_flat


def words(mask: np.ndarray, axis: int = 0) -> str:
    """What is said of the pieces of a mask."""
    return in_words(check_mask(mask, GRID, axis))[0]


def brain() -> np.ndarray:
    """A ball of brain on 40 x 40 x 40 voxels."""
    i, j, k = np.ogrid[:40, :40, :40]
    return np.asarray((i - 20) ** 2 + (j - 20) ** 2 + (k - 20) ** 2 < 15**2)


@pytest.mark.parametrize("axis", (0, 1, 2))
def test_outlined_slices_are_to_be_filled_never_deleted(axis: int) -> None:
    whole, outlined = brain(), np.zeros((40, 40, 40), bool)
    for n in (6, 12, 20, 28, 34):
        part = (slice(None),) * axis + (n,)
        outlined[part] = whole[part]
    assert "5 outlined slices: press I" in words(outlined)
    assert "Keep largest" not in " ".join(in_words(check_mask(outlined, GRID, 0)))


def test_what_a_person_painted_is_never_advised_to_be_deleted() -> None:
    half = brain()  # filled in up to slice 20; then only outlines, the last one small
    half[21:25] = half[26:34] = half[35:] = False
    half[34] &= np.pad(np.ones((4, 4), bool), 18)
    assert "press I" in words(half)
    hemispheres = brain()
    hemispheres[:, :, 18:23] = False
    assert "2 pieces" in words(hemispheres)
    assert "if brain lies between" in words(hemispheres)
    joined = hemispheres.copy()  # above, not below: no slice is empty
    joined[33, 15:25, 18:23] = True
    joined[33, 15:25, 17] = joined[33, 15:25, 23] = False
    assert "join" in words(joined)
    slices = np.zeros_like(hemispheres)
    slices[[6, 14, 22, 30]] = hemispheres[[6, 14, 22, 30]]  # eight pieces on four slices
    assert "4 outlined slices" in words(slices)
    planes = np.zeros_like(hemispheres)  # outlines in three planes, of the two hemispheres
    planes[20], planes[:, 20], planes[:, :, 10] = (
        hemispheres[20], hemispheres[:, 20], hemispheres[:, :, 10]
    )
    for mask in (half, hemispheres, joined, slices, planes):
        assert "Keep largest" not in " ".join(in_words(check_mask(mask, GRID, 0)))


def test_specks_beside_a_whole_brain_may_go() -> None:
    mask = brain()
    mask[20, 33, 33] = True
    assert "Keep largest" in words(mask)
    mask[38, 38, 38] = True  # slices are missing now: is it the next outline?
    assert "Keep largest" not in words(mask)
