"""Postprocessing of a thresholded prediction, and a summary of a mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.config import PredictionConfig
from napari_singlestrip.engine.imaging.geometry import signed_distance
from napari_singlestrip.engine.imaging.grid import Grid


@dataclass(frozen=True)
class MaskReport:
    """Summary of a mask.

    Parameters
    ----------
    pieces : int
        Connected components (voxels that share a face).
    holes : int
        Enclosed cavities.
    volume_ml : float
        Volume in mL.
    touches_border : bool
        Whether it reaches the edge of the field of view, where the head may be cut off.
    """

    pieces: int
    holes: int
    volume_ml: float
    touches_border: bool


def clean_mask(mask: Mask, spacing: tuple[float, float, float], config: PredictionConfig) -> Mask:
    """Keep the largest component, fill its holes, and grow or shrink it, according to `config`.

    Parameters
    ----------
    mask : ndarray of bool, shape (i, j, k)
        Not changed.
    spacing : tuple of float
        Voxel size in mm.
    config : PredictionConfig
        `largest_component`, `fill_holes` and `border_mm`.

    Returns
    -------
    ndarray of bool, shape (i, j, k)
        Empty if `mask` is.
    """
    out = np.zeros(mask.shape, dtype=bool)
    box = bounding_box(mask)
    if box is None:
        return out
    part = mask[box]
    if config.largest_component:
        part = largest_component(part)
    if config.fill_holes:
        part = scipy.ndimage.binary_fill_holes(part)
    out[box] = part
    if config.border_mm != 0:
        # A margin, so that the distance is exact where it is compared.
        band = abs(config.border_mm) + max(spacing)
        out = signed_distance(out, spacing, band) < config.border_mm
    return out


def largest_component(mask: Mask) -> Mask:
    """Keep the largest component (voxels that share faces); an empty mask stays empty."""
    labels, n = scipy.ndimage.label(mask)
    if n < 2:
        return mask.copy()
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest: Mask = labels == sizes.argmax()
    return largest


def mask_volume_ml(mask: Mask, grid: Grid) -> float:
    """Volume of a mask, in mL."""
    return float(np.count_nonzero(mask) * grid.voxel_ml)


def mask_report(mask: Mask, grid: Grid) -> MaskReport:
    """Count components and holes, measure the volume, and test for contact with the border."""
    box = bounding_box(mask)
    if box is None:
        return MaskReport(0, 0, 0.0, False)
    part = mask[box]
    pieces = scipy.ndimage.label(part)[1]
    holes = scipy.ndimage.label(scipy.ndimage.binary_fill_holes(part) & ~part)[1]
    touches = any(
        side.start == 0 or side.stop == n for side, n in zip(box, mask.shape, strict=True)
    )
    return MaskReport(int(pieces), int(holes), mask_volume_ml(mask, grid), touches)


def bounding_box(mask: Mask) -> tuple[slice, slice, slice] | None:
    """Slices of the smallest box that holds the mask, None for an empty one."""
    # A displayed mask is a view with axes that run backwards, which numpy reads ten times slower.
    backwards = [step < 0 for step in mask.strides]
    ahead = mask[tuple(slice(None, None, -1 if back else 1) for back in backwards)]
    box = [slice(0, n) for n in mask.shape]
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        used = np.flatnonzero(ahead[tuple(box)].any(axis=others))  # less each time
        if used.size == 0:
            return None
        box[axis] = slice(int(used[0]), int(used[-1]) + 1)
    i, p, l = (  # noqa: E741
        slice(n - side.stop, n - side.start) if back else side
        for side, back, n in zip(box, backwards, mask.shape, strict=True)
    )
    return i, p, l
