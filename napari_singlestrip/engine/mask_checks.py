"""What to know of a mask while it is painted, quick enough to be asked after each stroke."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.cleanup import MaskReport, bounding_box, mask_report
from napari_singlestrip.engine.grid import Grid
from napari_singlestrip.engine.mask_tools import axis_with_gaps, painted_slices

# Shortest side of the box around a brain by its longest: 0.6 to 0.8 in people, 0.5 in a mouse.
FLAT = 0.35


@dataclass(frozen=True)
class MaskChecks:
    """A mask in numbers, with the slices that are still to be painted.

    Attributes
    ----------
    report : MaskReport
    painted : int
        Slices with something painted.
    missing : int
        Empty slices between them.
    is_flat : bool
        Whether it is far shorter along one axis than along the others, as no brain is: slices at
        its ends are not painted.
    """

    report: MaskReport
    painted: int
    missing: int
    is_flat: bool


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
    return MaskChecks(
        mask_report(mask, grid), int(used.size), span - int(used.size), _is_flat(mask, grid)
    )


def _is_flat(mask: NDArray[np.bool_], grid: Grid) -> bool:
    box = bounding_box(mask)
    if box is None:
        return False
    extent = [(side.stop - side.start) * mm for side, mm in zip(box, grid.spacing, strict=True)]
    return min(extent) < FLAT * max(extent)
