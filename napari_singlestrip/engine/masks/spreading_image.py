"""Appearance of the image at the corrected outlines, used to find the border elsewhere.

On the corrected slices each voxel near the surface is known to be inside or outside. A logistic
regression is fitted to them, predicting this from the distance to the surface and from local image
features: brightness on several scales, the local minimum, and the profile across the surface. For
each slice, the distance is that to the surface predicted without this slice, with an error as large
as elsewhere: otherwise the regression would rely on the distance alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import FloatArray, Mask
from napari_singlestrip.engine.imaging.grid import Grid
from napari_singlestrip.engine.masks.spreading_field import Displacement, SetOutline, between_slices

Spacing = tuple[float, float, float]

BAND_MM = 8.0  # around the moved surface, where image features are used
SCALES_MM = (1.0, 2.5, 5.0)  # widths of the Gaussians for brightness
THROUGH_MM = (-5.0, -3.0, 3.0, 5.0)  # along the normal of the surface, inwards and outwards
SURROUND_MM = 4.0  # neighbourhood of the local minimum
STEADY = 0.014  # weight of the ridge penalty, per training voxel
STEPS = 12  # of Newton's method
MOST_VOXELS = 10_000  # used for the fit
FEWEST_VOXELS = 200  # of the rarer class
CHUNK = 100_000


@dataclass(frozen=True, eq=False)
class Look:
    """Local image features of each voxel.

    Attributes
    ----------
    features : ndarray of float32, shape (n, i, j, k)
    """

    features: FloatArray


@dataclass(frozen=True, eq=False)
class Border:
    """Classifier for the inside of the mask, from distance and image features.

    Attributes
    ----------
    look : Look
    mean, width : ndarray, shape (n + 1,)
        Standardisation of distance and features.
    weights : ndarray, shape (m,)
        Of the constant, the features, and their products.
    band_mm : float
        Where image features are used.
    """

    look: Look
    mean: FloatArray
    width: FloatArray
    weights: FloatArray
    band_mm: float

    def probability(self, distance: FloatArray) -> FloatArray:
        """Probability of being inside, for distances to the moved surface on the features' grid."""
        near = np.abs(distance) < self.band_mm
        out = (distance < 0).astype(np.float32)
        where = np.flatnonzero(near)
        features = self.look.features.reshape(len(self.look.features), -1)
        for start in range(0, where.size, CHUNK):
            part = where[start : start + CHUNK]
            rows = np.vstack([distance.ravel()[part], features[:, part]]).T
            out.ravel()[part] = _sigmoid(self._odds((rows - self.mean) / self.width))
        return out

    def _odds(self, x: FloatArray) -> FloatArray:
        """Log-odds, without storing the products of all columns."""
        n = x.shape[1]
        square = np.zeros((n, n), np.float32)
        square[np.triu_indices(n)] = self.weights[n + 1 :]
        slope = x @ square + self.weights[1 : n + 1]
        odds: FloatArray = (slope * x).sum(axis=1) + self.weights[0]
        return odds


def look_at(
    scan: FloatArray, inside: Mask, distance: FloatArray, spacing: Spacing, size: float
) -> Look:
    """Compute the image features of every voxel.

    Parameters
    ----------
    scan : ndarray of float32, shape (i, j, k)
    inside : ndarray of bool, shape (i, j, k)
        The previous mask.
    distance : ndarray of float32, shape (i, j, k)
        To its surface, mm.
    spacing : tuple of float
        Voxel size in mm.
    size : float
        Of the brain; 1 for an adult's.
    """
    bright = np.percentile(scan[inside], 95) if inside.any() else 0.0
    scan = scan / bright if bright > 0 else scan
    blurred = [_blur(scan, mm * size, spacing) for mm in SCALES_MM]
    window = [2 * round(SURROUND_MM * size / s) + 1 for s in spacing]
    darkest = scipy.ndimage.minimum_filter(blurred[0], window, mode="nearest")
    outwards = _gradient(_blur(np.clip(distance, -30, 30), 2.0 * size, spacing), spacing)
    rise = sum(a * b for a, b in zip(_gradient(blurred[1], spacing), outwards, strict=True))
    through = _through(blurred[0], outwards, spacing, size)
    return Look(np.stack([scan, *blurred, darkest, size * rise, *through]).astype(np.float32))


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


def fit_border(
    look: Look, grid: Grid, outlines: Sequence[SetOutline], field: Displacement, size: float
) -> Border | None:
    """Fit the classifier to the corrected slices.

    Parameters
    ----------
    look : Look
    grid : Grid
        Its grid.
    outlines : sequence of SetOutline
    field : Displacement
        Fitted to the same outlines.
    size : float
        Of the brain; 1 for an adult's.

    Returns
    -------
    Border or None
        None if there are too few voxels.
    """
    band = max(BAND_MM * size, 2 * max(grid.spacing[a] for a in _thin_axes(grid)))
    near = [np.argwhere(np.abs(o.distance) < 2 * band) for o in outlines]
    step = -(-sum(map(len, near)) // MOST_VOXELS) or 1
    tables = [
        _table(look, grid, o, index[::step], field.at(o.places(index[::step]), without=n), band)
        for n, (o, index) in enumerate(zip(outlines, near, strict=True))
    ]
    rows = np.concatenate([t[0] for t in tables])
    inside = np.concatenate([t[1] for t in tables])
    if min(np.count_nonzero(inside), np.count_nonzero(~inside)) < FEWEST_VOXELS:
        return None
    mean, width = rows.mean(axis=0), rows.std(axis=0)
    width[width == 0] = 1
    weights = _logistic(_products((rows - mean) / width), inside)
    return Border(look, mean, width, weights, band)


def _thin_axes(grid: Grid) -> list[int]:
    """All axes but the one across thick slices, along which a band would be too wide."""
    thick = int(np.argmax(grid.spacing))
    return [a for a in range(3) if a != thick] or [thick]


def _table(
    look: Look, grid: Grid, outline: SetOutline, index: NDArray[np.intp],
    moved: FloatArray, band: float,
) -> tuple[FloatArray, Mask]:
    """Distance and features of the voxels of a slice near the surface, and their class."""
    here = tuple(index.T)
    distance = outline.distance[here] + moved
    near = np.abs(distance) < band
    here = tuple(index[near].T)
    lower, upper, part = between_slices(grid, outline.plane, outline.axis)
    both = []
    for slice_ in (lower, upper):
        place = list(here)
        place[outline.axis] = np.full_like(here[0], slice_)
        both.append(look.features[:, place[0], place[1], place[2]])
    seen = both[0] + np.float32(part) * (both[1] - both[0])
    return np.vstack([distance[near], seen]).T, outline.inside[here]


def _products(x: FloatArray) -> FloatArray:
    """A constant, all columns, and the products of any two, shape (rows, 1 + n + n (n + 1) / 2)."""
    first, second = np.triu_indices(x.shape[1])
    return np.hstack([np.ones((len(x), 1), np.float32), x, x[:, first] * x[:, second]])


def _logistic(x: FloatArray, inside: Mask) -> FloatArray:
    """Weights of a logistic regression with a quadratic penalty, by Newton's method."""
    penalty = np.full(x.shape[1], STEADY * len(x))
    penalty[0] = 1e-3  # the constant is not penalised
    weights = np.zeros(x.shape[1])
    for _ in range(STEPS):
        p = _sigmoid(x @ weights.astype(np.float32))
        slope = x.T @ (p - inside) + penalty * weights
        bend = (x * (p * (1 - p))[:, None]).T @ x + np.diag(penalty)
        step = np.linalg.solve(bend, slope)
        weights -= step
        if np.abs(step).max() < 1e-3:
            break
    return weights.astype(np.float32)


def _sigmoid(x: NDArray[np.floating]) -> NDArray[np.floating]:
    return scipy.special.expit(x)


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
