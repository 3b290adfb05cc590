"""Displacement of the whole surface, from its displacement on the corrected slices.

A Gaussian process on points of the corrected slices. Its covariance was estimated from the errors
of first masks on real heads: at a distance of 15 mm errors still have a correlation of about 0.5,
and part of the variance is common to the whole brain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import FloatArray, Mask
from napari_singlestrip.engine.imaging.geometry import signed_distance
from napari_singlestrip.engine.imaging.grid import Grid

Points = NDArray[np.float64]
_Samples: TypeAlias = tuple[Points, NDArray[np.floating], NDArray[np.floating]]

LENGTH_MM = 14.0  # correlation length of errors of the surface
COMMON = 0.2  # fraction of their variance that is common to the whole brain
ERROR_MM = 3.0  # their standard deviation
HAND_MM = 1.5  # standard deviation of manual outlines
CELL_MM = 7.0  # cell of a slice that one point of the process represents
MOST_POINTS = 400
NEAR_MM = 10.0  # distance from the surface within which a slice provides points
STEEP_MM = 4.0  # standard deviation of the weight across the surface
FAR_MM = 20.0  # distances are clipped beyond this
ENOUGH_MM = 4.0  # margin beyond the surface, so that a removed component vanishes
LATER_MM = 5.0  # around a later slice, within which earlier ones are ignored
REACH_MM, NODE_MM = 12.0, 5.0  # band around the surface, and spacing of the field's nodes


@dataclass(frozen=True, eq=False)
class SetOutline:
    """A corrected slice.

    Attributes
    ----------
    axis : int
        Across the slice.
    plane : Grid
        One voxel thick along `axis`.
    inside : ndarray of bool, shape of `plane`
        The corrected mask.
    distance : ndarray of float32, shape of `plane`
        To the previous surface, in 3D (mm, negative inside).
    """

    axis: int
    plane: Grid
    inside: Mask
    distance: FloatArray

    @property
    def place_mm(self) -> float:
        """Position of the slice along its axis (mm)."""
        return float(self.plane.affine[self.axis, 3])

    def places(self, index: NDArray[np.intp]) -> Points:
        """Positions (mm) of voxels of the plane, shape (n, 3)."""
        found: Points = index @ self.plane.affine[:3, :3].T + self.plane.affine[:3, 3]
        return found


@dataclass(frozen=True, eq=False)
class Displacement:
    """Displacement field, added to the previous signed distances.

    Attributes
    ----------
    points : ndarray, shape (n, 3)
        Of the process, in mm.
    slice_of : ndarray of int, shape (n,)
        The outline each point belongs to.
    weights : ndarray, shape (n,)
        Inverse covariance times displacement.
    inverse : ndarray, shape (n, n)
        Inverse of the covariance.
    size : float
        Of the brain; 1 for an adult's.
    """

    points: Points
    slice_of: NDArray[np.intp]
    weights: NDArray[np.float64]
    inverse: NDArray[np.float64]
    size: float

    def at(self, places: Points, without: int | None = None) -> FloatArray:
        """Displacement at positions (mm), shape (n, 3), optionally leaving one outline out."""
        weights = self.weights if without is None else self._without(without)
        used = np.flatnonzero(weights)
        if not used.size or not len(places):
            return np.zeros(len(places), dtype=np.float32)
        chosen = weights[used].astype(np.float32)
        found: FloatArray = _covariance(places, self.points[used], self.size) @ chosen
        return found

    def _without(self, outline: int) -> NDArray[np.float64]:
        """Weights of the other outlines' points alone, from the inverse of all of them."""
        out, left = self.slice_of == outline, self.slice_of != outline
        weights = self.weights.copy()
        weights[out] = 0
        if out.any():
            inner = np.linalg.solve(self.inverse[np.ix_(out, out)], self.weights[out])
            weights[left] -= self.inverse[np.ix_(left, out)] @ inner
        return weights

    def onto(self, grid: Grid, distance: FloatArray) -> FloatArray:
        """Field on a grid: computed on sparse nodes near the surface, and interpolated."""
        step = [max(1, round(NODE_MM * self.size / s)) for s in grid.spacing]
        index = [_every(n, s) for n, s in zip(grid.shape, step, strict=True)]
        reach = max(REACH_MM * self.size, 2 * max(grid.spacing))
        near = np.abs(distance[np.ix_(*index)]) < reach
        if not near.any():
            return np.zeros(grid.shape, dtype=np.float32)
        nodes = np.stack([i[k] for i, k in zip(index, np.nonzero(near), strict=True)], axis=1)
        sparse = np.zeros(near.shape, dtype=np.float32)
        sparse[near] = self.at(nodes @ grid.affine[:3, :3].T + grid.affine[:3, 3])
        if not near.all():
            nearest = scipy.ndimage.distance_transform_edt(
                ~near, return_distances=False, return_indices=True
            )
            sparse = sparse[tuple(nearest)]
        for axis, (i, n) in enumerate(zip(index, grid.shape, strict=True)):
            sparse = _between(sparse, i, n, axis)
        return sparse


def fit_displacement(outlines: Sequence[SetOutline], size: float) -> Displacement:
    """Fit the process to outlines; later ones have priority where they contradict.

    Parameters
    ----------
    outlines : sequence of SetOutline
        In temporal order.
    size : float
        Of the brain; 1 for an adult's.
    """
    heard = [_heard(o, outlines[n + 1 :], size) for n, o in enumerate(outlines)]
    cell = CELL_MM * size
    points, moved, noise, slice_of = _samples(heard, cell)
    while len(points) > MOST_POINTS:
        cell *= 1.2
        points, moved, noise, slice_of = _samples(heard, cell)
    covariance = _covariance(points, points, size).astype(np.float64)
    covariance += np.diag((HAND_MM * size) ** 2 * noise)
    inverse = np.linalg.inv(covariance).astype(np.float64)
    return Displacement(points, slice_of, inverse @ moved, inverse, size)


def _samples(
    heard: Sequence[_Samples], cell_mm: float
) -> tuple[Points, NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Position, displacement, noise and slice of the points: means over cells of each slice."""
    found = [_cells(samples, cell_mm) for samples in heard]
    slice_of = np.repeat(np.arange(len(found)), [len(f[0]) for f in found])
    points, moved, weight = (np.concatenate([f[i] for f in found]) for i in range(3))
    usual = np.median(weight) if weight.size else 1.0
    return points, moved, 1 / np.clip(weight / usual, 0.1, 2), slice_of


def _heard(outline: SetOutline, later: Sequence[SetOutline], size: float) -> _Samples:
    """Positions, displacements and weights of a slice, away from later ones."""
    moved, weight = displacement_on(outline, size)
    places = outline.places(np.argwhere(weight > 0))
    heard = np.ones(len(places), dtype=bool)
    for other in later:
        heard &= np.abs(places[:, other.axis] - other.place_mm) > LATER_MM * size
    return places[heard], moved[weight > 0][heard], weight[weight > 0][heard]


def _cells(samples: _Samples, cell_mm: float) -> _Samples:
    places, moved, weight = samples
    if not len(places):
        return np.empty((0, 3)), np.empty(0), np.empty(0)
    cells = np.rint(places / cell_mm).astype(int)
    cells -= cells.min(axis=0)
    _, cell = np.unique(np.ravel_multi_index(cells.T, cells.max(axis=0) + 1), return_inverse=True)
    total = np.bincount(cell, weight)
    means = [np.bincount(cell, weight * v) / total for v in (*places.T, moved)]
    return np.stack(means[:3], axis=1), means[3], np.asarray(total)


def on_plane(data: FloatArray, grid: Grid, plane: Grid, axis: int) -> FloatArray:
    """Values on a plane whose voxels match the grid except for the position along `axis`."""
    lower, upper, part = between_slices(grid, plane, axis)
    values = np.moveaxis(data, axis, 0)
    between: FloatArray = values[lower] + np.float32(part) * (values[upper] - values[lower])
    return np.moveaxis(between[None], 0, axis)


def between_slices(grid: Grid, plane: Grid, axis: int) -> tuple[int, int, float]:
    """Slices of the grid on both sides of a plane, and the interpolation weight."""
    place = (plane.affine[axis, 3] - grid.affine[axis, 3]) / grid.spacing[axis]
    place = float(np.clip(place, 0, grid.shape[axis] - 1))
    lower = int(place)
    return lower, min(lower + 1, grid.shape[axis] - 1), place - lower


def displacement_on(outline: SetOutline, size: float) -> tuple[FloatArray, FloatArray]:
    """Displacement on a corrected slice, and its weight.

    On the corrected outline it is minus the old distance there. Around it, in-plane distances are
    used; they are longer than the 3D distance to an oblique surface, so they are scaled by the
    in-plane gradient of the old distances. A component that is removed entirely has no outline left
    to define its displacement: it is as large as needed plus a margin, so that the brain beside it
    stays.
    """
    spacing, shape = outline.plane.spacing, outline.distance.shape
    far, near_mm = FAR_MM * size, NEAR_MM * size
    old = np.clip(outline.distance, -far, far)
    flat = [s if a != outline.axis else max(spacing) for a, s in enumerate(spacing)]
    new = np.clip(signed_distance(outline.inside, (flat[0], flat[1], flat[2])), -far, far)
    within = [a for a in range(3) if a != outline.axis and shape[a] > 1]
    slopes = [np.gradient(old, spacing[a], axis=a) for a in within]
    slant = np.sqrt(sum((s**2 for s in slopes), start=np.zeros(shape, np.float32)))
    sigma = [3 * size / s if a in within else 0 for a, s in enumerate(spacing)]
    slant = np.clip(scipy.ndimage.gaussian_filter(slant, sigma), 0.15, 1)
    near = np.minimum(np.abs(old), np.abs(new))
    weight = np.where(near < near_mm, np.exp(-((near / (STEEP_MM * size)) ** 2) / 2), 0)
    changed = outline.inside != (old < 0)
    weight[changed] = 1  # at any distance from an outline, as when a component is removed
    gone = _gone(old < 0, outline.inside)
    if outline.inside.any():
        weight[~changed & (np.abs(new) >= near_mm)] = 0  # no outline near, and not corrected
        enough = np.where(gone, ENOUGH_MM * size, far)
    else:  # beyond the brain, which this slice does not intersect
        enough = np.where(gone, ENOUGH_MM * size, np.abs(old))
    area = float(np.prod([spacing[a] for a in within])) if within else 1.0
    moved: FloatArray = np.clip(new * slant, -enough, enough) - old
    return moved, (weight * area).astype(np.float32)


def _gone(before: Mask, after: Mask) -> Mask:
    """Components of a slice that were removed entirely."""
    pieces, _ = scipy.ndimage.label(before)
    gone: Mask = before & ~np.isin(pieces, np.unique(pieces[after]))
    return gone


def _covariance(a: Points, b: Points, size: float) -> FloatArray:
    """Covariance of displacements at positions (n, 3) and (m, 3), mm^2, in single precision."""
    x, y = a.astype(np.float32), b.astype(np.float32)
    squares = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2 * (x @ y.T)
    falling = np.sqrt(np.maximum(squares, 0, out=squares), out=squares)
    falling *= np.float32(-1 / (LENGTH_MM * size))
    np.exp(falling, out=falling)
    falling *= np.float32((1 - COMMON) * (ERROR_MM * size) ** 2)
    falling += np.float32(COMMON * (ERROR_MM * size) ** 2)
    return falling


def _every(n: int, step: int) -> NDArray[np.intp]:
    """Every `step`-th number below n, including both ends, and symmetric."""
    return np.unique(np.rint(np.linspace(0, n - 1, max(2, (n - 1) // step + 1))).astype(np.intp))


def _between(values: FloatArray, index: NDArray[np.intp], n: int, axis: int) -> FloatArray:
    """Interpolate linearly along an axis, from the positions `index` to all below n."""
    if len(index) == n:
        return values
    upper = np.clip(np.searchsorted(index, np.arange(n)), 1, len(index) - 1)
    lower = upper - 1
    part = (np.arange(n) - index[lower]) / (index[upper] - index[lower])
    part = part.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    low, high = np.take(values, lower, axis), np.take(values, upper, axis)
    between: FloatArray = low + part * (high - low)
    return between
