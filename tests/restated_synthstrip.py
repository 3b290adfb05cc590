"""The network of ``mri_synthstrip``, restated: what exported weights must fit."""

from __future__ import annotations

import torch
from torch import nn


class Block(nn.Module):
    """A convolution, and LeakyReLU 0.2 unless it is the last."""

    def __init__(self, width: int, features: int, activated: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv3d(width, features, 3, padding=1)
        self.activated = activated

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return nn.functional.leaky_relu(x, 0.2) if self.activated else x


class Restated(nn.Module):
    """The network of ``mri_synthstrip``, from its description: 7 levels of 16 to 64 features.

    Two convolutions and a pooling a level down, in `encoder`; two convolutions, an upsampling and
    what the encoder saw a level up, in `decoder`; at full resolution two more and the last, in
    `remaining`.
    """

    def __init__(self) -> None:
        super().__init__()
        down = [16, 32, 64, 64, 64, 64]
        up = [64, 64, 64, 64, 64, 32]
        width, seen = 1, []
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        for features in down:
            self.encoder.append(self._two(width, features))
            width = features
            seen.append(features)
        for features in up:
            self.decoder.append(self._two(width, features))
            width = features + seen.pop()
        last = [Block(width, 16), Block(16, 16), Block(16, 1, activated=False)]
        self.remaining = nn.ModuleList(last)

    @staticmethod
    def _two(width: int, features: int) -> nn.ModuleList:
        return nn.ModuleList([Block(width, features), Block(features, features)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = []
        for level in self.encoder:
            for block in level:  # type: ignore[attr-defined]
                x = block(x)
            seen.append(x)
            x = nn.functional.max_pool3d(x, 2)
        for level in self.decoder:
            for block in level:  # type: ignore[attr-defined]
                x = block(x)
            x = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
            x = torch.cat([x, seen.pop()], dim=1)
        for block in self.remaining:
            x = block(x)
        return x


def to_lia(x: torch.Tensor) -> torch.Tensor:
    """An image with axes to the right, front and up as one to the left, down and front."""
    return x.permute(0, 1, 2, 4, 3).flip(2, 3)
