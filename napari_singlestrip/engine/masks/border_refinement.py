"""Refinement of a predicted mask by the appearance of its border in the same scan.

A network that works on coarse voxels knows where the brain is, but its surface is off by a part of
a voxel, now inwards, now outwards. A classifier that is fitted to the mask itself, from local image
features of the voxels near its surface, learns what inside and outside look like in this scan. It
is too simple to learn where the mask errs, so that its surface is better than the one that it
learned from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import FloatArray, Mask
from napari_singlestrip.engine.imaging.bias_field import flatten_bias
from napari_singlestrip.engine.imaging.geometry import signed_distance
from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.imaging.resampling import resample
from napari_singlestrip.engine.masks.border_classifier import BorderClassifier
from napari_singlestrip.engine.masks.border_features import border_features
from napari_singlestrip.engine.masks.cleanup import bounding_box
from napari_singlestrip.engine.masks.work_grid import (
    FINE_MM,
    Box,
    Spacing,
    centred_grid,
    coarser_grid,
    fraction_inside,
    relative_size,
    with_margin,
)

BAND_MM = 6.0  # around the surface: where it may move
MARGIN_MM = 15.0  # of the box around the mask
FLAT_MM = 25.0  # SD of the smoothing that estimates the bias field
CORE_MM = 4.0  # below the surface: certainly brain, where it is estimated
PRIOR = 0.3  # log-odds per mm of distance to the surface of the mask
PASSES = 2  # the second one learns from the result of the first
SMOOTH_MM = 1.2  # of the probability, before it becomes a mask
SPAN = 0.1, 99.9  # percentiles of the range of intensities
MOST_VOXELS = 20_000  # used for a fit


@dataclass(frozen=True, eq=False)
class BorderRefiner:
    """Refines a mask of a scan, and others like it: they share the image features.

    Attributes
    ----------
    box : slices
        The part of the scan around the mask.
    own, grid : Grid
        Of that part, and its working voxels; in mm from its middle.
    start : ndarray of bool, shape (i, j, k)
        The mask on the working voxels.
    distance : ndarray of float32, shape (i, j, k)
        To its surface, mm, negative inside.
    features : ndarray of float32, shape (9, i * j * k)
        Of the working voxels.
    size : float
        Of the brain; 1 for an adult's.
    """

    box: Box
    own: Grid
    grid: Grid
    start: Mask
    distance: FloatArray
    features: FloatArray
    size: float

    @classmethod
    def around(
        cls, mask: Mask, image: NDArray[np.floating], spacing: Spacing
    ) -> BorderRefiner | None:
        """Compute the image features around the surface of a mask.

        Parameters
        ----------
        mask : ndarray of bool, shape (i, j, k)
        image : ndarray, shape (i, j, k)
            The scan, on the same grid.
        spacing : tuple of float
            Voxel size in mm.

        Returns
        -------
        BorderRefiner or None
            None if the mask is empty.

        Raises
        ------
        ValueError
            If the shapes differ.
        """
        if image.shape != mask.shape:
            raise ValueError(f"a mask of shape {mask.shape} for a scan of shape {image.shape}")
        box = bounding_box(mask)
        if box is None:
            return None
        size = relative_size(mask[box], spacing)
        box = with_margin(box, spacing, MARGIN_MM * size, mask.shape)
        own = centred_grid(mask[box].shape, spacing)
        grid = coarser_grid(own, FINE_MM * size)
        start = fraction_inside(mask[box], own, grid) > 0.5
        distance = signed_distance(start, grid.spacing, _reach(grid, size))
        scan = resample(Volume(_without_spikes(image[box]), own.affine), grid)
        core = distance < -CORE_MM * size
        scan = flatten_bias(scan, core, [FLAT_MM * size / s for s in grid.spacing])
        features = border_features(scan, start, distance, grid.spacing, size)
        rows = features.reshape(len(features), -1)
        return cls(box, own, grid, start, distance, rows, size)

    def grid_in(self, scan: Grid) -> Grid:
        """The working voxels in the space of the scan."""
        corner = np.eye(4)
        corner[:3, 3] = [side.start for side in self.box]
        to_scan = scan.affine @ corner @ np.linalg.inv(self.own.affine)
        return Grid(self.grid.shape, to_scan @ self.grid.affine)

    def inside(
        self, other: Mask | None = None, most_voxels: int = MOST_VOXELS
    ) -> FloatArray | None:
        """How likely working voxels are inside of a mask that is moved to the border.

        Parameters
        ----------
        other : ndarray of bool, shape (i, j, k), optional
            On the working voxels, a mask like that which the features are of; that mask if not
            given.
        most_voxels : int
            Used for a fit.

        Returns
        -------
        ndarray of float32, shape (i, j, k), or None
            0 to 1; None where there are too few voxels to learn from.
        """
        start, distance = self.start, self.distance
        if other is not None:
            start = other
            distance = signed_distance(start, self.grid.spacing, _reach(self.grid, self.size))
        near = np.flatnonzero(np.abs(distance) < _band(self.grid, self.size))
        rows = self.features[:, near].T
        prior = -PRIOR / self.size * distance.ravel()[near]
        inside, log_odds = start.ravel()[near], prior
        step = -(-len(rows) // most_voxels) or 1
        for _ in range(PASSES):
            classifier = BorderClassifier.fit(rows[::step], inside[::step])
            if classifier is None:
                return None
            log_odds = classifier.log_odds(rows) + prior
            inside = log_odds > 0
        likely = start.astype(np.float32)
        likely.ravel()[near] = scipy.special.expit(log_odds)
        sigma = [SMOOTH_MM * self.size / s for s in self.grid.spacing]
        smooth: FloatArray = scipy.ndimage.gaussian_filter(likely, sigma, truncate=3.0)
        return smooth


def refine_border(mask: Mask, image: NDArray[np.floating], spacing: Spacing) -> Mask:
    """Move the surface of a mask to where the scan has its border.

    Parameters
    ----------
    mask : ndarray of bool, shape (i, j, k)
        Not changed.
    image : ndarray, shape (i, j, k)
        The scan, on the same grid.
    spacing : tuple of float
        Voxel size in mm.

    Returns
    -------
    ndarray of bool, shape (i, j, k)
        As `mask` further than 6 mm from its surface (less for small brains), and all of it where
        there are too few voxels to learn from.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    out = mask.copy()
    refiner = BorderRefiner.around(mask, image, spacing)
    inside = None if refiner is None else refiner.inside()
    if refiner is not None and inside is not None:
        likely = Volume(inside, refiner.grid.affine)
        out[refiner.box] = resample(likely, refiner.own) > 0.5
    return out


def _band(grid: Grid, size: float) -> float:
    return max(BAND_MM * size, 2 * sorted(grid.spacing)[1])


def _reach(grid: Grid, size: float) -> float:
    """How far distances must be known (mm)."""
    return _band(grid, size) + max(grid.spacing)


def _without_spikes(image: NDArray[np.floating]) -> FloatArray:
    """Limit single voxels far outside the range of all others, and those that are no number."""
    values = np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = np.percentile(values[::2, ::2, ::2], SPAN)
    room = high - low
    return np.clip(values, low - room, high + room).astype(np.float32)
