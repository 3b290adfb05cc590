"""Appearance of the image at the corrected outlines, used to find the border elsewhere.

On the corrected slices each voxel near the surface is known to be inside or outside. A logistic
regression is fitted to them, predicting this from the distance to the surface and from local image
features (`border_features`). For each slice, the distance is that to the surface predicted without
this slice, with an error as large as elsewhere: otherwise the regression would rely on the distance
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import FloatArray, Mask
from napari_singlestrip.engine.imaging.grid import Grid
from napari_singlestrip.engine.masks.border_classifier import BorderClassifier
from napari_singlestrip.engine.masks.spreading_field import Displacement, SetOutline, between_slices

BAND_MM = 8.0  # around the moved surface, where image features are used
MOST_VOXELS = 10_000  # used for the fit


@dataclass(frozen=True, eq=False)
class Border:
    """Classifier for the inside of the mask, from distance and image features.

    Attributes
    ----------
    features : ndarray of float32, shape (n, i, j, k)
        Of the image, of each voxel.
    classifier : BorderClassifier
        Of distance and features.
    band_mm : float
        Where image features are used.
    """

    features: FloatArray
    classifier: BorderClassifier
    band_mm: float

    def probability(self, distance: FloatArray) -> FloatArray:
        """Probability of being inside, for distances to the moved surface on the features' grid."""
        near = np.abs(distance) < self.band_mm
        out = (distance < 0).astype(np.float32)
        where = np.flatnonzero(near)
        features = self.features.reshape(len(self.features), -1)
        rows = np.vstack([distance.ravel()[where], features[:, where]]).T
        out.ravel()[where] = scipy.special.expit(self.classifier.log_odds(rows))
        return out


def fit_border(
    features: FloatArray, grid: Grid, outlines: Sequence[SetOutline], field: Displacement,
    size: float,
) -> Border | None:
    """Fit the classifier to the corrected slices.

    Parameters
    ----------
    features : ndarray of float32, shape (n, i, j, k)
    grid : Grid
        Of the features.
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
        _table(features, grid, o, index[::step], field.at(o.places(index[::step]), without=n), band)
        for n, (o, index) in enumerate(zip(outlines, near, strict=True))
    ]
    rows = np.concatenate([t[0] for t in tables])
    inside = np.concatenate([t[1] for t in tables])
    classifier = BorderClassifier.fit(rows, inside)
    return None if classifier is None else Border(features, classifier, band)


def _thin_axes(grid: Grid) -> list[int]:
    """All axes but the one across thick slices, along which a band would be too wide."""
    thick = int(np.argmax(grid.spacing))
    return [a for a in range(3) if a != thick] or [thick]


def _table(
    features: FloatArray, grid: Grid, outline: SetOutline, index: NDArray[np.intp],
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
        both.append(features[:, place[0], place[1], place[2]])
    seen = both[0] + np.float32(part) * (both[1] - both[0])
    return np.vstack([distance[near], seen]).T, outline.inside[here]
