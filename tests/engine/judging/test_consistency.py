"""Agreement under augmentation: a net that answers alike however the head is turned scores high."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.engine.judging.consistency import (
    CONTRAST,
    ROTATION_DEG,
    Augmentation,
    _overlaps,
    consistency,
    overlaps_on_device,
    sample_augmentation,
)
from napari_singlestrip.engine.learning.segmenter import Segmenter

SIDE = 24


def blob() -> Any:
    """A smooth bright blob, wider than high, off the middle."""
    x, y, z = np.indices((SIDE,) * 3)
    square = ((x - 11) / 5) ** 2 + ((y - 13) / 6) ** 2 + ((z - 12) / 4) ** 2
    return np.exp(-square).astype(np.float32)


class Threshold(nn.Module):
    """Bright is brain: sees a head the same way however it is turned."""

    def __init__(self, level: float = 0.4) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(level))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 40 * (x - self.level)


class LeftHalf(Threshold):
    """Brain is what lies left: whatever the head."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        place = torch.arange(x.shape[2], dtype=x.dtype).view(1, 1, -1, 1, 1)
        return (8.0 - place).expand_as(x) * 10 + 0 * self.level


def score(net: nn.Module, seed: int = 0) -> float:
    segmenter = Segmenter(net.eval(), Settings(), 4.0, (SIDE, SIDE, SIDE))
    return consistency(segmenter, blob(), 6, np.random.default_rng(seed))


@given(st.integers(0, 2**31))
def test_augmentations_keep_to_their_ranges(seed: int) -> None:
    one, same = (sample_augmentation(np.random.default_rng(seed)) for _ in range(2))
    assert 1 - CONTRAST <= one.contrast <= 1 + CONTRAST
    assert np.allclose(one.rotation @ one.rotation.T, np.eye(3))
    assert np.linalg.det(one.rotation) == pytest.approx(1)
    angle = np.rad2deg(np.arccos(np.clip((np.trace(one.rotation) - 1) / 2, -1, 1)))
    assert angle <= ROTATION_DEG + 1e-6
    assert (one.contrast, one.mirror) == (same.contrast, same.mirror)
    assert np.array_equal(one.rotation, same.rotation)


@given(st.integers(0, 2**31))
def test_turning_back_undoes_turning(seed: int) -> None:
    drawn = sample_augmentation(np.random.default_rng(seed))
    augmentation = Augmentation(1.0, drawn.mirror, drawn.rotation)
    there = augmentation.apply(blob())
    back = augmentation.invert(there)
    assert np.abs(back - blob()).max() < 0.1  # interpolated twice
    assert np.corrcoef(back.ravel(), blob().ravel())[0, 1] > 0.99


def test_mirror_alone_is_undone_exactly() -> None:
    augmentation = Augmentation(1.0, True, np.eye(3))
    assert np.allclose(augmentation.apply(blob()), blob()[::-1], atol=1e-6)
    assert np.allclose(augmentation.invert(augmentation.apply(blob())), blob(), atol=1e-6)


def test_contrast_is_about_the_middle_grey_and_clipped() -> None:
    data = np.full((4, 4, 4), 0.6, np.float32)
    assert np.allclose(Augmentation(1.1, False, np.eye(3)).apply(data), 0.61)
    assert Augmentation(1.1, False, np.eye(3)).apply(np.ones_like(data)).max() == 1


def test_steady_net_scores_higher_than_a_stubborn_one() -> None:
    steady, stubborn = score(Threshold()), score(LeftHalf())
    assert 0 <= stubborn < steady <= 1
    assert steady > 0.85


def test_same_generator_same_score() -> None:
    assert score(Threshold(), 3) == score(Threshold(), 3)
    assert score(Threshold(), 3) != score(Threshold(), 4)


def test_no_brain_anywhere_is_nan() -> None:
    assert math.isnan(score(Threshold(2.0)))


def test_brain_everywhere_is_nearly_consistent() -> None:
    assert score(Threshold(-1.0)) > 0.6


@pytest.mark.parametrize("net", [Threshold(), LeftHalf(), Threshold(-1.0)])
@pytest.mark.parametrize("shape", [(24, 24, 24), (16, 20, 24)])
def test_a_card_finds_what_the_cpu_finds(net: nn.Module, shape: tuple[int, ...]) -> None:
    """The same views, turned by torch and not by scipy: rounding moves few voxels."""
    data = blob()[tuple(slice(0, n) for n in shape)]
    segmenter = Segmenter(net.eval(), Settings(), 4.0, (16, 20, 24))
    rng = np.random.default_rng(1)
    augmentations = [sample_augmentation(rng) for _ in range(6)]
    slow = _overlaps(segmenter, data, augmentations)
    fast = overlaps_on_device(segmenter, data, augmentations)
    for (both, total), (both_there, total_there) in zip(slow, fast, strict=True):
        assert abs(2 * both / total - 2 * both_there / total_there) < 0.002
        assert abs(total - total_there) <= 0.002 * total + 2


def test_a_card_without_memory_leaves_it_to_the_slow_way(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = score(Threshold())

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    module = "napari_singlestrip.engine.judging.consistency"
    monkeypatch.setattr(f"{module}.overlaps_on_device", full)
    monkeypatch.setattr(f"{module}.release", lambda _: None)
    monkeypatch.setattr(Segmenter, "device", torch.device("meta"))
    assert score(Threshold()) == expected
