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
from napari_singlestrip.engine.imaging.grid import Volume
from napari_singlestrip.engine.imaging.shading import Shading
from napari_singlestrip.engine.judging import consistency as module
from napari_singlestrip.engine.judging.consistency import (
    CONTRAST,
    ROTATION_DEG,
    Augmentation,
    agreement,
    consistency,
    predict_augmented,
    predict_augmented_on_device,
    sample_augmentation,
)
from napari_singlestrip.engine.learning.prediction import to_mask
from napari_singlestrip.engine.learning.segmenter import Segmenter, predict
from napari_singlestrip.engine.learning.window import Window
from napari_singlestrip.engine.overrides import override

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


COARSE = override(Settings(), {"prediction.refine_border": False, "prediction.threshold": 0.5})


def views(seed: int, n: int = 6) -> list[Augmentation]:
    rng = np.random.default_rng(seed)
    return [sample_augmentation(rng) for _ in range(n)]


def score(net: nn.Module, seed: int = 0) -> float:
    """Agreement of the network's own masks."""
    segmenter = Segmenter(net.eval(), COARSE, 4.0, (SIDE, SIDE, SIDE))
    return agreement([p > 0.5 for p in predict_augmented(segmenter, blob(), views(seed))])


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
    segmenter = Segmenter(net.eval(), COARSE, 4.0, (16, 20, 24))
    slow = predict_augmented(segmenter, data, views(1))
    fast = predict_augmented_on_device(segmenter, data, views(1))
    for one, other in zip(slow, fast, strict=True):
        assert one.shape == other.shape == data.shape
        assert np.count_nonzero((one > 0.5) ^ (other > 0.5)) <= 0.002 * data.size


def test_a_card_without_memory_leaves_it_to_the_slow_way(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = score(Threshold())

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    module = "napari_singlestrip.engine.judging.consistency"
    monkeypatch.setattr(f"{module}.predict_augmented_on_device", full)
    monkeypatch.setattr(f"{module}.release", lambda _: None)
    monkeypatch.setattr(Segmenter, "device", torch.device("meta"))
    assert score(Threshold()) == expected


class Rough(Threshold):
    """Bright is brain, with a surface that is off by other errors in every view."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rng = torch.Generator().manual_seed(int(1e4 * float(x.mean())))
        noise = torch.randn([1, 1, *(side // 4 for side in x.shape[2:])], generator=rng)
        smooth = nn.functional.interpolate(noise, size=x.shape[2:], mode="trilinear")
        return 40 * (x - self.level + 0.3 * torch.tanh(2 * smooth))


def test_agreement_is_that_of_masks_with_refined_borders() -> None:
    """What the border of the scan corrects in every view is no disagreement."""
    axes = np.ogrid[:96, :96, :96]
    radius = np.sqrt(sum((a - 47.5) ** 2 for a in axes))
    head = np.select([radius < 35, radius < 39], [0.9, 0.0], 0.15).astype(np.float32)
    volume = Volume(head, np.diag([2.0, 2.0, 2.0, 1.0]))
    found = {}
    for refined in (True, False):
        settings = override(COARSE, {"prediction.refine_border": refined})
        segmenter = Segmenter(Rough(0.5).eval(), settings, 4.0, (48, 48, 48))
        mask = to_mask(predict(segmenter, volume), volume, settings)
        found[refined] = consistency(segmenter, volume, mask, 4, np.random.default_rng(0))
    assert found[False] < 0.99
    assert found[True] > found[False] + 0.005


def test_agreement_is_measured_without_steep_shading(monkeypatch: pytest.MonkeyPatch) -> None:
    shading = Shading(np.array([0.02, 0, 0]), np.zeros(3))
    seen: list[Any] = []
    window = Window(Volume(blob(), np.diag([4.0, 4, 4, 1])), blob(), None, (SIDE,) * 3, shading)
    monkeypatch.setattr(module, "find_window", lambda *_: window)

    def same(found: list[Any], _grid: Any, _mask: Any, volume: Volume, *_: Any) -> list[Any]:
        seen.append(volume)
        return [blob() > 0.5] * len(found)

    monkeypatch.setattr(module, "similar_masks", same)
    segmenter = Segmenter(Threshold().eval(), COARSE, 4.0, (SIDE,) * 3)
    scan = window.conformed
    assert consistency(segmenter, scan, blob() > 0.5, 2, np.random.default_rng(0)) == 1
    assert np.allclose(seen[0].data, shading.flatten(scan).data)
