"""Losses: smallest where the answer is right, and gradients that lead there."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_singlestrip.engine.config import NetworkConfig
from napari_singlestrip.engine.learning.losses import (
    BAND,
    partial_volume,
    segmentation_loss,
    soft_dice_loss,
    to_probability,
)

Target = Literal["probability", "distance"]
TARGETS: tuple[Target, ...] = ("probability", "distance")


def ball(radius: float = 4.0, side: int = 12) -> torch.Tensor:
    """Signed distance to a ball, (1, 1, side, side, side)."""
    axis = torch.arange(side) - (side - 1) / 2
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    return ((x**2 + y**2 + z**2).sqrt() - radius)[None, None]


def perfect(distance: torch.Tensor, target: Target) -> torch.Tensor:
    """The output that says exactly where the brain is."""
    if target == "distance":
        return distance
    return torch.logit(partial_volume(distance).clamp(1e-4, 1 - 1e-4))


@given(st.floats(-10, 10))
def test_partial_volume_is_a_fraction_half_on_the_surface(distance: float) -> None:
    fraction = float(partial_volume(torch.tensor(distance)))
    assert fraction == pytest.approx(min(max(0.5 - distance, 0), 1), abs=1e-6)


def test_dice_loss_is_0_for_the_same_and_near_1_for_the_opposite() -> None:
    mask = partial_volume(ball())
    assert float(soft_dice_loss(mask, mask)) == pytest.approx(0, abs=1e-5)
    assert float(soft_dice_loss(1 - mask, (mask > 0.99).float())) > 0.95
    assert float(soft_dice_loss(torch.zeros_like(mask), torch.zeros_like(mask))) == 0


def test_dice_loss_is_the_mean_over_heads() -> None:
    small, large = partial_volume(ball(2)), partial_volume(ball(5))
    both = soft_dice_loss(torch.cat([small, small]), torch.cat([small, large]))
    assert float(both) == pytest.approx(float(soft_dice_loss(small, large)) / 2, abs=1e-6)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("cross_entropy", [0.0, 0.5])
def test_right_answer_costs_least(target: Target, cross_entropy: float) -> None:
    network, truth = NetworkConfig(target=target), ball()
    costs = [
        float(segmentation_loss(perfect(ball(r), target), truth, network, cross_entropy))
        for r in (2.0, 3.0, 4.0, 5.0)
    ]
    assert costs[2] == min(costs)
    assert costs[0] > costs[1] > costs[2] < costs[3]


@pytest.mark.parametrize("target", TARGETS)
def test_gradient_leads_to_the_right_answer(target: Target) -> None:
    network, truth = NetworkConfig(target=target), ball()
    output = torch.zeros_like(truth, requires_grad=True)
    optimiser = torch.optim.Adam([output], 0.5)
    for _ in range(60):
        loss = segmentation_loss(output, truth, network, 0.5)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    found = to_probability(output.detach(), network) > 0.5
    assert torch.equal(found, truth < 0)


def test_distances_beyond_the_band_do_not_matter() -> None:
    network, truth = NetworkConfig(target="distance"), ball(3, 20)
    wrong_far_away = torch.where(truth > BAND, truth + 50, truth)
    assert float(segmentation_loss(wrong_far_away, truth, network, 0.5)) == 0


def test_cross_entropy_adds_to_dice() -> None:
    network, truth, output = NetworkConfig(), ball(), torch.zeros(1, 1, 12, 12, 12)
    without, half, whole = (float(segmentation_loss(output, truth, network, w))
                            for w in (0.0, 0.5, 1.0))
    assert half - without == pytest.approx(0.5 * float(torch.tensor(2.0).log()), abs=1e-5)
    assert whole - half == pytest.approx(half - without, abs=1e-5)


@pytest.mark.parametrize("target", TARGETS)
def test_probability_is_half_on_the_surface_and_falls_outwards(target: Target) -> None:
    network = NetworkConfig(target=target)
    outputs = torch.linspace(-3, 3, 7) * (1 if target == "distance" else -1)
    probability = to_probability(outputs, network)
    assert float(probability[3]) == pytest.approx(0.5)
    assert (probability.diff() < 0).all()
    assert 0 <= float(probability.min()) < float(probability.max()) <= 1


@pytest.mark.parametrize("target", TARGETS)
def test_low_precision_is_raised_first(target: Target) -> None:
    network, truth = NetworkConfig(target=target), ball()
    output = perfect(truth, target).bfloat16()
    assert segmentation_loss(output, truth, network, 0.5).dtype == torch.float32
    assert to_probability(output, network).dtype == torch.float32
