"""How far the surface moves, everywhere, from how far it moved on the slices that were set.

A Gaussian process on points of the set slices. Its covariance is that of first masks' errors on
real heads: of two points of the surface 15 mm apart errors are still half alike, and a part of
them is common to the whole brain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.geometry import signed_distance
from napari_singlestrip.engine.imaging.grid import Grid

Mask = NDArray[np.bool_]
Array = NDArray[np.float32]
Points = NDArray[np.float64]
_Samples: TypeAlias = tuple[Points, NDArray[np.floating], NDArray[np.floating]]

LENGTH_MM = 14.0  # over which errors of the surface become unlike
COMMON = 0.2  # part of their variance that the whole brain shares
ERROR_MM = 3.0  # how large they are
HAND_MM = 1.5  # how far a hand wobbles
CELL_MM = 7.0  # one point of the process stands for so much of a slice
MOST_POINTS = 400
NEAR_MM = 10.0  # from the surface, where it is known on a slice
STEEP_MM = 4.0  # standard deviation of the weight across the surface
FAR_MM = 20.0  # distances beyond are alike
ENOUGH_MM = 4.0  # beyond the surface, so that a piece that goes is gone
LATER_MM = 5.0  # around a later slice, within which earlier ones are not heard
REACH_MM, NODE_MM = 12.0, 5.0  # where, and how densely, the field is worked out


@dataclass(frozen=True, eq=False)
class SetOutline:
    """A slice as a person set it.

    Attributes
    ----------
    axis : int
        Across the slice.
    plane : Grid
        One voxel thick along `axis`.
    inside : ndarray of bool, shape of `plane`
        What the person set.
    distance : ndarray of float32, shape of `plane`
        To the surface before, in 3D (mm, negative inside).
    """

    axis: int
    plane: Grid
    inside: Mask
    distance: Array

    @property
    def place_mm(self) -> float:
        """Where the slice is along its axis."""
        return float(self.plane.affine[self.axis, 3])

    def places(self, index: NDArray[np.intp]) -> Points:
        """Places in mm of voxels of the plane, shape (n, 3)."""
        found: Points = index @ self.plane.affine[:3, :3].T + self.plane.affine[:3, 3]
        return found


@dataclass(frozen=True, eq=False)
class Displacement:
    """Distances to add to those before.

    Attributes
    ----------
    points : ndarray, shape (n, 3)
        Of the process, in mm.
    slice_of : ndarray of int, shape (n,)
        From which outline each is.
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

    def at(self, places: Points, without: int | None = None) -> Array:
        """Displacement at places in mm, shape (n, 3); as if one outline had not been drawn."""
        weights = self.weights if without is None else self._without(without)
        used = np.flatnonzero(weights)
        if not used.size or not len(places):
            return np.zeros(len(places), dtype=np.float32)
        found: Array = _covariance(places, self.points[used], self.size) @ weights[used].astype(
            np.float32
        )
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

    def onto(self, grid: Grid, distance: Array) -> Array:
        """Field on a grid: worked out sparsely near the surface, and carried on from there."""
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
    """Fit the process to outlines, the later of which count where they contradict.

    Parameters
    ----------
    outlines : sequence of SetOutline
        In the order in which they were set.
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
    """Place, displacement, noise and slice of the points: means over cells of each slice."""
    found = [_cells(samples, cell_mm) for samples in heard]
    slice_of = np.repeat(np.arange(len(found)), [len(f[0]) for f in found])
    points, moved, weight = (np.concatenate([f[i] for f in found]) for i in range(3))
    usual = np.median(weight) if weight.size else 1.0
    return points, moved, 1 / np.clip(weight / usual, 0.1, 2), slice_of


def _heard(outline: SetOutline, later: Sequence[SetOutline], size: float) -> _Samples:
    """Places, displacements and weights of a slice, away from later ones."""
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


def on_plane(data: Array, grid: Grid, plane: Grid, axis: int) -> Array:
    """Values on a plane whose voxels are those of the grid but for their place along `axis`."""
    lower, upper, part = between_slices(grid, plane, axis)
    values = np.moveaxis(data, axis, 0)
    between: Array = values[lower] + np.float32(part) * (values[upper] - values[lower])
    return np.moveaxis(between[None], 0, axis)


def between_slices(grid: Grid, plane: Grid, axis: int) -> tuple[int, int, float]:
    """Slices of the grid beside a plane, and how far it is from the first to the other."""
    place = (plane.affine[axis, 3] - grid.affine[axis, 3]) / grid.spacing[axis]
    place = float(np.clip(place, 0, grid.shape[axis] - 1))
    lower = int(place)
    return lower, min(lower + 1, grid.shape[axis] - 1), place - lower


def displacement_on(outline: SetOutline, size: float) -> tuple[Array, Array]:
    """Displacement on a set slice, and how much it is to be believed.

    On the person's outline it is minus the old distance there. Around it distances within the
    slice go on; they are longer than those to a slanting surface, so that they are scaled by how
    fast the old ones change within the slice. A piece that goes as a whole has no outline left to
    say how far its surface moves: as far as it must and a little further, for the brain beside it
    is to stay.
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
    weight[changed] = 1  # however far from any outline, as where a whole piece goes
    gone = _gone(old < 0, outline.inside)
    if outline.inside.any():
        weight[~changed & (np.abs(new) >= near_mm)] = 0  # no outline near, and nothing was mended
        enough = np.where(gone, ENOUGH_MM * size, far)
    else:  # beyond the brain, whose surface stays where it is not in this slice
        enough = np.where(gone, ENOUGH_MM * size, np.abs(old))
    area = float(np.prod([spacing[a] for a in within])) if within else 1.0
    moved: Array = np.clip(new * slant, -enough, enough) - old
    return moved, (weight * area).astype(np.float32)


def _gone(before: Mask, after: Mask) -> Mask:
    """Pieces of a slice of which nothing is left."""
    pieces, _ = scipy.ndimage.label(before)
    gone: Mask = before & ~np.isin(pieces, np.unique(pieces[after]))
    return gone


def _covariance(a: Points, b: Points, size: float) -> Array:
    """Covariance of displacements at places (n, 3) and (m, 3), mm^2; single precision is enough."""
    x, y = a.astype(np.float32), b.astype(np.float32)
    squares = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2 * (x @ y.T)
    falling = np.sqrt(np.maximum(squares, 0, out=squares), out=squares)
    falling *= np.float32(-1 / (LENGTH_MM * size))
    np.exp(falling, out=falling)
    falling *= np.float32((1 - COMMON) * (ERROR_MM * size) ** 2)
    falling += np.float32(COMMON * (ERROR_MM * size) ** 2)
    return falling


def _every(n: int, step: int) -> NDArray[np.intp]:
    """Every `step`-th number below n, with the first and the last, the same from both ends."""
    return np.unique(np.rint(np.linspace(0, n - 1, max(2, (n - 1) // step + 1))).astype(np.intp))


def _between(values: Array, index: NDArray[np.intp], n: int, axis: int) -> Array:
    """Interpolate linearly along an axis, from the numbers `index` to all below n."""
    if len(index) == n:
        return values
    upper = np.clip(np.searchsorted(index, np.arange(n)), 1, len(index) - 1)
    lower = upper - 1
    part = (np.arange(n) - index[lower]) / (index[upper] - index[lower])
    part = part.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    low, high = np.take(values, lower, axis), np.take(values, upper, axis)
    between: Array = low + part * (high - low)
    return between
