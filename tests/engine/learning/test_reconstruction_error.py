"""How far a mask is from its reconstruction, by three measures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from napari_singlestrip.engine.imaging.grid import Grid
from napari_singlestrip.engine.judging.ranking import rank
from napari_singlestrip.engine.learning.autoencoder import Reconstruction
from napari_singlestrip.engine.learning.reconstruction_error import autoencoder_error

KINDS = ("dice", "mse", "surface")


def reconstruction(mask: Any, reconstructed: Any) -> Reconstruction:
    i, j, k = mask.shape
    grid = Grid((i, j, k), np.diag([2.0, 2.0, 2.0, 1.0]))
    return Reconstruction(mask.astype(np.float32), reconstructed.astype(np.float32), grid)


def cube(start: int = 3, stop: int = 9) -> Any:
    mask = np.zeros((12, 12, 12))
    mask[start:stop, 3:9, 3:9] = 1
    return mask


@pytest.mark.parametrize("kind", KINDS)
def test_perfect_reconstruction_has_no_error(kind: str) -> None:
    assert autoencoder_error([reconstruction(cube(), cube())], kind) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_worse_reconstructions_have_larger_errors(kind: str) -> None:
    moved = [reconstruction(cube(), cube(start)) for start in range(3, 8)]
    errors = [autoencoder_error([one], kind) for one in moved]
    assert np.all(np.diff(errors) > 0)


def test_dice_error_is_one_minus_dice() -> None:
    half = reconstruction(cube(), cube(6))
    assert autoencoder_error([half], "dice") == pytest.approx(1 - 2 / 3)
    assert autoencoder_error([half], "mse") == pytest.approx(0.5)


@pytest.mark.parametrize("kind", ["dice", "mse"])
def test_nothing_redrawn_is_all_wrong(kind: str) -> None:
    nothing = reconstruction(cube(), np.zeros((12, 12, 12)))
    assert autoencoder_error([nothing], kind) == pytest.approx(1)


def test_nothing_redrawn_has_no_surface_distance() -> None:
    error = autoencoder_error([reconstruction(cube(), np.zeros((12, 12, 12)))], "surface")
    assert not math.isfinite(error)
    assert rank([error, 0.1])[0] == 2
