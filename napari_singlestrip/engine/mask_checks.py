"""What to know of a mask while it is painted, quick enough to be asked after each stroke."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.cleanup import MaskReport, mask_report
from napari_singlestrip.engine.grid import Grid
from napari_singlestrip.engine.mask_tools import axis_with_gaps, painted_slices


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
    """

    report: MaskReport
    painted: int
    missing: int


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
    return MaskChecks(mask_report(mask, grid), int(used.size), span - int(used.size))
