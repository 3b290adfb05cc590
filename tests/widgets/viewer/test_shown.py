"""Where one looks first: the middle of a mask, on slices that show some of it."""

from __future__ import annotations

import numpy as np

from napari_singlestrip.widgets.viewer.shown import centre_of


def test_centre_of_mass_of_a_mask() -> None:
    mask = np.zeros((30, 40, 50), np.uint8)
    mask[10:21, 5:16, 20:41] = 1
    mask[28, 38, 48] = 1  # a speck far away
    assert centre_of(mask) == (15, 10, 30)


def test_slices_between_outlines_are_not_shown() -> None:
    mask = np.zeros((30, 40, 50), np.uint8)
    mask[[4, 14, 25], 10:20, 10:20] = 1
    assert centre_of(mask) == (14, 14, 14)
    mask[14] = 0
    found = centre_of(mask)
    assert found is not None and found[0] in (4, 25)


def test_nothing_painted() -> None:
    assert centre_of(np.zeros((3, 4, 5), np.uint8)) is None
