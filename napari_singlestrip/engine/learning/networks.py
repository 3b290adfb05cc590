"""Network architectures of the segmenter.

The default is a minimal U-Net: one strided convolution per level down, one transposed convolution
per level up, none at full resolution. It trains 3-7 times faster on a CPU than larger nets. It
equals MONAI's UNet without residual units, but is implemented here, since importing MONAI alone
takes as long as applying the net to a scan.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from napari_singlestrip.engine.config import NetworkConfig
from napari_singlestrip.engine.learning.last_layer import LastLayer


def build_segmenter(config: NetworkConfig) -> nn.Module:
    """Make an untrained segmenter, (B, 1, I, J, K) intensities to (B, 1, I, J, K) output.

    The output is a logit (target "probability") or a signed distance in voxels (target
    "distance"). Sides must be multiples of ``config.side_multiple``.
    """
    if config.architecture == "synthstrip":
        return SynthStripNet(config.channels)
    return StridedUNet(config.channels, config.norm)


class Committee(nn.Module):
    """An ensemble of two networks: the mean of their probabilities, as a logit.

    Parameters
    ----------
    one, other : nn.Module
        Both give logits, or both signed distances.
    target : {"probability", "distance"}
        Meaning of the output; distances are averaged directly.
    shift : float
        Added to the logits of the other, to align its threshold with that of the first.
    """

    def __init__(
        self, one: nn.Module, other: nn.Module, target: str = "probability", shift: float = 0.0
    ) -> None:
        super().__init__()
        self.one, self.other, self._target, self._shift = one, other, target, shift

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 1, I, J, K) to the same shape."""
        one, other = self.one(x).float(), self.other(x).float()
        if self._target == "distance":
            return (one + other) / 2
        mean = (torch.sigmoid(one) + torch.sigmoid(other + self._shift)) / 2
        return torch.logit(mean, eps=1e-6)


def logit(probability: float) -> float:
    """Inverse of the sigmoid."""
    return math.log(probability / (1 - probability))


class StridedUNet(nn.Module):
    """A U-Net of strided and transposed 3x3x3 convolutions, instance norm and LeakyReLU 0.1.

    Parameters
    ----------
    channels : tuple of int
        Features of each level, from half resolution down; the last two share a resolution.
    """

    def __init__(self, channels: tuple[int, ...], norm: str = "instance") -> None:
        super().__init__()
        *levels, deepest = channels
        before = (1, *levels)
        self.down = nn.ModuleList(
            _strided(a, b, 2, norm) for a, b in zip(before, levels, strict=False)
        )
        self.bottom = _strided(levels[-1], deepest, 1, norm)
        above = levels[-2::-1]
        below = [deepest, *above]
        inner = (
            _transposed(low + skip, high, norm)
            for low, skip, high in zip(below, reversed(levels), above, strict=False)
        )
        last = nn.Sequential(LastLayer(below[-1] + levels[0]))
        self.up = nn.ModuleList([*inner, last])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 1, I, J, K) to (B, 1, I, J, K)."""
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
        x = self.bottom(x)
        for block in self.up:
            x = block(torch.cat([skips.pop(), x], dim=1))
        return x


class ChannelNorm(nn.Module):
    """Divide each voxel's features by their root mean square (Zhang & Sennrich 2019), then scale.

    Unlike instance norm it does not depend on how much air or neck the image contains.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, I, J, K) to the same shape."""
        size = x.square().mean(1, keepdim=True)
        weight, bias = self.weight.view(-1, 1, 1, 1), self.bias.view(-1, 1, 1, 1)
        return torch.addcmul(bias, x * torch.rsqrt(size + 1e-4), weight)


def _strided(width: int, features: int, stride: int, norm: str) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(width, features, 3, stride, padding=1), *_normalised(features, norm)
    )


def _transposed(width: int, features: int, norm: str) -> nn.Sequential:
    grow = nn.ConvTranspose3d(width, features, 3, stride=2, padding=1, output_padding=1)
    return nn.Sequential(grow, *_normalised(features, norm))


def _normalised(features: int, norm: str) -> list[nn.Module]:
    """Normalisation and activation."""
    kind = nn.InstanceNorm3d(features, affine=True) if norm == "instance" else ChannelNorm(features)
    return [kind, nn.LeakyReLU(0.1, inplace=True)]


class SynthStripNet(nn.Module):
    """A U-Net with SynthStrip's architecture (Hoopes et al. 2022).

    Two convolutions per level, max-pooling, nearest upsampling, LeakyReLU 0.2, no normalisation.

    Parameters
    ----------
    channels : tuple of int
        Features of each level, from full resolution down.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.down = nn.ModuleList()
        width = 1
        for features in channels:
            self.down.append(_two_convolutions(width, features))
            width = features
        self.up = nn.ModuleList()
        for features in reversed(channels[:-1]):
            self.up.append(_two_convolutions(width + features, features))
            width = features
        self.pool = nn.MaxPool3d(2)
        self.grow = nn.Upsample(scale_factor=2, mode="nearest")
        self.last = nn.Conv3d(width, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 1, I, J, K) to (B, 1, I, J, K)."""
        skips = []
        for level, block in enumerate(self.down):
            x = block(self.pool(x) if level else x)
            skips.append(x)
        skips.pop()
        for block in self.up:
            x = block(torch.cat([self.grow(x), skips.pop()], dim=1))
        return self.last(x)


def _two_convolutions(width: int, features: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(width, features, 3, padding=1), nn.LeakyReLU(0.2),
        nn.Conv3d(features, features, 3, padding=1), nn.LeakyReLU(0.2),
    )
