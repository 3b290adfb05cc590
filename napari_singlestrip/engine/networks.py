"""The segmenter's shapes.

MONAI's U-Net with strided convolutions is the default: it trains 3-7 times faster on a CPU than
nets that keep full-resolution features, and backward of strided and transposed convolutions is
deterministic on CUDA, unlike that of pooling and interpolation.
"""

from __future__ import annotations

import torch
from torch import nn

from napari_singlestrip.engine.config import NetworkConfig


def build_segmenter(config: NetworkConfig) -> nn.Module:
    """Make an untrained segmenter, (B, 1, I, J, K) intensities to (B, 1, I, J, K) output.

    The output is a logit (target "probability") or a signed distance in voxels (target
    "distance"). Sides must be multiples of `side_multiple`.
    """
    if config.architecture == "synthstrip":
        return SynthStripNet(config.channels)
    from monai.networks.nets.unet import UNet  # lazily: importing MONAI takes seconds

    return UNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=1,
        channels=config.channels,
        strides=(2,) * (len(config.channels) - 1),
        num_res_units=0,
        norm=("INSTANCE", {"affine": True}),
        act=("LeakyReLU", {"negative_slope": 0.1, "inplace": True}),
    )


def side_multiple(config: NetworkConfig) -> int:
    """Sides of a picture must be multiples of this (voxels)."""
    return int(2 ** (len(config.channels) - 1))


class SynthStripNet(nn.Module):
    """A U-Net of SynthStrip's shape (Hoopes et al. 2022): two convolutions a level, max-pooling,
    nearest upsampling, LeakyReLU 0.2 and no normalisation.

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
