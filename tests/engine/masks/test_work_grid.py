"""The coarser grid around a brain."""

from __future__ import annotations

import numpy as np
import pytest

from napari_singlestrip.engine.masks.work_grid import (
    ADULT_RADIUS_MM,
    centred_grid,
    coarser_grid,
    fraction_inside,
    relative_size,
    with_margin,
)


def test_size_is_relative_to_an_adult_s_brain() -> None:
    n = round((4 / 3 * np.pi) ** (1 / 3) * ADULT_RADIUS_MM)  # side of a cube as large
    mask = np.ones((n, n, n), bool)
    assert relative_size(mask, (1, 1, 1)) == pytest.approx(1, abs=0.01)
    assert relative_size(mask, (0.5, 0.5, 0.5)) == pytest.approx(0.5, abs=0.01)
    assert relative_size(mask, (3, 3, 3)) == 1.0
    assert relative_size(mask[:2, :2, :2], (1, 1, 1)) == 0.5  # a step is no finer than a voxel


def test_a_margin_ends_with_the_array() -> None:
    box = slice(2, 5), slice(10, 12), slice(0, 8)
    assert with_margin(box, (1, 2, 4), 4, (20, 20, 9)) == (
        slice(0, 9), slice(8, 14), slice(0, 9)
    )


def test_thick_voxels_are_not_made_finer() -> None:
    own = centred_grid((10, 20, 6), (1.0, 1.6, 5.0))
    grid = coarser_grid(own, 2.0)
    assert grid.shape == (5, 20, 6)
    assert grid.spacing == pytest.approx((2.0, 1.6, 5.0))
    assert grid.middle == pytest.approx([0, 0, 0])


def test_fraction_is_half_at_a_surface() -> None:
    own = centred_grid((8, 8, 8), (1.0, 1.0, 1.0))
    mask = np.zeros((8, 8, 8), bool)
    mask[:4] = True
    inside = fraction_inside(mask, own, coarser_grid(own, 2.0))
    assert inside[:, 1, 1] == pytest.approx([1, 1, 0, 0], abs=0.26)
    assert inside.sum() == pytest.approx(32, rel=0.02)
