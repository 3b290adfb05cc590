"""Where to look next: which slice, set right, would bring most.

A slice is worth the doubt it removes. Doubt is a picture: large where a mask may be wrong, such as
p (1 - p) of a probability. A set slice removes it around itself, as far as errors of the surface
are alike (`spreading_field`); a further slice is worth what it removes of the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.masks.spreading import SetSlice
from napari_singlestrip.engine.masks.spreading_field import LENGTH_MM

Array = NDArray[np.float64]
Spacing = tuple[float, float, float]


def doubt_of(probability: NDArray[np.floating]) -> NDArray[np.float32]:
    """Doubt of a brain probability: 0 where it is 0 or 1, 1 where it is a half."""
    p = np.clip(np.asarray(probability, dtype=np.float32), 0, 1)
    doubt: NDArray[np.float32] = 4 * p * (1 - p)
    return doubt


def expected_gains(
    doubt: NDArray[np.floating],
    set_slices: Sequence[SetSlice],
    spacing: Spacing,
    length_mm: float = LENGTH_MM,
) -> tuple[Array, Array, Array]:
    """What setting each slice would remove of the doubt.

    Parameters
    ----------
    doubt : ndarray, shape (I, P, L)
        At least 0.
    set_slices : sequence of SetSlice
        Those set already.
    spacing : tuple of float
        Voxel size in mm.
    length_mm : float
        Over which errors become unlike; shorter for a smaller brain.

    Returns
    -------
    three ndarrays, shapes (I,), (P,), (L,)
        Per slice across each axis, mL of full doubt.
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
    """The slice that would bring most, across `axis` or any; None where there is no doubt.

    Parameters, see `expected_gains`.
    """
    gains = expected_gains(doubt, set_slices, spacing, length_mm)
    axes = range(3) if axis is None else (axis,)
    best = max(axes, key=lambda a: gains[a].max(initial=0.0))
    if not gains[best].size or gains[best].max() <= 0:
        return None
    return SetSlice(best, int(gains[best].argmax()))


def _alike(distance_mm: Array, length_mm: float) -> Array:
    """Part of the variance that one point tells of another: the square of their correlation."""
    alike: Array = np.exp(-2 * np.abs(distance_mm) / length_mm)
    return alike


def _along(values: Array, axis: int) -> NDArray[np.float32]:
    return values.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
