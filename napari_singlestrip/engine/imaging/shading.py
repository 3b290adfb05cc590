"""Scans that are brighter on one side of the head, as the coils of a surface array leave them.

A network is trained on smooth bias fields, but not on a head whose front has a tenth of the signal
of its back: there it finds the bright part of the brain only. The change of the logarithm with the
position within that part tells what the rest is like, further than a smooth field could be
extrapolated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.imaging.grid import Volume

# Change of the log brightness across the part that was found, from which on it is shading: 16 real
# scans have at most 0.6, four under a surface coil at least 2.0.
STEEP = 1.1
MOST_VOXELS = 20_000  # that are looked at
DARK = 0.05  # quantile of the brain's intensities below which the logarithm is cut


@dataclass(frozen=True)
class Shading:
    """A log brightness that changes linearly with the position.

    Attributes
    ----------
    slope : (3,) float
        Change per mm along the RAS axes.
    middle : (3,) float
        RAS position (mm) that keeps its brightness.
    """

    slope: NDArray[np.float64]
    middle: NDArray[np.float64]

    def flatten(self, volume: Volume) -> Volume:
        """The same scan without the shading."""
        affine = volume.affine
        along = affine[:3, :3].T @ self.slope
        start = float(self.slope @ (affine[:3, 3] - self.middle))
        data = volume.data * np.float32(np.exp(-start))
        for axis, n in enumerate(data.shape):
            factor = np.exp(-along[axis] * np.arange(n)).astype(np.float32)
            data *= factor.reshape([-1 if a == axis else 1 for a in range(3)])
        return Volume(data, affine, volume.notes)


def steep_shading(seen: Volume, brain: Mask) -> Shading | None:
    """The shading of a scan, if it is too steep for a network.

    Parameters
    ----------
    seen : Volume
        With intensities of 0 to 1.
    brain : (i, j, k) bool
        What was found of the brain, on that grid.

    Returns
    -------
    Shading or None
        None if brightness changes by less than a factor of exp(`STEEP`) across `brain`.
    """
    places = np.argwhere(brain)
    places = places[:: max(1, len(places) // MOST_VOXELS)]
    if not len(places):
        return None
    values = seen.data[tuple(places.T)].astype(np.float64)
    log = np.log(np.maximum(values, max(float(np.quantile(values, DARK)), 1e-3)))
    position = places @ seen.affine[:3, :3].T + seen.affine[:3, 3]
    middle = position.mean(axis=0)
    slope = np.linalg.lstsq(position - middle, log - log.mean(), rcond=None)[0]
    if np.ptp(position @ slope) < STEEP:
        return None
    return Shading(slope, middle)


def flattened(volume: Volume, shading: Shading | None) -> Volume:
    """The scan without its shading; itself, if it has none."""
    return volume if shading is None else shading.flatten(volume)
