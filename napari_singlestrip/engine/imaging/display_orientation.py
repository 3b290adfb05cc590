"""How napari shows a head: upright in all three planes, whatever the orientation of its file.

The axes become inferior, posterior, left (IPL): rows run down the head and columns to the patient's
left, as radiologists hang images. napari's own ``affine`` is not used: its brush ignores it, and
a permuted one stops the viewer (napari#3410).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import AnyArray

DISPLAY_AXES = "IPL"
_OPPOSITE = {"I": "S", "P": "A", "L": "R"}
# Where the first and the last voxel of each axis of the display are: above and below, ...
AXIS_ENDS = tuple((_OPPOSITE[axis], axis) for axis in DISPLAY_AXES)



@dataclass(frozen=True, eq=False)
class Upright:
    """Reorients volumes between the grid of a scan and the display, as views without copying.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        Voxel index to RAS mm of the scan.
    """

    affine: NDArray[np.float64]

    @cached_property
    def turn(self) -> AnyArray:
        """Orientation transform from the scan's axes to the display's, in nibabel's form."""
        target = nib.orientations.axcodes2ornt(DISPLAY_AXES)
        turn: AnyArray = nib.orientations.ornt_transform(
            nib.orientations.io_orientation(self.affine), target
        )
        return turn

    @cached_property
    def source_axes(self) -> tuple[int, int, int]:
        """The scan's axis for each axis of the display."""
        i, p, l = (int(axis) for axis in self.turn[:, 0].argsort())  # noqa: E741
        return i, p, l

    @cached_property
    def scale(self) -> tuple[float, float, float]:
        """Voxel size along the display's axes (mm)."""
        spacing = nib.affines.voxel_sizes(self.affine)
        i, p, l = (float(spacing[axis]) for axis in self.source_axes)  # noqa: E741
        return i, p, l

    def affine_of_display(self, shape: tuple[int, int, int]) -> AnyArray:
        """Voxel (I, P, L) of the display to RAS mm, for a scan of this shape (i, j, k)."""
        back: AnyArray = nib.orientations.inv_ornt_aff(self.turn, shape)
        return np.asarray(self.affine @ back)

    def to_display(self, volume: AnyArray) -> AnyArray:
        """View a volume (i, j, k) of the scan with the display's axes (I, P, L)."""
        return nib.orientations.apply_orientation(volume, self.turn)

    def to_scan(self, volume: AnyArray) -> AnyArray:
        """View a volume (I, P, L) of the display with the scan's axes (i, j, k)."""
        turn = self.turn
        axes = [int(axis) for axis in turn[:, 0]]
        back = volume.transpose(axes)
        return np.flip(back, tuple(n for n, flip in enumerate(turn[:, 1]) if flip < 0))


def grey_limits(data: AnyArray) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the display window (black and white level) and the intensity range.

    Without limits napari searches the whole volume for them, twice; a subsample is enough.
    """
    step = tuple(max(1, n // 64) for n in data.shape)
    sample = data[:: step[0], :: step[1], :: step[2]]
    low, high = (float(v) for v in np.percentile(sample, (1, 99.5)))
    smallest, largest = float(sample.min()), float(sample.max())
    if high <= low:
        low, high = smallest, max(largest, smallest + 1)
    return (low, high), (min(smallest, low), max(largest, high))
