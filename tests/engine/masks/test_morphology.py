"""Growing, shrinking and filling: the same as scipy's, voxel by voxel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_singlestrip.engine.masks.morphology import dilated, eroded, filled

Array = np.ndarray[Any, Any]
side = st.integers(1, 9)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (dilated, ndimage.binary_dilation),
        (eroded, ndimage.binary_erosion),
        (filled, ndimage.binary_fill_holes),
    ],
)
@given(shape=st.tuples(side, side, side), share=st.floats(0, 1), seed=st.integers(0, 99))
def test_as_scipy(
    ours: Callable[[Array], Array], theirs: Callable[[Array], Array],
    shape: tuple[int, int, int], share: float, seed: int,
) -> None:
    mask = np.random.default_rng(seed).random(shape) < share
    before = mask.copy()
    assert np.array_equal(ours(mask), theirs(mask))
    assert np.array_equal(mask, before)
