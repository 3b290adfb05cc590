"""The last layer of the segmenter on a CPU: a transposed convolution to one feature.

torch makes all 27 products of a voxel and adds them one by one into the output, which takes a third
of the forward pass for a tenth of its arithmetic. Here it is done for a few slices at a time, which
stay in the cache, and whole rows are added.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

SLAB_BYTES = 4 * 2**20  # of the products of one slab of slices
TAPS = 27
HOW = {"stride": [2] * 3, "padding": [1] * 3, "dilation": [1] * 3}


class LastLayer(nn.ConvTranspose3d):
    """`ConvTranspose3d` of 3x3x3 taps and stride 2, from some features to one: twice the sides.

    Its weights are those of torch's layer, and its values, too, but for rounding.

    Parameters
    ----------
    features : int
        Of the input.
    """

    def __init__(self, features: int) -> None:
        super().__init__(features, 1, 3, stride=2, padding=1, output_padding=1)

    def forward(self, x: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        """(B, C, I, J, K) to (B, 1, 2I, 2J, 2K)."""
        if not _faster_here(x):
            return super().forward(x, output_size)
        doubled: torch.Tensor = _Doubled.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return doubled


def _faster_here(x: torch.Tensor) -> bool:
    """Whether x is computed in float32 on a CPU, now: not on a card, nor described for export."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


class _Doubled(torch.autograd.Function):
    """Forwards as described above; backwards torch is as fast."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return torch.stack([_doubled(one, weight, bias) for one in x])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x, weight = ctx.saved_tensors
        gradients: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
        gradients = torch.ops.aten.convolution_backward(
            grad, x, weight, [1], **HOW, transposed=True, output_padding=[1] * 3, groups=1,
            output_mask=[True] * 3,
        )
        return gradients


def _doubled(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """One image, (C, I, J, K) to (1, 2I, 2J, 2K).

    Along each axis, voxel 2i of the output is tap 1 of voxel i of the input; voxel 2i + 1 is tap 2
    of voxel i plus tap 0 of voxel i + 1. Products lie as (tap k, tap j, tap i, slices, J, K), so
    that a step along an axis is the same offset in memory for all of them.
    """
    _, n_slices, rows, columns = x.shape
    slice_, voxels = rows * columns, x.flatten(1)
    taps = weight[:, 0].permute(3, 2, 1, 0).reshape(TAPS, -1)
    doubled = x.new_empty(n_slices, 2, rows, 2, columns, 2)
    for low, high in _slabs(n_slices, slice_):
        end = min(high + 1, n_slices)  # odd voxels of the last slice take from the next one
        products = x.new_empty(TAPS, (high - low + 1) * slice_)
        known = (end - low) * slice_
        torch.mm(taps, voxels[:, low * slice_ : end * slice_], out=products[:, :known])
        products[:, known:] = 0
        by_axis = products.view(3, 3, 3, high - low + 1, rows, columns)
        # The first column and row would be seen from the end of the row and slice before.
        by_axis[0, ..., 0] = 0
        by_axis[:, 0, ..., 0, :] = 0
        flat = products.view(3, 3, 3, -1)
        flat[2, ..., :-1] += flat[0, ..., 1:]
        flat[1:, 2, :, :-columns] += flat[1:, 0, :, columns:]
        flat[1:, 1:, 2, :-slice_] += flat[1:, 1:, 0, slice_:]
        both = by_axis[1:, 1:, 1:, : high - low].permute(3, 2, 4, 1, 5, 0)
        torch.add(both, bias, out=doubled[low:high])
    return doubled.view(1, 2 * n_slices, 2 * rows, 2 * columns)


def _slabs(n_slices: int, slice_: int) -> Iterator[tuple[int, int]]:
    """First slice of each slab, and the one behind its last."""
    thick = max(1, SLAB_BYTES // (4 * TAPS * slice_) - 1)
    for low in range(0, n_slices, thick):
        yield low, min(low + thick, n_slices)
