"""A person who corrects slices of a mask: how well, and in how many seconds.

Nobody was timed. The speeds are assumptions, stated here once; curves over slices do not depend on
them. The hand follows the reference, but wobbles: by `WOBBLE_MM` (standard deviation), smoothly
along the outline. Where the mask that the person sees is within `OVERLOOKED_MM` of that, it stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_singlestrip.engine.imaging.geometry import signed_distance

WOBBLE_MM = 1.5
WOBBLE_LENGTH_MM = 8.0  # standard deviation of the Gaussian that makes the wobble smooth
OVERLOOKED_MM = 2.0
GO_SECONDS = 3.0  # going to a slice and seeing what is wrong there
STROKE_SECONDS = 1.0  # aiming and pressing, per stroke
MM_PER_SECOND = 40.0  # drawing along an outline


@dataclass(frozen=True)
class Hand:
    """Sets slices of one scan right.

    Attributes
    ----------
    reference : ndarray of bool
    spacing : tuple of float
    seed : int
        Of the wobble.
    wobble_mm : float
    """

    reference: np.ndarray
    spacing: tuple[float, float, float]
    seed: int
    wobble_mm: float = WOBBLE_MM

    def lasso(self, axis: int, index: int) -> tuple[np.ndarray, float]:
        """Draw the whole outline: the slice, and the seconds it took."""
        drawn = self._drawn(axis, index)
        pieces = ndimage.label(drawn)[1]
        length = outline_mm(drawn, self._plane(axis))
        return drawn, GO_SECONDS + pieces * STROKE_SECONDS + length / MM_PER_SECOND

    def strokes(self, axis: int, index: int, seen: np.ndarray) -> tuple[np.ndarray, float]:
        """Mend what is visibly wrong in the slice that is seen, stroke by stroke."""
        drawn, plane = self._drawn(axis, index), self._plane(axis)
        wrong, n = ndimage.label(drawn ^ seen)
        if not n:
            return seen.copy(), GO_SECONDS
        # How thick each wrong piece is: the largest distance to the outline that should be.
        depth = np.abs(distance_2d(drawn, plane)) if drawn.any() else np.full(seen.shape, np.inf)
        numbers = np.arange(1, n + 1)
        visible = np.asarray(ndimage.maximum(depth, wrong, numbers)) > OVERLOOKED_MM
        mended, seconds = seen.copy(), GO_SECONDS
        for number in numbers[visible]:
            piece = wrong == number
            mended[piece] = drawn[piece]
            seconds += STROKE_SECONDS + outline_mm(piece, plane) / 2 / MM_PER_SECOND
        return mended, seconds

    def _drawn(self, axis: int, index: int) -> np.ndarray:
        true, plane = np.moveaxis(self.reference, axis, 0)[index], self._plane(axis)
        if not self.wobble_mm or not true.any():
            return true.copy()
        noise = np.random.default_rng([self.seed, axis, index]).normal(size=true.shape)
        noise = ndimage.gaussian_filter(noise, [WOBBLE_LENGTH_MM / s for s in plane])
        return distance_2d(true, plane) < noise * (self.wobble_mm / noise.std())

    def _plane(self, axis: int) -> tuple[float, float]:
        first, second = (s for a, s in enumerate(self.spacing) if a != axis)
        return first, second


def distance_2d(mask: np.ndarray, plane: tuple[float, float]) -> np.ndarray:
    """Signed distance within a slice (mm, negative inside)."""
    return signed_distance(mask[None], (max(plane), *plane))[0]


def outline_mm(mask: np.ndarray, plane: tuple[float, float]) -> float:
    """Length of the outlines; steps of voxels are longer than a smooth line by about 4 / pi."""
    padded = np.pad(mask, 1)
    edges = [np.count_nonzero(np.diff(padded, axis=axis)) for axis in (0, 1)]
    return float(edges[0] * plane[1] + edges[1] * plane[0]) * np.pi / 4
