"""The box around a brain in which corrections are propagated, on coarser voxels.

Distances to the mask and image features are computed once for all corrections. Grids are centred on
the box, so that a mirrored scan gives a mirrored result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import FloatArray, Mask
from napari_singlestrip.engine.imaging.geometry import signed_distance
from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.imaging.resampling import resample
from napari_singlestrip.engine.masks.border_features import border_features
from napari_singlestrip.engine.masks.spreading_field import (
    ERROR_MM,
    FAR_MM,
    SetOutline,
    fit_displacement,
    on_plane,
)
from napari_singlestrip.engine.masks.spreading_image import fit_border
from napari_singlestrip.engine.masks.work_grid import (
    Box,
    Spacing,
    centred_grid,
    coarser_grid,
    fraction_inside,
)

TRUST_MM = 120.0  # range of image features, as appearance varies across the head
SMOOTH_MM = 1.2  # of the probability, before it becomes a mask
FEWEST_FOR_PICTURE = 2  # corrected slices: a single one does not generalise
LONE_MM = 60.0  # range of a correction if it is the only one
UNMOVED = 0.25  # of a voxel; where the surface moves by less, no voxel changes
CRUMB = 0.01  # of the brain's volume: smaller components and holes are removed, unless painted


@dataclass(frozen=True)
class SetSlice:
    """A slice that was corrected as a whole.

    Parameters
    ----------
    axis : int
        Across the slice, 0 to 2.
    index : int
        Its index along that axis.
    """

    axis: int
    index: int


class Scene:
    """The box around a brain, on coarser voxels; caches distances and image features."""

    def __init__(
        self,
        before: Mask,
        box: Box,
        spacing: Spacing,
        image: NDArray[np.floating] | None,
        step_mm: float,
        size: float,
    ) -> None:
        self.box, self.size, self.before = box, size, before
        self.own = centred_grid(before.shape, spacing)
        self.grid = coarser_grid(self.own, step_mm)
        inside = fraction_inside(before, self.own, self.grid) > 0.5
        far = FAR_MM * size
        self.distance = np.clip(signed_distance(inside, self.grid.spacing), -far, far)
        self.sure = _sure(self.distance, size)
        self.features: FloatArray | None = None
        if image is not None:
            values = np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)
            scan = resample(Volume(values, self.own.affine), self.grid)
            self.features = border_features(
                scan, inside, self.distance, self.grid.spacing, size
            )

    def follow(self, edited: Mask, slices: list[SetSlice]) -> Mask:
        """The mask of the box; corrected slices are inserted later."""
        outlines = [self._outline(edited, s) for s in slices if self._inside(s)]
        if not outlines:
            return self.before.copy()
        field = fit_displacement(outlines, self.size)
        shift = field.onto(self.grid, self.distance)
        if len(outlines) == 1:
            shift *= np.exp(-self._away(slices) / (LONE_MM * self.size))
        moved = self.distance + shift
        border = None
        if self.features is not None and len(outlines) >= FEWEST_FOR_PICTURE:
            border = fit_border(self.features, self.grid, outlines, field, self.size)
        if border is None:
            self.sure = _sure(moved, self.size)
            return self._moved(moved)
        trust = np.exp(-self._away(slices) / (TRUST_MM * self.size))
        seen, felt = border.probability(moved), _sure(moved, self.size)
        near = np.abs(moved) < border.band_mm
        self.sure = found = np.where(near, trust * seen + (1 - trust) * felt, seen)
        sigma = [SMOOTH_MM * self.size / s for s in self.grid.spacing]
        soft = scipy.ndimage.gaussian_filter(found, sigma, truncate=3.0)
        clean = _without_crumbs(soft > 0.5, [self._nearest(s) for s in slices if self._inside(s)])
        soft[clean != (soft > 0.5)] = clean[clean != (soft > 0.5)]
        mask: Mask = resample(Volume(soft, self.grid.affine), self.own) > 0.5
        return mask

    def _away(self, slices: Sequence[SetSlice]) -> FloatArray:
        """Distance of each voxel to the nearest corrected slice (mm)."""
        axes = [np.full(n, np.inf, np.float32) for n in self.grid.shape]
        for s in slices:
            places = np.arange(self.grid.shape[s.axis]) * self.grid.spacing[s.axis]
            off = np.abs(places + self.grid.affine[s.axis, 3] - self._place(s))
            axes[s.axis] = np.minimum(axes[s.axis], off.astype(np.float32))
        i, p, l = np.ix_(*axes)  # noqa: E741
        away: FloatArray = np.minimum(np.minimum(i, p), l)
        return away

    def doubt(self) -> FloatArray:
        """Uncertainty of the latest result, on the scan's own voxels."""
        return resample(Volume(4 * self.sure * (1 - self.sure), self.grid.affine), self.own)

    def _moved(self, moved: FloatArray) -> Mask:
        """The moved mask; unchanged, to the voxel, where nothing moves."""
        both = [resample(Volume(f, self.grid.affine), self.own) for f in (moved, self.distance)]
        still = np.abs(both[0] - both[1]) < UNMOVED * min(self.own.spacing)
        mask: Mask = np.where(still, self.before, both[0] < 0)
        return mask

    def _inside(self, s: SetSlice) -> bool:
        side = self.box[s.axis]
        return bool(side.start <= s.index < side.stop)

    def _nearest(self, s: SetSlice) -> SetSlice:
        """The slice of the coarser grid nearest to one of the scan's own."""
        place = self._place(s) - self.grid.affine[s.axis, 3]
        index = round(place / self.grid.spacing[s.axis])
        return SetSlice(s.axis, int(np.clip(index, 0, self.grid.shape[s.axis] - 1)))

    def _place(self, s: SetSlice) -> float:
        """Position of one of the scan's own slices along its axis (mm)."""
        index = s.index - self.box[s.axis].start
        return float(self.own.affine[s.axis, 3] + index * self.own.spacing[s.axis])

    def _outline(self, edited: Mask, s: SetSlice) -> SetOutline:
        """A corrected slice and its previous distances, at its own position on coarser voxels."""
        index = s.index - self.box[s.axis].start
        thin = _plane(self.own, s.axis, self.own, index)
        plane = _plane(self.grid, s.axis, self.own, index)
        inside = fraction_inside(edited[self.box][one_slice(s.axis, index)], thin, plane) > 0.5
        return SetOutline(s.axis, plane, inside, on_plane(self.distance, self.grid, plane, s.axis))


def _sure(distance: FloatArray, size: float) -> FloatArray:
    """Probability of being inside, from the distance to the surface alone."""
    likely: FloatArray = scipy.special.expit(-distance / (ERROR_MM * size / 1.7)).astype(np.float32)
    return likely


# --- grids


def _plane(grid: Grid, axis: int, own: Grid, index: int) -> Grid:
    """Grid of one slice of `own`, with the in-plane voxels of `grid`."""
    affine, shape = grid.affine.copy(), list(grid.shape)
    shape[axis] = 1
    affine[axis, axis] = own.spacing[axis]
    affine[axis, 3] = own.affine[axis, 3] + index * own.spacing[axis]
    return Grid((shape[0], shape[1], shape[2]), affine)


def _without_crumbs(mask: Mask, slices: Sequence[SetSlice]) -> Mask:
    """Drop small components and fill small holes away from the corrected slices."""
    for value in (True, False):
        labels, n = scipy.ndimage.label(mask == value)
        if n < 2:
            continue
        sizes = np.bincount(labels.ravel(), minlength=n + 1)
        small = sizes < CRUMB * np.count_nonzero(mask)
        small[0] = False
        for s in slices:
            small[np.unique(labels[one_slice(s.axis, s.index)])] = False
        if small.any():
            mask = mask ^ small[labels]
    return mask


def one_slice(axis: int, index: int) -> Box:
    """Index of one slice of an array."""
    i, p, l = (slice(index, index + 1) if a == axis else slice(None) for a in range(3))  # noqa: E741
    return i, p, l
