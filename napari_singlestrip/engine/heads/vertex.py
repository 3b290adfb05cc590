"""A vertex for painted heads whose brain is cut off above, so that a network sees one.

Many fields of view end within the brain. A network that learned from such a head alone has never
seen skull and scalp above a brain, and takes them for brain where it meets them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import FloatArray, Mask
from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.masks.work_grid import Spacing, relative_size

# Lengths are those of an adult's head, and less for a smaller one.
CURVATURE_MM = 70.0  # radius of the brain's upper surface
LEAST_CM2 = 5.0  # of brain on the uppermost slice, to be called cut off
LEAST_SIZE = 0.6  # of the brain, to an adult's: heads of small animals are not round above
ABOVE_MM = 25.0  # room above the brain: its coverings, and air
RIM_MM = 12.0  # below the cut, where the coverings are looked up
SECTORS = 48  # directions in which they are looked up
STEP_MM, N_STEPS = 1.5, 22  # distances from the brain at which they are looked up
CONTEXT = 40  # slices below the cut from which distances are measured


@dataclass(frozen=True, eq=False)
class _Standing:
    """Arrays of a grid with their last axis upwards."""

    grid: Grid

    @property
    def axis(self) -> int:
        codes = self.grid.orientation
        return codes.index("S") if "S" in codes else codes.index("I")

    @property
    def downwards(self) -> bool:
        return "I" in self.grid.orientation

    @property
    def spacing(self) -> Spacing:
        x, y = (s for n, s in enumerate(self.grid.spacing) if n != self.axis)
        return x, y, self.grid.spacing[self.axis]

    def up(self, array: NDArray[Any]) -> NDArray[Any]:
        array = np.moveaxis(array, self.axis, -1)
        return array[..., ::-1] if self.downwards else array

    def back(self, array: NDArray[Any]) -> NDArray[Any]:
        array = array[..., ::-1] if self.downwards else array
        return np.moveaxis(array, -1, self.axis)

    def taller(self, n: int) -> Grid:
        """The grid with `n` more slices above."""
        shape, affine = list(self.grid.shape), self.grid.affine.copy()
        shape[self.axis] += n
        if self.downwards:
            affine[:3, 3] -= n * affine[:3, self.axis]
        i, j, k = shape
        return Grid((i, j, k), affine)


def is_cut_off_above(mask: Mask, grid: Grid) -> bool:
    """Whether a brain's mask ends at the upper end of the field of view, on 5 cm2 or more."""
    return mask_with_vertex(mask, grid)[1] is not grid


def mask_with_vertex(mask: Mask, grid: Grid) -> tuple[Mask, Grid]:
    """Add a cap to a brain that is cut off above; others stay as they are.

    Parameters
    ----------
    mask : ndarray of bool, shape (i, j, k)
    grid : Grid
        Its grid.

    Returns
    -------
    mask : ndarray of bool
    grid : Grid
        With more slices above, if the brain is cut off there.
    """
    standing = _Standing(grid)
    brain = standing.up(mask)
    cap = _cap(brain, standing.spacing)
    if cap is None:
        return mask, grid
    whole: Mask = standing.back(np.concatenate([brain, cap], -1))
    return whole, standing.taller(cap.shape[-1])


def with_vertex(volume: Volume, mask: Mask) -> tuple[Volume, Mask]:
    """Add a vertex to a head whose brain is cut off above; others stay as they are.

    The brain closes like a ball of 70 mm radius. Within it the slices below are mirrored. Around it
    lie the coverings as they are beside the brain just below the cut, at the same distance from it
    in the same direction.

    Parameters
    ----------
    volume : Volume
        The scan.
    mask : ndarray of bool, shape (i, j, k)
        Its brain, on the same grid.

    Returns
    -------
    volume : Volume
        With more slices above, if the brain is cut off there.
    mask : ndarray of bool
        On its grid.
    """
    own = volume.grid
    whole_mask, grid = mask_with_vertex(mask, own)
    if grid is own:
        return volume, mask
    standing = _Standing(grid)
    data, brain = standing.up(volume.data), standing.up(mask)
    cap = standing.up(whole_mask)[..., brain.shape[-1] :]
    coverings = _coverings(data, brain, cap, standing.spacing)
    above = np.where(cap, _mirrored(data, brain, cap.shape[-1]), coverings).astype(data.dtype)
    whole = standing.back(np.concatenate([data, above], -1))
    return Volume(np.ascontiguousarray(whole), grid.affine), whole_mask


def _cap(brain: Mask, spacing: Spacing) -> Mask | None:
    """Brain above the last slice, and room; None if it is not cut off there."""
    x, y, z = spacing
    last, size = brain[..., -1], relative_size(brain, spacing)
    area = np.count_nonzero(last) * x * y
    if size < LEAST_SIZE or area < 100 * LEAST_CM2 * size**2:
        return None
    radius = CURVATURE_MM * size
    ring = min((area / np.pi) ** 0.5, 0.95 * radius)  # of a disc as large as the cut
    middle = (radius**2 - ring**2) ** 0.5  # how far below the cut
    height = radius - middle
    heights = z * np.arange(1, np.ceil((height + ABOVE_MM * size) / z) + 1)
    rings = np.sqrt(np.maximum(radius**2 - (middle + heights) ** 2, 0))
    # The cut shrinks by as large a share of its depth as a disc would of its radius.
    depth = scipy.ndimage.distance_transform_edt(last, sampling=(x, y))
    shrunk = depth[..., None] > (1 - rings / ring) * depth.max()
    cap: Mask = shrunk & (heights <= height)
    return cap


def _mirrored(data: FloatArray, brain: Mask, n: int) -> FloatArray:
    """The slices below the cut in reverse, with the brain's median where they are not brain."""
    short = max(0, n - data.shape[-1])
    values, inside = (
        np.pad(array[..., ::-1][..., :n], ((0, 0), (0, 0), (0, short)), mode="edge")
        for array in (data, brain)
    )
    mirrored: FloatArray = np.where(inside, values, np.median(data[brain]))
    return mirrored


def _coverings(data: FloatArray, brain: Mask, cap: Mask, spacing: Spacing) -> FloatArray:
    """Intensities around the cap, by direction and distance from the brain; air further out."""
    step = STEP_MM * relative_size(brain, spacing)
    sector = _sectors(brain[..., -1], spacing)
    known = _profiles(data, brain, sector, spacing)
    lower = brain[..., -CONTEXT:]
    outside = ~np.concatenate([lower, cap], -1)
    distance = scipy.ndimage.distance_transform_edt(outside, sampling=spacing)
    distance = distance[..., lower.shape[-1] :]
    place = np.clip(distance / step - 0.5, 0, N_STEPS - 1)
    nearer = place.astype(int)
    share, further = place - nearer, np.minimum(nearer + 1, N_STEPS - 1)
    values = (1 - share) * known[sector[..., None], nearer] + share * known[
        sector[..., None], further
    ]
    filled: FloatArray = np.where(distance > N_STEPS * step, np.percentile(data, 1), values)
    return filled


def _sectors(last: Mask, spacing: Spacing) -> NDArray[np.intp]:
    """Direction of each place from the middle of the cut, 0 to `SECTORS` - 1."""
    middle = np.argwhere(last).mean(0)
    x, y = (
        (n - m) * s for n, m, s in zip(np.indices(last.shape), middle, spacing[:2], strict=True)
    )
    turn = (np.arctan2(y, x) + np.pi) / (2 * np.pi)
    sectors: NDArray[np.intp] = (turn * SECTORS).astype(int) % SECTORS
    return sectors


def _profiles(
    data: FloatArray, brain: Mask, sector: NDArray[np.intp], spacing: Spacing
) -> FloatArray:
    """Mean intensity beside the brain just below the cut, (SECTORS, N_STEPS)."""
    rim = max(2, round(RIM_MM / spacing[2]))
    step = STEP_MM * relative_size(brain, spacing)
    sums, counts = np.zeros((2, SECTORS * N_STEPS))
    for k in range(max(0, brain.shape[-1] - rim), brain.shape[-1]):
        distance = scipy.ndimage.distance_transform_edt(~brain[..., k], sampling=spacing[:2])
        bins = (distance / step).astype(int)
        beside = (distance > 0) & (bins < N_STEPS)
        where = (sector * N_STEPS + bins)[beside]
        sums += np.bincount(where, data[..., k][beside], SECTORS * N_STEPS)
        counts += np.bincount(where, minlength=SECTORS * N_STEPS)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).reshape(SECTORS, N_STEPS)
    for profile in means:
        known = np.flatnonzero(np.isfinite(profile))
        profile[:] = (np.interp(np.arange(N_STEPS), known, profile[known]) if known.size
                      else data.min())  # the field of view ends at the brain
    filled: FloatArray = means
    return filled
