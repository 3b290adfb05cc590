"""Scans that are brighter on one side of the head."""

from __future__ import annotations

import numpy as np
import pytest

from napari_singlestrip.engine.imaging.grid import Volume
from napari_singlestrip.engine.imaging.shading import STEEP, Shading, steep_shading

AFFINE = np.array([[0, -2.0, 0, 60], [-3.0, 0, 0, 80], [0, 0, 4.0, -50], [0, 0, 0, 1]])
SHAPE = (40, 60, 24)  # i runs backwards along y, j to the left


def scan(slope: np.ndarray, seed: int = 0) -> tuple[Volume, np.ndarray]:
    """Two tissues in a ball of 40 mm, shaded; and the ball."""
    rng = np.random.default_rng(seed)
    index = np.indices(SHAPE).reshape(3, -1).T
    place = (index @ AFFINE[:3, :3].T + AFFINE[:3, 3]).reshape(*SHAPE, 3)
    ball = ((place - place.mean((0, 1, 2))) ** 2).sum(-1) < 40**2
    tissue = np.where(rng.random(SHAPE) < 0.5, 0.2, 0.3) * ball
    return Volume((tissue * np.exp(place @ slope)).astype(np.float32), AFFINE), ball


@pytest.mark.parametrize("slope", [(0, -0.03, 0), (0.02, 0.01, 0.01), (0, 0, -0.04)])
def test_a_steep_shading_is_found_and_taken_away(slope: tuple[float, ...]) -> None:
    shaded, ball = scan(np.array(slope))
    found = steep_shading(shaded, ball)
    assert found is not None
    np.testing.assert_allclose(found.slope, slope, atol=0.002)
    flat, (plain, _) = found.flatten(shaded), scan(np.zeros(3))
    ratio = flat.data[ball] / plain.data[ball]
    assert ratio.max() / ratio.min() < 1.2  # was at least 3
    assert flat.affine is not None and np.array_equal(flat.affine, shaded.affine)


def test_it_is_found_in_a_part_of_the_brain() -> None:
    shaded, ball = scan(np.array([0, -0.04, 0]))
    part = ball.copy()
    part[:14] = False  # the dark front
    found = steep_shading(shaded, part)
    assert found is not None and found.slope[1] == pytest.approx(-0.04, rel=0.1)


def test_an_ordinary_scan_has_none() -> None:
    across = 80  # mm
    assert steep_shading(*scan(np.array([0, 0.8 * STEEP / across, 0]))) is None
    assert steep_shading(*scan(np.array([0, 1.2 * STEEP / across, 0]))) is not None


def test_nothing_is_said_of_nothing() -> None:
    shaded, ball = scan(np.array([0, -0.04, 0]))
    assert steep_shading(shaded, np.zeros_like(ball)) is None
    dark = Volume(np.zeros(SHAPE, np.float32), AFFINE)
    assert steep_shading(dark, ball) is None


def test_the_scan_itself_is_not_changed() -> None:
    shaded, _ = scan(np.array([0, -0.03, 0]))
    before = shaded.data.copy()
    flat = Shading(np.array([0.01, 0, 0]), np.array([5.0, 0, 0])).flatten(shaded)
    assert np.array_equal(shaded.data, before) and flat.data.dtype == np.float32
    # At x = 60 - 2 j, 5 mm is at j = 27.5: brightness is kept there.
    np.testing.assert_allclose(
        flat.data[20, 27, 12] / before[20, 27, 12], np.exp(-0.01), rtol=1e-4
    )
