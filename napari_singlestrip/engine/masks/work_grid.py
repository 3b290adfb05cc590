"""The box around a brain, and the coarser grid on which its surface is moved.

Surfaces and image features are smooth on the scale of 2 mm, and work on such voxels is several
times faster. Grids are centred on the box, so that a mirrored scan gives a mirrored result.
"""

from __future__ import annotations

import numpy as np

from napari_singlestrip.engine.arrays import FloatArray, Mask
from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.imaging.resampling import resample

Spacing = tuple[float, float, float]
Box = tuple[slice, slice, slice]

FINE_MM = 2.0  # voxel size for an adult's brain
ADULT_RADIUS_MM = 69.0  # of a ball as large as an adult's brain


def relative_size(mask: Mask, spacing: Spacing) -> float:
    """Size of a brain relative to an adult's, at most 1; lengths in mm are scaled by it.

    A lower limit, for masks of a few voxels, keeps lengths above the size of a voxel.
    """
    volume = np.count_nonzero(mask) * float(np.prod(spacing))
    radius = (3 * volume / (4 * np.pi)) ** (1 / 3)
    return float(np.clip(radius / ADULT_RADIUS_MM, min(spacing) / FINE_MM, 1.0))


def with_margin(box: Box, spacing: Spacing, margin_mm: float, shape: tuple[int, ...]) -> Box:
    """Enlarge a box on all sides, as far as the array reaches."""
    i, p, l = (  # noqa: E741
        slice(max(side.start - int(np.ceil(margin_mm / s)), 0),
              min(side.stop + int(np.ceil(margin_mm / s)), n))
        for side, s, n in zip(box, spacing, shape, strict=True)
    )  # fmt: skip
    return i, p, l


def centred_grid(shape: tuple[int, ...], spacing: Spacing) -> Grid:
    """Grid of a box whose middle is at 0."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) / 2 * np.array(spacing)
    i, p, l = shape  # noqa: E741
    return Grid((i, p, l), affine)


def coarser_grid(own: Grid, step_mm: float) -> Grid:
    """Grid that is coarser than `own` along axes with voxels finer than `step_mm`."""
    sides, steps = [], []
    for n, s in zip(own.shape, own.spacing, strict=True):
        coarser = s < 0.75 * step_mm
        steps.append(step_mm if coarser else s)
        sides.append(int(np.ceil(n * s / step_mm)) if coarser else n)
    return centred_grid(tuple(sides), (steps[0], steps[1], steps[2]))


def fraction_inside(mask: Mask, own: Grid, grid: Grid) -> FloatArray:
    """Fraction of each voxel of `grid` that is inside a mask on `own`."""
    return resample(Volume(mask.astype(np.float32), own.affine), grid)
