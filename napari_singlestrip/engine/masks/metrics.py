"""Similarity of two masks.

If one mask is empty, overlap is 0 and distances are undefined: they are NaN. If both are, overlap
is NaN too, since it is undefined (0/0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.masks.cleanup import bounding_box

Spacing = tuple[float, float, float]
Distances = NDArray[np.float64]


@dataclass(frozen=True)
class MaskScores:
    """The scores of a mask against its reference.

    Parameters
    ----------
    dice : float
        Overlap, 0 to 1.
    hd95_mm : float
        95th percentile of surface distances, the larger of both directions.
    mean_surface_distance_mm : float
        Mean surface distance, averaged over both directions.
    volume_difference_percent : float
        Volume minus reference volume, in per cent of the latter.
    """

    dice: float
    hd95_mm: float
    mean_surface_distance_mm: float
    volume_difference_percent: float


def compare(mask: Mask, reference: Mask, spacing: Spacing) -> MaskScores:
    """Compute all scores of a mask, measuring the surfaces once.

    Parameters
    ----------
    mask, reference : ndarray of bool, shape (i, j, k)
    spacing : tuple of float
        Voxel size in mm.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    to_reference, to_mask = surface_distances_mm(mask, reference, spacing)
    return MaskScores(
        dice(mask, reference),
        _hd95(to_reference, to_mask),
        _mean(to_reference, to_mask),
        volume_difference_percent(mask, reference),
    )


def dice(mask: Mask, reference: Mask) -> float:
    """Twice the common volume over the sum of both (Dice 1945); NaN when both are empty.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    _check_shapes(mask, reference)
    total = np.count_nonzero(mask) + np.count_nonzero(reference)
    return float(2 * np.count_nonzero(mask & reference) / total) if total else float("nan")


def volume_difference_percent(mask: Mask, reference: Mask) -> float:
    """Volume minus reference volume, in per cent of the latter; NaN if the reference is empty."""
    n, n_reference = np.count_nonzero(mask), np.count_nonzero(reference)
    return float(100 * (n - n_reference) / n_reference) if n_reference else float("nan")


def hd95_mm(mask: Mask, reference: Mask, spacing: Spacing) -> float:
    """95th percentile of the distances between the surfaces, the larger of both directions (mm)."""
    return _hd95(*surface_distances_mm(mask, reference, spacing))


def mean_surface_distance_mm(mask: Mask, reference: Mask, spacing: Spacing) -> float:
    """Mean distance between the surfaces, averaged over both directions (mm)."""
    return _mean(*surface_distances_mm(mask, reference, spacing))


def surface_distances_mm(
    mask: Mask, reference: Mask, spacing: Spacing
) -> tuple[Distances, Distances]:
    """Distance of each surface voxel of one mask to the nearest surface voxel of the other.

    Surface voxels are inside and share a face with the outside; beyond the image is outside.

    Returns
    -------
    pair of ndarray
        From mask to reference, and back, in mm; both without entries if a mask is empty.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    _check_shapes(mask, reference)
    ours, theirs = _surface_points(mask, spacing), _surface_points(reference, spacing)
    if not len(ours) or not len(theirs):
        return np.empty(0), np.empty(0)
    tree = scipy.spatial.cKDTree
    return tree(theirs).query(ours)[0], tree(ours).query(theirs)[0]


def _surface_points(mask: Mask, spacing: Spacing) -> NDArray[np.float64]:
    box = bounding_box(mask)
    if box is None:
        return np.empty((0, 3))
    part = np.pad(mask[box], 1)  # everything beyond the bounding box is outside
    surface = part & ~scipy.ndimage.binary_erosion(part)
    corner = np.array([side.start - 1 for side in box])
    points: NDArray[np.float64] = (np.argwhere(surface) + corner) * np.asarray(spacing)
    return points


def _hd95(to_reference: Distances, to_mask: Distances) -> float:
    if not len(to_reference):
        return float("nan")
    return float(max(np.percentile(to_reference, 95), np.percentile(to_mask, 95)))


def _mean(to_reference: Distances, to_mask: Distances) -> float:
    return float((to_reference.mean() + to_mask.mean()) / 2) if len(to_reference) else float("nan")


def _check_shapes(mask: Mask, reference: Mask) -> None:
    if mask.shape != reference.shape:
        raise ValueError(f"masks of shapes {mask.shape} and {reference.shape}")
