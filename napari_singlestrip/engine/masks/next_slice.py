"""Which slice to correct next: the one that is expected to remove most uncertainty.

The gain of a slice is the uncertainty it removes. Uncertainty is a map with large values where a
mask may be wrong, such as p (1 - p) of a probability. A corrected slice removes it in its
surroundings, as far as errors of the surface are correlated (`spreading_field`); the gain of a
further slice is what it removes of the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.masks.spreading import SetSlice
from napari_singlestrip.engine.masks.spreading_field import LENGTH_MM

Spacing = tuple[float, float, float]


def doubt_of(probability: NDArray[np.floating]) -> NDArray[np.float32]:
    """Uncertainty of a brain probability: 0 for probabilities of 0 or 1, and 1 for 0.5."""
    p = np.clip(np.asarray(probability, dtype=np.float32), 0, 1)
    doubt: NDArray[np.float32] = 4 * p * (1 - p)
    return doubt


def expected_gains(
    doubt: NDArray[np.floating],
    set_slices: Sequence[SetSlice],
    spacing: Spacing,
    length_mm: float = LENGTH_MM,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Uncertainty that correcting each slice would remove.

    Parameters
    ----------
    doubt : ndarray, shape (I, P, L)
        At least 0.
    set_slices : sequence of SetSlice
        Slices that are corrected already.
    spacing : tuple of float
        Voxel size in mm.
    length_mm : float
        Correlation length of errors; shorter for a smaller brain.

    Returns
    -------
    three ndarrays, shapes (I,), (P,), (L,)
        Per slice across each axis, mL of full uncertainty.
    """
    places = [np.arange(n) * s for n, s in zip(doubt.shape, spacing, strict=True)]
    left = np.asarray(doubt, dtype=np.float32)
    for s in set_slices:
        known = _alike(places[s.axis] - places[s.axis][s.index], length_mm)
        left = left * _along(1 - known, s.axis)
    voxel_ml = float(np.prod(spacing)) / 1000
    gains = []
    for axis in range(3):
        mass = left.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.float64)
        reach = _alike(places[axis][:, None] - places[axis], length_mm)
        gains.append(reach @ mass * voxel_ml)
    return gains[0], gains[1], gains[2]


def next_slice(
    doubt: NDArray[np.floating],
    set_slices: Sequence[SetSlice],
    spacing: Spacing,
    axis: int | None = None,
    length_mm: float = LENGTH_MM,
) -> SetSlice | None:
    """The slice with the largest gain, across `axis` or any; None without uncertainty.

    Parameters, see `expected_gains`.
    """
    gains = expected_gains(doubt, set_slices, spacing, length_mm)
    axes = range(3) if axis is None else (axis,)
    best = max(axes, key=lambda a: gains[a].max(initial=0.0))
    if not gains[best].size or gains[best].max() <= 0:
        return None
    return SetSlice(best, int(gains[best].argmax()))


def _alike(distance_mm: NDArray[np.float64], length_mm: float) -> NDArray[np.float64]:
    """Fraction of the variance that one point explains of another: their squared correlation."""
    alike: NDArray[np.float64] = np.exp(-2 * np.abs(distance_mm) / length_mm)
    return alike


def _along(values: NDArray[np.float64], axis: int) -> NDArray[np.float32]:
    return values.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
