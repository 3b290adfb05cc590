"""Heads that are pitched: turned back, as far as the network asks for."""

from __future__ import annotations

import numpy as np
import pytest

from napari_singlestrip.engine.imaging.pose import climb, pitch


def test_pitch_turns_the_front_up_and_leaves_left_and_right() -> None:
    front = pitch(90) @ [5, 1, 0, 1]
    assert np.allclose(front, [5, 0, 1, 1])
    assert np.allclose(pitch(30) @ pitch(-30), np.eye(4))
    assert np.linalg.det(pitch(17)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("top", "step", "limit", "reached"),
    [
        (37, 20, 60, 40),
        (37, 20, 30, 20),  # no further than asked for
        (37, 20, 10, 0),
        (37, -20, 60, 0),  # downhill
        (-55, -10, 90, -50),
        (3, 20, 60, 0),
    ],
)
def test_climb_stops_at_the_top(top: float, step: float, limit: float, reached: float) -> None:
    asked = []

    def height(x: float) -> float:
        asked.append(x)
        return -abs(x - top)

    assert climb(height, step, limit) == reached
    assert len(asked) == len(set(asked)) and max(map(abs, asked)) <= limit


def test_small_gains_are_chance() -> None:
    assert climb(lambda x: x, 1, 5, least_gain=1.5) == 0
    assert climb(lambda x: x, 1, 5, least_gain=0.5) == 5
