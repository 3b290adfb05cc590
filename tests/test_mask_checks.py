from __future__ import annotations

import numpy as np

from napari_singlestrip.engine.grid import Grid
from napari_singlestrip.engine.mask_checks import check_mask

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
