"""A whole brain grown from some strokes, and a first suggestion without any.

Classical morphology on a coarse copy of the head: the voxels in an intensity band are eroded until
the brain is disconnected from everything else, and the brain is then dilated back. Many bands and
erosion depths are tried; the component with the best score wins: large, compact, away from the air,
and with intensities that decrease across its border. All lengths are relative to the size of the
head.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.imaging.geometry import (
    conform,
    head_box,
    otsu_threshold,
    resample,
    unconform,
)
from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.masks.cleanup import largest_component

Image = NDArray[np.floating]
Spacing = tuple[float, float, float]

SEARCH_SIDE = 44  # voxels along the head
LOW, HIGH = (5, 15, 25, 35, 45, 55), (80, 90, 95, 100)  # percentiles of the head's intensities
DEPTHS = (0.06, 0.1, 0.15, 0.2)  # of the head's radius
CAVITY = 0.35  # dents up to this fraction of the head's radius lower the score


@dataclass(frozen=True)
class Recipe:
    """Parameters of a candidate: intensities (0 to 1), and erosion depth per head radius."""

    low: float
    high: float
    depth: float


@dataclass(frozen=True, eq=False)
class Head:
    """A coarse copy of a head.

    Attributes
    ----------
    data : ndarray of float32
        0 to 1.
    grid : Grid
    inside : ndarray of bool
        Not air.
    air_distance : ndarray
        Distance from the air (voxels); the edge of the image is not air.
    slope : list of ndarray
        Gradient of the smoothed data.
    """

    data: Image
    grid: Grid
    inside: Mask
    air_distance: Image
    slope: list[Image]

    @property
    def radius(self) -> float:
        """Radius of a sphere of the same volume (voxels)."""
        return float((3 * _count(self.inside) / 4 / np.pi) ** (1 / 3))


def suggest_brain(image: Image, spacing: Spacing) -> Mask:
    """Suggest a brain mask to start from, without any model.

    Parameters
    ----------
    image : ndarray, shape (I, P, L)
    spacing : tuple of float
        Voxel size in mm.

    Returns
    -------
    ndarray of bool, shape (I, P, L)
        Empty if nothing is found.
    """
    volume = _volume(image, spacing)
    small = coarse_head(volume, SEARCH_SIDE)
    values = small.data[small.inside]
    if values.size == 0:
        return np.zeros(image.shape, dtype=bool)
    bands = product(np.percentile(values, LOW), np.percentile(values, HIGH))
    best = _best(small, _recipes(bands))
    return np.zeros(image.shape, dtype=bool) if best is None else _onto_scan(volume, small, best)


def grow_from_seeds(mask: Mask, image: Image, spacing: Spacing) -> Mask:
    """Grow strokes inside the brain to its border.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, P, L)
        The strokes.
    image : ndarray, shape (I, P, L)
    spacing : tuple of float
        Voxel size in mm.

    Returns
    -------
    ndarray of bool
        Includes the strokes; only the strokes if nothing grows.
    """
    volume = _volume(image, spacing)
    small = coarse_head(volume, SEARCH_SIDE)
    seeds = _seeds(mask, volume, small.grid)
    values = small.data[seeds]
    if values.size == 0:
        return mask.copy()
    bands = product(np.percentile(values, (1, 5, 15)), (*np.percentile(values, (90, 99)), 1.0))
    best = _best(small, _recipes(bands), seeds)
    if best is None:
        return mask.copy()
    grown: Mask = _onto_scan(volume, small, best) | mask
    return grown


# --- the head


def coarse_head(volume: Volume, side: int) -> Head:
    """Resample a head to a grid with `side` voxels along it, and find the air."""
    box = head_box(volume)
    spacing = float((box[1] - box[0]).max()) / side
    coarse = conform(volume, spacing, multiple=1, box=box)
    data = scipy.ndimage.gaussian_filter(coarse.data, 0.6)
    inside = _not_air(data)
    walls = np.pad(inside, 1, mode="edge")  # a head that is cut off has no surface there
    distance = scipy.ndimage.distance_transform_edt(walls)[1:-1, 1:-1, 1:-1]
    return Head(data, coarse.grid, inside, distance, _slope(data))


def _not_air(data: Image) -> Mask:
    """Head mask including dark structures inside, also where the image cuts it off."""
    room = 4
    closed = scipy.ndimage.binary_closing(np.pad(data > otsu_threshold(data), room), iterations=3)
    inside = scipy.ndimage.binary_fill_holes(closed)[room:-room, room:-room, room:-room]
    for axis in range(3):
        for plane in np.moveaxis(inside, axis, 0):
            plane[...] = scipy.ndimage.binary_fill_holes(plane)
    found: Mask = inside
    return found


def _volume(image: Image, spacing: Spacing) -> Volume:
    return Volume(np.asarray(image, dtype=np.float32), np.diag([*spacing, 1.0]))


def _seeds(mask: Mask, volume: Volume, grid: Grid) -> Mask:
    """Strokes on the coarse grid, including thin ones and those on thick slices."""
    painted = Volume(mask.astype(np.float32), volume.affine)
    seeds: Mask = resample(painted, grid, fill=0.0) > 0.5
    to_grid = np.linalg.solve(grid.affine, volume.affine)
    index = np.round(np.argwhere(mask) @ to_grid[:3, :3].T + to_grid[:3, 3]).astype(int)
    inside = ((index >= 0) & (index < grid.shape)).all(axis=1)
    seeds[tuple(index[inside].T)] = True
    return seeds


# --- candidates


def _recipes(bands: Iterator[tuple[float, float]]) -> Iterator[Recipe]:
    for low, high in bands:
        for depth in DEPTHS:
            yield Recipe(float(low), float(high), depth)


def _best(head: Head, recipes: Iterator[Recipe], seeds: Mask | None = None) -> Mask | None:
    best, most, last = None, 0.0, None
    for recipe in recipes:
        if last is None or last[0] != (recipe.low, recipe.high):
            last = (recipe.low, recipe.high), _depth(head, recipe)
        piece = _piece(head, recipe, last[1], seeds)
        if piece is None:
            continue
        score = _score(head, piece, 1.0 if seeds is None else float(piece[seeds].mean()), most)
        if score > most:
            best, most = piece, score
    return best


def _depth(head: Head, recipe: Recipe) -> Image:
    allowed = (head.data >= recipe.low) & (head.data <= recipe.high) & head.inside
    depth: Image = scipy.ndimage.distance_transform_edt(allowed)
    return depth


def _piece(head: Head, recipe: Recipe, depth: Image, seeds: Mask | None) -> Mask | None:
    """Erode the band, keep the largest component (or the seeds'), and dilate it back."""
    peel = recipe.depth * head.radius
    core = depth > peel
    core = largest_component(core) if seeds is None else _touched(core, seeds)
    if not core.any():
        return None
    return _without_holes((scipy.ndimage.distance_transform_edt(~core) <= peel + 0.5) & head.inside)


def _without_holes(piece: Mask) -> Mask:
    """Fill cavities; ten times as fast as scipy for the deep cavities of a skull."""
    around, _ = scipy.ndimage.label(np.pad(~piece, 1, constant_values=True))
    filled: Mask = (around != around[0, 0, 0])[1:-1, 1:-1, 1:-1]
    return filled


def _touched(core: Mask, seeds: Mask) -> Mask:
    """Component of the core that contains most of the seeds."""
    labels, n = scipy.ndimage.label(core)
    counts = np.bincount(labels[seeds], minlength=n + 1)
    counts[0] = 0
    touched: Mask = labels == (counts.argmax() if counts.any() else -1)
    return touched


def _score(head: Head, piece: Mask, seeded: float = 1.0, enough: float = 0.0) -> float:
    """Score of how much a candidate resembles a brain, 0 to 1; exponents fitted on 23 heads.

    `seeded` is the fraction of the seeds inside; computation stops once the score is below
    `enough`.
    """
    rim = piece & ~scipy.ndimage.binary_erosion(piece, border_value=1)
    around = scipy.ndimage.binary_dilation(piece) & ~piece
    size = _count(piece) / _count(head.inside)
    in_air = float((head.air_distance[rim] <= 2.2).mean()) if rim.any() else 1.0
    inwards = _slope(scipy.ndimage.gaussian_filter(piece.astype(np.float32), 1.0))
    rise = np.sum([a * b for a, b in zip(head.slope, inwards, strict=True)], axis=0)
    darker_outside = float((rise[rim | around] > 0).mean())
    score = min(1.0, size) ** 0.3 * (1 - in_air) * darker_outside**0.5 * seeded**2
    if score <= enough:
        return 0.0
    return float(score * _solidity(piece, CAVITY * head.radius) ** 2)


def _slope(data: Image) -> list[Image]:
    """Gradient; none across a single slice, which is what is left of three thin ones."""
    return [np.gradient(data, axis=axis) if n > 1 else np.zeros_like(data)
            for axis, n in enumerate(data.shape)]


def _solidity(piece: Mask, radius: float) -> float:
    """Volume divided by the volume after closing with a radius, on every second voxel."""
    room = int(np.ceil(radius / 2)) + 1
    few = np.pad(piece[::2, ::2, ::2], room)
    reach = scipy.ndimage.distance_transform_edt(~few) <= radius / 2
    closed = scipy.ndimage.distance_transform_edt(reach) > radius / 2
    return _count(few) / _count(closed | few)


def _onto_scan(volume: Volume, head: Head, piece: Mask) -> Mask:
    """Resample a candidate to the scan's grid, and move its border to the steepest gradient."""
    i, p, l = volume.data.shape  # noqa: E741
    soft = scipy.ndimage.gaussian_filter(piece.astype(np.float32), 0.8)
    found: Mask = unconform(soft, head.grid, Grid((i, p, l), volume.affine)) > 0.5
    return found


def _count(mask: Mask) -> int:
    """Voxels inside, at least one."""
    return max(1, int(np.count_nonzero(mask)))
