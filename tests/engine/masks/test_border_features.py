"""Image features near a surface."""

from __future__ import annotations

import numpy as np

from napari_singlestrip.engine.masks.border_features import border_features

SHAPE = 24, 24, 24
SCAN, FINE, COARSE, DARKEST, BRIGHTEST, DEVIATION, SLOPE, INWARDS, OUTWARDS = range(9)


def step_features(spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    """Of a plane at half of the first axis: 100 inside, below it, and 20 outside."""
    place = np.broadcast_to(np.arange(24)[:, None, None] - 11.5, SHAPE)
    scan = np.where(place < 0, 100, 20).astype(np.float32)
    distance = (place * spacing[0]).astype(np.float32)
    return border_features(scan, place < 0, distance, spacing, 1.0)[:, :, 12, 12]


def test_features_at_a_plane() -> None:
    found = step_features()
    near, deep = found[:, 11], found[:, 1]
    assert np.allclose(deep[[SCAN, FINE, COARSE, DARKEST, BRIGHTEST, INWARDS]], 1, atol=0.01)
    assert abs(deep[DEVIATION]) < 0.01 and abs(deep[SLOPE]) < 0.01
    assert near[DARKEST] < 0.25 < 0.95 < near[BRIGHTEST]
    assert near[DEVIATION] > 0.3 and near[SLOPE] < -0.1  # darker outwards
    assert near[INWARDS] > 0.95 and near[OUTWARDS] < 0.3


def test_features_have_the_scale_of_the_brightness_inside() -> None:
    assert step_features().max() < 1.1


def test_lengths_are_in_mm() -> None:
    fine = step_features((0.5, 0.5, 0.5))
    assert fine[DARKEST, 5] < 0.5 < 0.9 < step_features()[DARKEST, 5]
