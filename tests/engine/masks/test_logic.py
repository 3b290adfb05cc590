"""A mask with another mask, and a mask from intensities."""

from __future__ import annotations

import numpy as np
import pytest

from napari_singlestrip.engine.masks.logic import How, between, combine
from napari_singlestrip.errors import UserError

ONE, OTHER = (np.array(m, dtype=bool).reshape(1, 2, 2) for m in ([1, 1, 0, 0], [1, 0, 1, 0]))


@pytest.mark.parametrize(("how", "expected"), [
    ("add", [1, 1, 1, 0]), ("subtract", [0, 1, 0, 0]), ("intersect", [1, 0, 0, 0]),
])
def test_masks_are_combined(how: How, expected: list[int]) -> None:
    assert combine(ONE, OTHER, how).ravel().astype(int).tolist() == expected


def test_masks_of_other_grids_are_not() -> None:
    with pytest.raises(UserError, match="voxels"):
        combine(ONE, np.zeros((1, 2, 3), bool), "add")


def test_a_range_takes_its_ends_and_stays_within() -> None:
    image = np.array([1.0, 2, 3, np.nan]).reshape(1, 2, 2)
    assert between(image, (1, 2)).sum() == 2
    assert np.array_equal(between(image, (2, 9), ONE).ravel(), [False, True, False, False])
