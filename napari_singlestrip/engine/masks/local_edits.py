"""Local edits of a mask: what a brush does where it touches.

All work on a small box around the brush, of a slice or of the volume: in a box one voxel thick they
act within the slice only. None changes its arguments.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.imaging.geometry import signed_distance

Image = NDArray[np.floating]
Spacing = tuple[float, float, float]
Place = tuple[float, float, float]

SPREAD = 2.5  # tolerance, in robust standard deviations of the tissue under the brush
CORE = 0.4  # of the brush's radius: the core whose tissue is painted
LEAST = 0.02  # of the range in the box: the smallest deviation, for uniform tissue
FAR_COUNTS_LESS = 0.4  # penalty of an edge at the end of the reach, relative to a near one
RIDGE = 0.5  # of the steepest gradient under the brush: edges above it are not crossed


def disc(shape: tuple[int, ...], centre: Place, radius_mm: float, spacing: Spacing) -> Mask:
    """Voxels whose centres lie within a radius; the voxel that contains the centre always does.

    Parameters
    ----------
    shape : tuple of int
        Of the box; with one voxel along an axis the result is a disc, else a ball.
    centre : tuple of float
        In voxels of the box.
    radius_mm : float
    spacing : tuple of float
        Voxel size in mm.
    """
    found: Mask = distance_from(shape, centre, spacing) <= radius_mm
    here = tuple(int(c + 0.5) for c in centre)
    if all(0 <= h < n for h, n in zip(here, shape, strict=True)):
        found[here] = True
    return found


def distance_from(shape: tuple[int, ...], centre: Place, spacing: Spacing) -> Image:
    """Distance of each voxel's centre from a point (mm), in-plane if the box is one slice."""
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    squares = sum(
        ((axis - c) * s) ** 2
        for axis, c, s, n in zip(axes, centre, spacing, shape, strict=True) if n > 1
    )
    return np.sqrt(np.broadcast_to(np.asarray(squares, dtype=np.float64), shape))


def like_tissue(image: Image, touched: Mask, centre: Place, spacing: Spacing) -> Mask:
    """The part of a brush dab that is of the same tissue as its centre, and connected to it.

    The tissue is defined by the intensities in the core of the dab; strong edges limit it even if
    both sides have similar intensities.

    Parameters
    ----------
    image : ndarray
        Intensities in the box.
    touched : ndarray of bool
        The whole dab.
    centre : tuple of float
        In voxels of the box.
    spacing : tuple of float
        Voxel size in mm.
    """
    here = tuple(int(min(max(c + 0.5, 0), n - 1)) for c, n in zip(centre, image.shape, strict=True))
    if not touched.any() or not touched[here]:
        return np.zeros(touched.shape, dtype=bool)
    calm = _smoothed(image)
    away = distance_from(image.shape, centre, spacing)
    core = touched & (away <= CORE * float(away[touched].max()))
    core[here] = True
    level = float(np.median(calm[core]))
    spread = 1.4826 * float(np.median(np.abs(calm[core] - level)))
    spread = max(spread, LEAST * float(np.ptp(calm[touched])))
    alike = touched & (np.abs(calm - level) <= SPREAD * spread)
    alike &= ~_ridges(calm, touched, spread, spacing)
    alike[here] = True
    labels, _ = scipy.ndimage.label(alike)
    found: Mask = labels == labels[here]
    # Voxels on the edge itself are assigned to the nearer side.
    grown = scipy.ndimage.binary_dilation(found) & touched
    return found | (grown & (np.abs(calm - level) <= SPREAD * spread))


def smoothed_here(mask: Mask, touched: Mask, spacing: Spacing, width_mm: float) -> Mask:
    """Smooth the surface where the brush touches; removes bumps and dents up to the width."""
    sigma = _flat([width_mm / s for s in spacing], mask.shape)
    soft = scipy.ndimage.gaussian_filter(mask.astype(np.float32), sigma, mode="nearest")
    return np.where(touched, soft > 0.5, mask)


def moved_here(mask: Mask, touched: Mask, spacing: Spacing, distance_mm: float) -> Mask:
    """Move the surface out (or in, when negative) by a distance where the brush touches."""
    return np.where(touched, _distance(mask, spacing) < distance_mm, mask)


def pushed(
    mask: Mask, start: Place, end: Place, radius_mm: float, spacing: Spacing
) -> Mask:
    """Drag the surface from one point to another.

    Each voxel near the path takes the value at its origin; the shift decreases with the distance
    from the centre of the brush.

    Parameters
    ----------
    mask : ndarray of bool
        In the box.
    start, end : tuple of float
        Centre of the brush, in voxels of the box.
    radius_mm : float
    spacing : tuple of float
        Voxel size in mm.
    """
    shift = np.subtract(end, start)
    away = distance_from(mask.shape, end, spacing)
    weight = np.clip(1 - (away / radius_mm) ** 2, 0, 1) ** 2
    axes = np.indices(mask.shape, dtype=np.float32)
    came_from = [axis - weight * s for axis, s in zip(axes, shift, strict=True)]
    depth = _distance(mask, spacing)
    there = scipy.ndimage.map_coordinates(depth, came_from, order=1, mode="nearest")
    return np.where(weight > 0, there < 0, mask)


def snapped(
    mask: Mask, image: Image, touched: Mask, spacing: Spacing, reach_mm: float
) -> Mask:
    """Move the surface to the strongest image edge within reach, where the brush touches.

    Parameters
    ----------
    mask : ndarray of bool
        In the box.
    image : ndarray
        Intensities in the box.
    touched : ndarray of bool
        Where the brush is.
    spacing : tuple of float
        Voxel size in mm.
    reach_mm : float
        Largest displacement of the surface, to either side.
    """
    depth = _distance(mask, spacing)
    surface = touched & (np.abs(depth) <= max(s for s, n in _used(mask, spacing) if n > 1))
    if not surface.any() or not np.isfinite(depth).all():
        return mask.copy()
    offsets = np.zeros(mask.shape, dtype=np.float32)
    offsets[surface] = _edge_offsets(_smoothed(image), depth, surface, spacing, reach_mm)
    # Smoothed over neighbours, so that noise does not pull the surface out.
    sigma = _flat([max(reach_mm / 3, s) / s for s in spacing], mask.shape)
    sums, weights = (
        scipy.ndimage.gaussian_filter(f, sigma) for f in (offsets, surface.astype(np.float32))
    )
    field = sums / np.maximum(weights, 1e-6)
    near = touched & (np.abs(depth) <= reach_mm + min(spacing))
    return np.where(near, depth < field, mask)


def _edge_offsets(
    calm: Image, depth: Image, surface: Mask, spacing: Spacing, reach_mm: float
) -> NDArray[np.float32]:
    """Offset (mm) of the strongest edge along the normal, for each voxel of the surface."""
    axes = [axis for axis, n in enumerate(calm.shape) if n > 1]
    slopes = np.zeros((3, np.count_nonzero(surface)), dtype=np.float32)
    for axis in axes:
        slopes[axis] = np.gradient(depth, spacing[axis], axis=axis)[surface]
    slopes /= np.maximum(np.linalg.norm(slopes, axis=0), 1e-6)
    step = min(spacing[axis] for axis in axes) / 2
    out = np.arange(-reach_mm - step, reach_mm + 1.5 * step, step, dtype=np.float32)
    start = np.stack(np.nonzero(surface)).astype(np.float32)
    along = (out[None] - depth[surface][:, None])[None] * slopes[..., None]
    places = start[..., None] + along / np.asarray(spacing, np.float32)[:, None, None]
    values = scipy.ndimage.map_coordinates(calm, places, order=1, mode="nearest")
    change = np.abs(values[:, 2:] - values[:, :-2])
    change *= 1 - FAR_COUNTS_LESS * np.abs(out[1:-1]) / reach_mm
    return np.asarray(out[1:-1][change.argmax(axis=1)])


def _used(mask: Mask, spacing: Spacing) -> list[tuple[float, int]]:
    return list(zip(spacing, mask.shape, strict=True))


def _smoothed(image: Image) -> Image:
    sigma = _flat([0.6] * 3, image.shape)
    return np.asarray(scipy.ndimage.gaussian_filter(image.astype(np.float32), sigma))


def _steepness(image: Image, spacing: Spacing) -> Image:
    slopes = [
        np.gradient(image, s, axis=axis)
        for axis, s in enumerate(spacing) if image.shape[axis] > 1
    ]
    return np.sqrt(sum(slope**2 for slope in slopes)) if slopes else np.zeros(image.shape)


def _ridges(calm: Image, touched: Mask, spread: float, spacing: Spacing) -> Mask:
    """Voxels on an edge: steep, and far steeper than variations within the tissue."""
    steep = _steepness(calm, spacing) * min(spacing)
    limit = max(RIDGE * float(steep[touched].max()), 2 * spread)
    found: Mask = steep > limit
    return found


def _distance(mask: Mask, spacing: Spacing) -> Image:
    """Signed distance (mm); in-plane if the box is one voxel thick."""
    large = 1e3 * max(spacing)
    across = tuple(large if n == 1 else s for s, n in zip(spacing, mask.shape, strict=True))
    return signed_distance(mask, (across[0], across[1], across[2]))


def _flat(values: list[float], shape: tuple[int, ...]) -> list[float]:
    return [0.0 if n == 1 else v for v, n in zip(values, shape, strict=True)]


def hanging_together(candidates: Mask, painted: Mask) -> Mask:
    """The connected part of a stroke, without specks beside it.

    Parameters
    ----------
    candidates : ndarray of bool
        What would be painted.
    painted : ndarray of bool
        What is already painted there.

    Returns
    -------
    ndarray of bool
        Components that touch it; the largest component if nothing is painted yet.
    """
    labels, n = scipy.ndimage.label(candidates | painted)
    if n < 2:
        return candidates
    begun = bool(painted.any())
    sizes = np.bincount(labels[painted if begun else candidates], minlength=n + 1)
    kept = sizes > 0 if begun else sizes == sizes.max()
    found: Mask = candidates & kept[labels]
    return found
