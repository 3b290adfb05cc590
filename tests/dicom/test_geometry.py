from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip.dicom.geometry import lies_on, onto_stack
from napari_singlestrip.dicom.stack import Frame, stack
from napari_singlestrip.errors import UserError

TILTED = (0.9848, 0.0, 0.1736, 0.0594, 0.9397, -0.3368)


def head() -> tuple[np.ndarray[tuple[int, int, int], np.dtype[np.int64]], Frame]:
    return np.arange(4 * 5 * 6).reshape(6, 5, 4), Frame((3.0, 4.0, 5.0), TILTED, (2.0, 1.5), (5, 4))


def test_any_order_of_axes_comes_back_to_the_slices() -> None:
    values, first = head()
    along = np.cross(TILTED[:3], TILTED[3:])
    frames = [
        Frame(tuple(np.array(first.position) + along * 3 * n), TILTED, first.spacing, first.shape)
        for n in range(6)
    ]
    grid = stack(frames)
    scan = np.ascontiguousarray(values.transpose(2, 1, 0))
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            turn = np.stack([axes, signs], axis=1).astype(float)
            turned = nib.orientations.apply_orientation(scan, turn)
            affine = grid.affine @ nib.orientations.inv_ornt_aff(turn, scan.shape)
            np.testing.assert_array_equal(onto_stack(turned, affine, grid), values)


def test_another_grid_is_refused() -> None:
    frames = [Frame((3, 4, 3.0 * n), (1, 0, 0, 0, 1, 0), (2, 1.5), (5, 4)) for n in range(6)]
    grid = stack(frames)
    moved = grid.affine.copy()
    moved[2, 3] += 1
    assert lies_on(grid.shape, grid.affine, grid)
    assert not lies_on(grid.shape, moved, grid)
    assert not lies_on((4, 5, 5), grid.affine, grid)
    assert not lies_on(grid.shape, grid.affine @ np.diag([1, 1, 0.99, 1]), grid)
    with pytest.raises(UserError, match="does not lie on the slices"):
        onto_stack(np.zeros(grid.shape, bool), moved, grid)
