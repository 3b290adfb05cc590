"""Local image features of the voxels near the surface of a brain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy

from napari_singlestrip.engine.arrays import FloatArray, Mask
from napari_singlestrip.engine.masks.work_grid import Spacing

SCALES_MM = (1.0, 2.5)  # widths of the Gaussians for brightness
SURROUND_MM = 4.0  # neighbourhood of local minimum, maximum and standard deviation
THROUGH_MM = (-3.0, 3.0)  # along the normal of the surface, inwards and outwards


def border_features(
    scan: FloatArray, inside: Mask, distance: FloatArray, spacing: Spacing, size: float
) -> FloatArray:
    """Compute local image features of every voxel.

    Brightness on several scales; the darkest, the brightest and the standard deviation nearby; the
    slope across the surface, and brightness a little further in and out. All of them are local:
    those of 5 mm and more let a classifier learn where a brain ends, with the errors of its mask,
    instead of what its border looks like (docs/trials.md).

    Parameters
    ----------
    scan : ndarray of float32, shape (i, j, k)
        Intensities of any range.
    inside : ndarray of bool, shape (i, j, k)
        A mask, whose bright voxels scale the intensities.
    distance : ndarray of float32, shape (i, j, k)
        To its surface, mm, negative inside.
    spacing : tuple of float
        Voxel size in mm.
    size : float
        Of the brain; 1 for an adult's.

    Returns
    -------
    ndarray of float32, shape (9, i, j, k)
    """
    bright = np.percentile(scan[inside], 95) if inside.any() else 0.0
    scan = scan / bright if bright > 0 else scan
    fine, coarse = (_blur(scan, mm * size, spacing) for mm in SCALES_MM)
    window = [2 * round(SURROUND_MM * size / s) + 1 for s in spacing]
    darkest = scipy.ndimage.minimum_filter(fine, window, mode="nearest")
    brightest = scipy.ndimage.maximum_filter(fine, window, mode="nearest")
    outwards = _gradient(_blur(np.clip(distance, -30, 30), 2.0 * size, spacing), spacing)
    slope = sum(a * b for a, b in zip(_gradient(fine, spacing), outwards, strict=True))
    return np.stack([
        scan, fine, coarse, darkest, brightest, _deviation(scan, window), size * slope,
        *_through(fine, outwards, spacing, size),
    ]).astype(np.float32)  # fmt: skip


def _deviation(data: FloatArray, window: Sequence[int]) -> FloatArray:
    """Standard deviation in a window around each voxel."""
    centred = data.astype(np.float64) - float(data.mean())
    mean = scipy.ndimage.uniform_filter(centred, window, mode="nearest")
    square = scipy.ndimage.uniform_filter(centred**2, window, mode="nearest")
    deviation: FloatArray = np.sqrt(np.maximum(square - mean**2, 0)).astype(np.float32)
    return deviation


def _through(
    data: FloatArray, outwards: Sequence[FloatArray], spacing: Spacing, size: float
) -> list[FloatArray]:
    """Intensities further in and further out along the normal, for each voxel."""
    length = np.maximum(np.sqrt(sum(a**2 for a in outwards)), 1e-3)
    index = np.ogrid[tuple(slice(n) for n in data.shape)]
    found = []
    for mm in THROUGH_MM:
        place = np.stack([
            i + (mm * size / s) * (o / length)
            for i, o, s in zip(index, outwards, spacing, strict=True)
        ]).astype(np.float32)  # fmt: skip
        found.append(scipy.ndimage.map_coordinates(data, place, order=1, mode="nearest"))
    return found


def _blur(data: FloatArray, width_mm: float, spacing: Spacing) -> FloatArray:
    sigma = [width_mm / s for s in spacing]
    blurred: FloatArray = scipy.ndimage.gaussian_filter(data, sigma, mode="nearest", truncate=3.0)
    return blurred


def _gradient(data: FloatArray, spacing: Spacing) -> list[FloatArray]:
    """Gradient per mm; none along an axis of one voxel."""
    return [
        np.gradient(data, s, axis=a) if data.shape[a] > 1 else np.zeros_like(data)
        for a, s in enumerate(spacing)
    ]
