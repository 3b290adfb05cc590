"""What lies far outside of a reconstruction is removed; what is not reconstructed stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from napari_singlestrip.engine.config import RankingConfig
from napari_singlestrip.engine.imaging.grid import Grid
from napari_singlestrip.engine.imaging.pose import pitch
from napari_singlestrip.engine.learning.autoencoder import Autoencoder, Frame
from napari_singlestrip.engine.learning.leaks import remove_leaks
from napari_singlestrip.engine.masks.metrics import dice

Array = np.ndarray[Any, Any]
STEP_MM, RADIUS_MM = 2.0, 60.0
SHAPE = (90, 80, 70)
RANKING = RankingConfig(pitch_deg=0)
GRID = Grid(SHAPE, np.diag([STEP_MM, STEP_MM, STEP_MM, 1.0]))


def ball(radius_mm: float, centre_mm: tuple[float, float, float] = (0, 0, 0)) -> Array:
    middle = (np.array(SHAPE) - 1) / 2
    away = (np.indices(SHAPE).T - middle) * STEP_MM - np.array(centre_mm)
    inside: Array = (np.linalg.norm(away, axis=-1) < radius_mm).T
    return inside


class AlwaysABall(nn.Module):
    """A network that knows one brain only: a ball, in the middle of its frame."""

    def __init__(self, spacing_mm: float, radius_mm: float) -> None:
        super().__init__()
        away = (np.indices((24, 24, 24)) - 11.5) * spacing_mm
        depth = radius_mm - np.linalg.norm(away, axis=0)
        self.logits = nn.Parameter(torch.from_numpy(4 * depth / spacing_mm).float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(x), 1, 24, 24, 24)


def knowing_a_ball(scale: float = 1.0) -> Autoencoder:
    net = AlwaysABall(8.0 * scale, RADIUS_MM * scale)
    return Autoencoder(net.eval(), Frame(8.0 * scale, (24, 24, 24)))


BRAIN = ball(RADIUS_MM)
LEAK = ball(12, (70, 0, 0))
LEAKING = BRAIN | LEAK


def test_a_leak_is_removed_and_the_brain_stays() -> None:
    before = LEAKING.copy()
    cut = remove_leaks(LEAKING, GRID, knowing_a_ball(), RANKING)
    np.testing.assert_array_equal(LEAKING, before)
    assert not (cut & ~LEAKING).any()
    assert not (cut & ~ball(RADIUS_MM + 7)).any()
    np.testing.assert_array_equal(cut & BRAIN, BRAIN)
    assert dice(cut, BRAIN) > 0.998 > dice(LEAKING, BRAIN)


def test_a_border_that_is_a_little_outside_is_no_leak() -> None:
    thick = ball(RADIUS_MM + 2.5)
    np.testing.assert_array_equal(remove_leaks(thick, GRID, knowing_a_ball(), RANKING), thick)


@pytest.mark.parametrize("mask", [
    BRAIN & (np.indices(SHAPE)[1] < 46) | LEAK,  # the front of the head is cut off
    LEAKING | ball(40, (50, 0, 0)),
])  # fmt: skip
def test_a_mask_that_is_not_reconstructed_stays_as_it_is(mask: Array) -> None:
    np.testing.assert_array_equal(remove_leaks(mask, GRID, knowing_a_ball(), RANKING), mask)


@pytest.mark.parametrize("turn", [np.diag([-1.0, 1, 1, 1]), pitch(25.0), np.eye(4)[[2, 0, 1, 3]]])
def test_orientation_of_the_scan_does_not_matter(turn: Array) -> None:
    grid = Grid(SHAPE, turn @ GRID.affine)
    cut = remove_leaks(LEAKING, grid, knowing_a_ball(), RANKING)
    assert dice(cut, remove_leaks(LEAKING, GRID, knowing_a_ball(), RANKING)) > 0.999
    assert not (cut & ~ball(RADIUS_MM + 7)).any()


def test_lengths_follow_the_size_of_the_brain() -> None:
    small = Grid(SHAPE, np.diag([STEP_MM / 10, STEP_MM / 10, STEP_MM / 10, 1.0]))
    cut = remove_leaks(LEAKING, small, knowing_a_ball(0.1), RANKING)
    assert dice(cut, BRAIN) > 0.998


def test_thick_slices_lose_their_leaks_too() -> None:
    thick = Grid((90, 80, 18), np.diag([STEP_MM, STEP_MM, 4 * STEP_MM, 1.0]))
    cut = remove_leaks(LEAKING[:, :, 1::4], thick, knowing_a_ball(), RANKING)
    assert dice(cut, BRAIN[:, :, 1::4]) > 0.995


def test_nothing_stays_nothing() -> None:
    assert not remove_leaks(np.zeros(SHAPE, bool), GRID, knowing_a_ball(), RANKING).any()
