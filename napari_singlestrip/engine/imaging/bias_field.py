"""Flattening of the bias field, so that a tissue is equally bright everywhere in the brain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy

from napari_singlestrip.engine.arrays import FloatArray, Mask


def flatten_bias(data: FloatArray, mask: Mask, sigma: Sequence[float]) -> FloatArray:
    """Divide by a smooth field estimated inside the mask, where tissues are few.

    Parameters
    ----------
    data : ndarray of float32, shape (i, j, k)
        Not changed.
    mask : ndarray of bool, shape (i, j, k)
    sigma : sequence of float
        Width of the Gaussian along each axis (voxels).

    Returns
    -------
    ndarray of float32, shape (i, j, k)
        `data` itself without any voxel inside.
    """
    if not mask.any():
        return data
    brain = data[mask]
    floor = max(float(np.quantile(brain, 0.05)), 1e-3)
    log = np.zeros_like(data)
    log[mask] = np.log(np.maximum(brain, floor))
    weight = _smooth(mask.astype(np.float32), sigma)
    mean = float(log[mask].mean())
    field = (_smooth(log, sigma) + 1e-2 * mean) / (weight + 1e-2) - mean
    return (data * np.exp(-field)).astype(np.float32)


def _smooth(x: FloatArray, sigma: Sequence[float]) -> FloatArray:
    """Gaussian smoothing with a wide kernel, on a grid that is coarse enough for it."""
    steps = [max(1, int(s / 3)) for s in sigma]
    coarse = x
    for axis, step in enumerate(steps):
        if step > 1:
            coarse = scipy.ndimage.uniform_filter1d(coarse, step, axis)
            coarse = coarse[(slice(None),) * axis + (slice(None, None, step),)]
    widths = [s / step for s, step in zip(sigma, steps, strict=True)]
    smooth: FloatArray = scipy.ndimage.gaussian_filter(coarse, widths, mode="constant")
    if max(steps) == 1:
        return smooth
    a, b, c = (_back(n, step) for n, step in zip(x.shape, steps, strict=True))
    return np.einsum("xi,yj,zk,ijk->xyz", a, b, c, smooth, optimize=True)


def _back(n: int, step: int) -> FloatArray:
    """Linear interpolation from every `step`-th voxel of an axis back to all `n`, as a matrix."""
    points = np.arange(len(range(0, n, step)))
    place = np.minimum(np.arange(n) / step, points[-1])  # flat beyond the last point
    return np.maximum(0, 1 - np.abs(place[:, None] - points)).astype(np.float32)
