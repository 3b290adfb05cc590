"""Cleaning grey values: all finite, and padding replaced by air."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import FloatArray
from napari_singlestrip.engine.imaging.scan_bytes import COPY_AGAIN
from napari_singlestrip.errors import UserError

LEAST_PADDING = 1e-3  # fraction of the voxels; less does not affect percentiles
# How far padding lies beyond all other values, in units of their range. Below zero less is enough:
# scanners write no negative values, and processing does not make them constant.
FAR_BELOW_ZERO, FAR = 0.1, 3.0
_SAMPLE = 200_000  # values that are enough for percentiles


def mean_frame(frames: NDArray[Any]) -> FloatArray:
    """Average over the last axis without a float64 (or float32) copy of all frames."""
    total = frames[..., 0].astype(np.float32)
    for frame in range(1, frames.shape[-1]):
        np.add(total, frames[..., frame], out=total, casting="same_kind")
    if frames.shape[-1] > 1:
        total /= np.float32(frames.shape[-1])
    return total


def replace_non_finite(data: FloatArray, path: Path) -> tuple[FloatArray, tuple[str, ...]]:
    """Replace NaN and -inf by the smallest finite value, and inf by the largest.

    If inf fills a corner it is padding, and is replaced by the smallest value too.

    Raises
    ------
    UserError
        If there is no finite value.
    """
    if np.isfinite(data.min()) and np.isfinite(data.max()):  # min and max propagate NaN
        return data, ()
    finite = np.isfinite(data)
    n_finite = int(np.count_nonzero(finite))
    if n_finite == 0:
        raise UserError(f"{path.name} has no finite value, only NaN or inf.", COPY_AGAIN)
    low, high = data[finite].min(), data[finite].max()
    above = low if _is_border(data, np.inf) else high
    np.nan_to_num(data, copy=False, nan=low, posinf=above, neginf=low)
    return data, (f"{data.size - n_finite} values were NaN or inf and were replaced",)


def padding_to_air(data: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
    """Replace padding around a scan, far from all its values, by the smallest of them.

    Otherwise the padding would pass for air, and air for a part of the head.

    Parameters
    ----------
    data : ndarray of float32, shape (i, j, k)
        Finite; changed in place.

    Returns
    -------
    ndarray, tuple of str
        A note says what was replaced.
    """
    notes = []
    for fill in (float(data.min()), float(data.max())):
        if fill == 0:  # air, or a background that was set to zero
            continue
        limits = _limits(data, fill) if _is_border(data, fill) else None
        if limits is None:
            continue
        padding = (data < limits[0]) | (data > limits[1])
        data[padding] = data[~padding].min()
        notes.append(f"padding of {fill:.6g} ({padding.mean():.0%} of the voxels) taken as air")
    return data, tuple(notes)


def _is_border(data: FloatArray, fill: float) -> bool:
    """Whether one value fills a corner and more than `LEAST_PADDING` of the image."""
    corners = itertools.product((0, -1), repeat=3)
    if not any(data[corner] == fill for corner in corners):
        return False
    return bool(np.count_nonzero(data == np.float32(fill)) >= LEAST_PADDING * data.size)


def _limits(data: FloatArray, fill: float) -> tuple[float, float] | None:
    """Range of the values other than `fill`; None if `fill` is not far from them."""
    step = max(1, data.size // _SAMPLE)
    some = data.ravel(order="K")[::step]
    others = some[some != np.float32(fill)].astype(np.float64)
    if not others.size:
        return None
    low, high = np.percentile(others, [5, 99])
    far_below = FAR_BELOW_ZERO if fill < 0 else FAR
    below, above = low - far_below * (high - low), high + FAR * (high - low)
    return None if high <= low or below <= fill <= above else (below, above)
