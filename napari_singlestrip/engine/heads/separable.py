"""Linear operators that act on one axis at a time, as one small matrix per axis.

Upsampling a coarse field, blurring, and averaging over thick slices are separable, so that any
combination of them costs one matrix product per axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from napari_singlestrip.engine.arrays import FloatArray
from napari_singlestrip.engine.devices import transfer


def interpolation_matrix(n_out: int, n_in: int) -> FloatArray:
    """Linear interpolation from `n_in` control points, spread from end to end, to `n_out` voxels.

    Returns
    -------
    (n_out, n_in) float32
        Rows sum to one.
    """
    position = np.linspace(0, n_in - 1, n_out) if n_in > 1 else np.zeros(n_out)
    return _hat(position[:, None] - np.arange(n_in)[None, :])


def blur_matrix(n: int, fwhm: float) -> FloatArray:
    """Gaussian blur of full width at half maximum `fwhm` (voxels), edges renormalised."""
    if fwhm < 0.01:  # no neighbour has any weight; smaller widths would overflow below
        return np.eye(n, dtype=np.float32)
    sigma = fwhm / np.sqrt(8 * np.log(2))
    offset = np.arange(n)[:, None] - np.arange(n)[None, :]
    weight = np.exp(-0.5 * (offset / sigma) ** 2)
    return (weight / weight.sum(1, keepdims=True)).astype(np.float32)


def slice_matrix(n: int, thickness: float, offset: float = 0.0) -> FloatArray:
    """Average over slices `thickness` voxels thick, then interpolate back to `n` voxels.

    Parameters
    ----------
    n : int
        Voxels along the axis.
    thickness : float
        Slice thickness and distance in voxels; at most 1 leaves the axis as it is.
    offset : float
        Where the first slice begins, in slices, 0 to 1.
    """
    if thickness <= 1:
        return np.eye(n, dtype=np.float32)
    n_slices = int(np.ceil(n / thickness)) + 1
    centre = (np.arange(n_slices) - offset + 0.5) * thickness - 0.5
    reach = np.abs(np.arange(n)[None, :] - centre[:, None])
    average = np.clip((thickness + 1) / 2 - reach, 0, 1) + 1e-6 * (reach == reach.min(1)[:, None])
    average /= average.sum(1, keepdims=True)
    position = (np.arange(n) - centre[0]) / thickness
    return (_hat(position[:, None] - np.arange(n_slices)[None, :]) @ average).astype(np.float32)


def apply_separable(x: torch.Tensor, matrices: Sequence[torch.Tensor | None]) -> torch.Tensor:
    """Apply one matrix per spatial axis.

    Parameters
    ----------
    x : (B, C, I, J, K) tensor
    matrices : three tensors (B, I', I), (B, J', J), (B, K', K)
        None leaves an axis as it is.

    Returns
    -------
    (B, C, I', J', K') tensor
    """
    a, b, c = matrices
    batch, channels, i, j, k = x.shape
    if a is not None:
        x = torch.matmul(a.unsqueeze(1), x.reshape(batch, channels, i, j * k))
        i = x.shape[2]
    if b is not None:
        x = torch.matmul(b.unsqueeze(1), x.reshape(batch, channels * i, j, k))
        j = x.shape[2]
    if c is not None:
        x = torch.bmm(x.reshape(batch, channels * i * j, k), c.transpose(1, 2))
        k = x.shape[2]
    return x.reshape(batch, channels, i, j, k)


def upsample(control: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """Linear interpolation between control points that are spread over a whole grid.

    Parameters
    ----------
    control : (C, g, g, g) float32 tensor
    shape : (I, J, K)

    Returns
    -------
    (C, I, J, K) float32 tensor
    """
    matrices = [_interpolation(n, control.shape[-1], control.device) for n in shape]
    return apply_separable(control[None], matrices)[0]


@lru_cache(maxsize=256)
def _interpolation(n_out: int, n_in: int, device: torch.device) -> torch.Tensor:
    """`interpolation_matrix` for a batch of one, cached since sizes recur."""
    return transfer.upload({0: interpolation_matrix(n_out, n_in)}, device)[0][None]


def _hat(distance: npt.NDArray[np.float64]) -> FloatArray:
    weight = np.clip(1 - np.abs(distance), 0, None)
    total = weight.sum(1, keepdims=True)
    # Positions beyond the last control point take its value (clamped).
    nearest = np.abs(distance) == np.abs(distance).min(1, keepdims=True)
    return np.where(total > 1e-9, weight / np.maximum(total, 1e-9), nearest).astype(np.float32)
