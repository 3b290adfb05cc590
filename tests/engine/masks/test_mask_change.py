"""What became of a mask: volumes, places, words."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.grid import Grid
from napari_singlestrip.engine.masks.mask_change import mask_change

GRID = Grid((40, 40, 40), np.diag([4.0, 4.0, 4.0, 1.0]))  # 0.064 mL a voxel


def box(*sides: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(GRID.shape, bool)
    mask[tuple(slice(*side) for side in sides)] = True
    return mask


def test_what_was_added_and_removed_and_where() -> None:
    before = box((5, 35), (5, 35), (5, 35))
    mask = before | box((35, 37), (16, 24), (16, 24))
    mask &= ~box((16, 24), (5, 6), (33, 35))
    found = mask_change(mask, before, GRID)
    assert found.added_ml == pytest.approx(2 * 8 * 8 * 0.064)
    assert found.removed_ml == pytest.approx(8 * 1 * 2 * 0.064)
    assert (found.most_added, found.most_removed) == ("right", "back, top")
    assert found.in_words == "8.2 mL added (most: right), 1.0 mL removed (most: back, top)"
    assert found.in_short == "+8.2 mL (right), \u22121.0 mL (back, top)"
    assert not found.changed


def test_a_rim_does_not_hide_the_lump() -> None:
    """The edge moves everywhere a little; what is told is where most changed."""
    before = box((6, 34), (6, 34), (6, 34))
    mask = box((5, 35), (5, 35), (5, 35)) | box((10, 18), (0, 6), (10, 18))
    found = mask_change(mask, before, GRID)
    assert "back" in found.most_added
    assert found.changed


def test_nothing_changed() -> None:
    mask = box((5, 35), (5, 35), (5, 35))
    found = mask_change(mask, mask, GRID)
    assert found.in_words == "unchanged"
    assert found.overlap == 1
    nothing = np.zeros(GRID.shape, bool)
    assert mask_change(nothing, nothing, GRID).in_words == "unchanged"
