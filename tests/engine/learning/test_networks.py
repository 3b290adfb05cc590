"""Networks: shapes, gradients everywhere, and the same first weights from the same generator."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn

from napari_singlestrip.engine.config import NetworkConfig
from napari_singlestrip.engine.learning.networks import Committee, build_segmenter, logit
from napari_singlestrip.engine.learning.training import initial_weights

Architecture = Literal["unet", "synthstrip"]
ARCHITECTURES: tuple[Architecture, ...] = ("unet", "synthstrip")


def config(architecture: Architecture, channels: tuple[int, ...] = (4, 8, 8)) -> NetworkConfig:
    return NetworkConfig(architecture=architecture, channels=channels)


def network(architecture: Architecture, seed: int = 0) -> nn.Module:
    net = build_segmenter(config(architecture))
    initial_weights(net, np.random.default_rng(seed))
    return net


def picture(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("channels", [(4, 4), (4, 8, 8), (2, 4, 4, 4)])
def test_output_has_the_shape_of_the_picture(
    architecture: Architecture, channels: tuple[int, ...]
) -> None:
    settings = config(architecture, channels)
    n = settings.side_multiple
    assert n == 2 ** (len(channels) - 1)
    x = picture(2, 1, n, 2 * n, 3 * n)
    assert build_segmenter(settings).eval()(x).shape == x.shape


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_weight_learns(architecture: Architecture) -> None:
    net = network(architecture)
    net(picture(2, 1, 8, 12, 16)).square().mean().backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name
    # Biases before a normalisation are taken out by it: the only ones without a gradient.
    idle = [n for n, w in net.named_parameters() if w.grad is not None and not w.grad.any()]
    assert all(name.endswith("bias") for name in idle)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_first_weights_follow_from_the_generator(architecture: Architecture) -> None:
    torch.manual_seed(1)
    one = network(architecture).state_dict()
    torch.manual_seed(2)
    two, other = network(architecture).state_dict(), network(architecture, seed=1).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_first_weights_keep_the_variance() -> None:
    net = nn.Sequential(nn.Conv3d(16, 64, 3), nn.Linear(256, 256))
    initial_weights(net, np.random.default_rng(0))
    conv, linear = net[0], net[1]
    assert isinstance(conv, nn.Conv3d)
    assert isinstance(linear, nn.Linear)
    assert float(conv.weight.detach().std()) == pytest.approx((2 / (16 * 27)) ** 0.5, rel=0.05)
    assert float(linear.weight.detach().std()) == pytest.approx((2 / 256) ** 0.5, rel=0.05)
    assert conv.bias is not None
    assert not conv.bias.any()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_prediction_sees_the_neighbourhood(architecture: Architecture) -> None:
    """A change at one place reaches the output around it, on all levels."""
    net, x = network(architecture).eval(), picture(1, 1, 16, 16, 16)
    changed = x.clone()
    changed[0, 0, 8, 8, 8] += 1
    with torch.inference_mode():
        difference = (net(changed) - net(x)).abs()[0, 0]
    assert (difference > 1e-7).sum() > 27


def test_both_architectures_can_be_saved_and_loaded() -> None:
    for architecture in ARCHITECTURES:
        one, two = network(architecture).eval(), network(architecture, seed=5).eval()
        two.load_state_dict(one.state_dict())
        x = picture(1, 1, 8, 8, 8)
        with torch.inference_mode():
            assert torch.equal(one(x), two(x))


def test_default_is_the_unet_of_monai() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # monai's and its dependencies' own deprecations
        from monai.networks.nets.unet import UNet

        norm = ("INSTANCE", {"affine": True})
        theirs = UNet(3, 1, 1, (4, 8, 16), (2, 2), num_res_units=0, norm=norm)
    ours = build_segmenter(NetworkConfig(channels=(4, 8, 16)))
    kernels = [
        sorted(tuple(p.shape) for p in net.parameters() if p.ndim > 1) for net in (ours, theirs)
    ]
    assert kernels[0] == kernels[1]


def test_a_committee_answers_with_the_mean_of_two_probabilities() -> None:
    one, other = torch.nn.Identity(), torch.nn.Identity()
    p = torch.tensor([0.2, 0.6, 0.9])
    x = torch.logit(p)
    assert torch.allclose(torch.sigmoid(Committee(one, other)(x)), p, atol=1e-5)
    # One for which brain is what lies above 0.6 agrees at its 0.6 with the other's 0.5.
    both = Committee(one, other, shift=logit(0.5) - logit(0.6))
    shifted = torch.sigmoid(x - logit(0.6))
    assert torch.allclose(torch.sigmoid(both(x)), (p + shifted) / 2, atol=1e-5)
    assert float(shifted[1]) == pytest.approx(0.5)
    assert torch.equal(Committee(one, torch.nn.Threshold(9, 0.0), "distance")(x), x / 2)
