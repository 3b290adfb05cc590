"""Tools that save strokes: each improves a mask, with or without the image.

All work on volumes as displayed, axes (I, P, L), but none depends on that order. None changes its
arguments. A mask that a tool cannot improve is returned unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.imaging.geometry import otsu_threshold, signed_distance
from napari_singlestrip.engine.masks.cleanup import bounding_box, largest_component

Image = NDArray[np.floating]
Spacing = tuple[float, float, float]
Box = tuple[slice, slice, slice]

MAX_BALL = 100  # voxels of a ball up to which dilating by it is faster than a distance transform


def painted_slices(mask: Mask, axis: int) -> NDArray[np.intp]:
    """Indices of the slices along `axis` on which something is painted."""
    others = tuple(a for a in range(3) if a != axis)
    return np.flatnonzero(mask.any(axis=others))


def axis_with_gaps(mask: Mask, preferred: int) -> int | None:
    """Axis across which slices were painted: `preferred` if slices are missing there, else another.

    Returns
    -------
    int or None
        None if no slice is missing between painted ones.
    """
    for axis in (preferred, *(a for a in range(3) if a != preferred)):
        used = painted_slices(mask, axis)
        if used.size and used[-1] - used[0] + 1 > used.size:
            return axis
    return None


def interpolate_slices(mask: Mask, axis: int, spacing: Spacing) -> Mask:
    """Fill the empty slices between painted ones (shape-based: Raya and Udupa 1990).

    In-plane distances to the outlines are interpolated from slice to slice, by a cubic through four
    painted slices if there are four, so that a round head stays round.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, P, L)
    axis : int
        Across the slices that were painted.
    spacing : tuple of float
        Voxel size in mm.

    Returns
    -------
    ndarray of bool
        Painted slices are unchanged; so are those beyond the first and the last one.
    """
    out = mask.copy()
    box = bounding_box(mask)
    if box is None:
        return out
    part = np.moveaxis(out[box], axis, 0)
    plane = tuple(s for a, s in enumerate(spacing) if a != axis)
    used = np.flatnonzero(part.any(axis=(1, 2)))
    outlines: dict[int, Image] = {}
    for below, above in pairwise(used):
        if above - below > 1:
            _fill_gap(part, used, int(below), int(above), plane, outlines)
    return out


def _fill_gap(
    part: Mask,
    used: NDArray[np.intp],
    below: int,
    above: int,
    plane: tuple[float, ...],
    outlines: dict[int, Image],
) -> None:
    knots = _knots(used, below, above)
    for knot in knots:
        if knot not in outlines:
            outlines[knot] = _outline_distance(part[knot], plane)
    for n in range(below + 1, above):
        fraction = (n - below) / (above - below)
        straight = (1 - fraction) * outlines[below] + fraction * outlines[above]
        bent = sum(w * outlines[k] for w, k in zip(_lagrange(knots, n), knots, strict=True))
        filled = (straight + bent) / 2 < 0  # the cubic alone overshoots where the neck begins
        part[n] = filled if filled.any() else _moved_between(part, below, above, fraction, plane)


def _knots(used: NDArray[np.intp], below: int, above: int) -> list[int]:
    """Painted slices for a cubic; knots too close together make it overshoot in a wide gap."""
    room = (above - below) / 2
    before = used[used <= below - room][-1:]
    after = used[used >= above + room][:1]
    return [*map(int, before), below, above, *map(int, after)]


def _outline_distance(painted: Mask, plane: tuple[float, ...]) -> Image:
    """In-plane signed distance (mm); voxels beyond the box are outside."""
    around = np.pad(painted, 1)[None]
    return signed_distance(around, (max(plane), plane[0], plane[1]))[0, 1:-1, 1:-1]


def _lagrange(knots: list[int], n: int) -> Iterator[float]:
    for k in knots:
        others = [m for m in knots if m != k]
        yield float(np.prod([(n - m) / (k - m) for m in others]))


def _moved_between(
    part: Mask, below: int, above: int, fraction: float, plane: tuple[float, ...]
) -> Mask:
    """Interpolate two outlines that do not overlap: aligned to each other, else the nearer one."""
    centres = [np.argwhere(part[n]).mean(axis=0) for n in (below, above)]
    here = (1 - fraction) * centres[0] + fraction * centres[1]
    moved = [
        _outline_distance(_shifted(part[n], np.round(here - centre).astype(int)), plane)
        for n, centre in zip((below, above), centres, strict=True)
    ]
    between: Mask = (1 - fraction) * moved[0] + fraction * moved[1] < 0
    return between if between.any() else part[below if fraction <= 0.5 else above]


def _shifted(plane: Mask, by: NDArray[np.int_]) -> Mask:
    out = np.zeros_like(plane)
    index = np.argwhere(plane) + by
    inside = ((index >= 0) & (index < plane.shape)).all(axis=1)
    out[tuple(index[inside].T)] = True
    return out


def copy_slice(mask: Mask, axis: int, index: int) -> Mask:
    """Copy the nearest other painted slice onto slice `index`; the lower one at equal distance."""
    out = mask.copy()
    used = painted_slices(mask, axis)
    used = used[used != index]
    if used.size:
        nearest = used[np.abs(used - index).argmin()]
        np.moveaxis(out, axis, 0)[index] = np.moveaxis(mask, axis, 0)[nearest]
    return out


def keep_largest(mask: Mask) -> Mask:
    """Keep the largest component (voxels that share faces)."""
    return _inside_box(mask, largest_component)


def fill_holes(mask: Mask) -> Mask:
    """Fill cavities that are enclosed in 3D."""
    return _inside_box(mask, scipy.ndimage.binary_fill_holes)


def _inside_box(mask: Mask, tool: Any) -> Mask:
    out = mask.copy()
    box = bounding_box(mask)
    if box is not None:
        out[box] = tool(mask[box])
    return out


def smooth(mask: Mask, spacing: Spacing, width_mm: float) -> Mask:
    """Smooth the surface; the volume stays the same.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, P, L)
    spacing : tuple of float
        Voxel size in mm.
    width_mm : float
        Standard deviation of the Gaussian; bumps and dents of this size are removed.
    """
    out = np.zeros_like(mask)
    box = _box_with_room(mask, spacing, 3 * width_mm)
    if box is None:
        return out
    part = mask[box]
    sigma = [width_mm / s for s in spacing]
    # "nearest": a brain that is cut off by the field of view is not rounded there.
    blurred = scipy.ndimage.gaussian_filter(
        part.astype(np.float32), sigma, mode="nearest", truncate=3.0
    )
    n = int(np.count_nonzero(part))
    order = np.argpartition(blurred.ravel(), blurred.size - n)
    chosen = np.zeros(part.size, dtype=bool)
    chosen[order[part.size - n :]] = True
    out[box] = chosen.reshape(part.shape)
    return out


def grow(mask: Mask, spacing: Spacing, distance_mm: float) -> Mask:
    """Move the surface outwards by `distance_mm`, or inwards when it is negative.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, P, L)
    spacing : tuple of float
        Voxel size in mm.
    distance_mm : float
        The smallest voxel size gives one layer of voxels.
    """
    out = mask.copy()
    box = _box_with_room(mask, spacing, abs(distance_mm) + max(spacing))
    if box is None or distance_mm == 0:
        return out
    ball = _ball(abs(distance_mm) + min(spacing) / 2, spacing)  # the surface lies between voxels
    if ball.size > MAX_BALL:  # a distance transform is faster then
        reach = abs(distance_mm) + max(spacing)
        out[box] = signed_distance(mask[box], spacing, reach) < distance_mm
    elif distance_mm > 0:
        out[box] = scipy.ndimage.binary_dilation(mask[box], ball)
    else:
        out[box] = scipy.ndimage.binary_erosion(mask[box], ball, border_value=1)
    return out


def _ball(radius_mm: float, spacing: Spacing) -> Mask:
    reach = [int(radius_mm / s) for s in spacing]
    axes = np.ogrid[tuple(slice(-n, n + 1) for n in reach)]
    squares = sum((axis * s) ** 2 for axis, s in zip(axes, spacing, strict=True))
    ball: Mask = np.asarray(squares) < radius_mm**2
    return ball


def range_of(image: Image, mask: Mask) -> tuple[float, float]:
    """Intensity range for painting.

    Parameters
    ----------
    image : ndarray, shape (I, P, L)
    mask : ndarray of bool, shape (I, P, L)
        The range covers the middle 96% of what is painted, with a margin; if nothing is painted,
        everything but the background.

    Returns
    -------
    tuple of float
        Lowest and highest intensity.
    """
    values = image[mask]
    if values.size == 0:
        coarse = image[tuple(slice(None, None, max(1, n // 64)) for n in image.shape)]
        return otsu_threshold(coarse), float(coarse.max())
    sample = values[:: max(1, values.size // 100_000)]
    low, high = (float(v) for v in np.percentile(sample, (2, 98)))
    room = 0.05 * (high - low)
    return low - room, high + room


def _box_with_room(mask: Mask, spacing: Spacing, room_mm: float) -> Box | None:
    box = bounding_box(mask)
    if box is None:
        return None
    i, p, l = (  # noqa: E741
        slice(max(side.start - int(np.ceil(room_mm / s)) - 1, 0),
              min(side.stop + int(np.ceil(room_mm / s)) + 1, n))
        for side, s, n in zip(box, spacing, mask.shape, strict=True)
    )
    return i, p, l
