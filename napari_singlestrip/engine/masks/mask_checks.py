"""Checks of a mask while it is painted, fast enough to run after each stroke."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.grid import Grid
from napari_singlestrip.engine.masks.cleanup import (
    MaskReport,
    bounding_box,
    largest_component,
    mask_report,
)
from napari_singlestrip.engine.masks.mask_tools import axis_with_gaps, painted_slices

# Shortest over longest side of a brain's bounding box: 0.6 to 0.8 in humans, 0.5 in a mouse.
FLAT = 0.35
# Other components count as specks if they hold at most this fraction of the mask.
SPECKS = 0.02
THIN = 2  # adjacent slices that may still be outlines to interpolate between
# A brain fills half of its bounding box; outlines in three crossing planes a tenth.
SOLID = 0.2


@dataclass(frozen=True)
class MaskChecks:
    """Summary of a mask, with the slices that are still to be painted.

    Attributes
    ----------
    report : MaskReport
    painted : int
        Slices with something painted.
    missing : int
        Empty slices between them.
    is_flat : bool
        Whether it is far shorter along one axis than any brain: slices at its ends are not painted.
    thinnest : int
        Smallest run of adjacent painted slices.
    beside_share : float
        Fraction of the mask outside its largest component.
    filled_share : float
        Fraction of the mask's bounding box that is painted.
    """

    report: MaskReport
    painted: int
    missing: int
    is_flat: bool
    thinnest: int = 0
    beside_share: float = 0.0
    filled_share: float = 1.0

    @property
    def is_outlined(self) -> bool:
        """Whether slices are still to be interpolated: components are then mostly outlines."""
        return self.missing > 0 and self.thinnest <= THIN and self.beside_share > SPECKS

    @property
    def has_specks(self) -> bool:
        """Whether all but the largest component can be dropped without a loss.

        Not while slices are missing: the outline of the last slice is as small as a speck. Not if
        the other components are large: they may be a hemisphere, or cut off by a wrong slice. Not
        if the mask is not solid: outlines in several planes leave no slice empty.
        """
        solid = self.missing == 0 and self.filled_share >= SOLID
        return self.report.pieces > 1 and solid and self.beside_share <= SPECKS


def check_mask(mask: NDArray[np.bool_], grid: Grid, axis: int) -> MaskChecks:
    """Check a mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (i, j, k)
    grid : Grid
        Of the mask.
    axis : int
        Across the slices on screen.
    """
    painted_across = axis_with_gaps(mask, axis)
    used = painted_slices(mask, axis if painted_across is None else painted_across)
    span = int(used[-1] - used[0]) + 1 if used.size else 0
    report = mask_report(mask, grid)
    beside, filled = _shares(mask)
    return MaskChecks(
        report, int(used.size), span - int(used.size), _is_flat(mask, grid), _thinnest(used),
        beside, filled,
    )


def _is_flat(mask: NDArray[np.bool_], grid: Grid) -> bool:
    box = bounding_box(mask)
    if box is None:
        return False
    extent = [(side.stop - side.start) * mm for side, mm in zip(box, grid.spacing, strict=True)]
    return min(extent) < FLAT * max(extent)


def _shares(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Fraction of the mask outside its largest component, and of its box that is painted."""
    box = bounding_box(mask)
    if box is None:
        return 0.0, 0.0
    part = mask[box]
    n = np.count_nonzero(part)
    return 1 - float(np.count_nonzero(largest_component(part)) / n), float(n / part.size)


def _thinnest(used: NDArray[np.intp]) -> int:
    """Smallest run of adjacent painted slices."""
    runs = np.split(used, np.flatnonzero(np.diff(used) > 1) + 1)
    return min(len(run) for run in runs)
