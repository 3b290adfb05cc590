"""Where the brain probably is in a scan without a mask: the first planes to show.

Estimated from bright voxels, in milliseconds; no training and no result depends on it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import AnyArray

# Distance from the top of the head to the ventricles. The middle slice is no alternative: in a scan
# that includes the neck it shows the jaw.
BELOW_TOP_MM = 75.0
COARSE = 4  # every fourth row and column is enough
BRIGHT, ENOUGH = 0.1, 0.03  # of the range of intensities; of the voxels of a slice



def level_of_ventricles(data: AnyArray, spacing: float) -> int:
    """Return the axial slice at the level of the ventricles.

    Parameters
    ----------
    data : ndarray
        Axes (I, P, L), as displayed.
    spacing : float
        Between axial slices (mm).

    Returns
    -------
    int
        The middle slice where no head is found, or where the image ends above that level.
    """
    return _level(_bright(data), spacing)


def middle_of_head(data: AnyArray, scale: tuple[float, float, float]) -> tuple[int, int, int]:
    """Return the voxel in the middle of the head, at the level of the ventricles.

    Parameters
    ----------
    data : ndarray
        Axes (I, P, L), as displayed.
    scale : tuple of float
        Size of a voxel (mm).
    """
    bright = _bright(data)
    level, rows = _level(bright, scale[0]), _used(bright, 0)
    around = bright[rows[0] : level + 1] if rows.size and rows[0] <= level else bright
    middle = [level]
    for axis in (1, 2):  # only above that level: nose or chin would shift it
        used = _used(around, axis) * COARSE
        side = data.shape[axis]
        middle.append(min(int(used[0] + used[-1]) // 2, side - 1) if used.size else side // 2)
    return middle[0], middle[1], middle[2]


def _level(bright: NDArray[np.bool_], spacing: float) -> int:
    rows, n = _used(bright, 0), len(bright)
    below = int(rows[0] + BELOW_TOP_MM / spacing) if rows.size else n
    return below if below < n else n // 2


def _bright(data: AnyArray) -> NDArray[np.bool_]:
    coarse = np.nan_to_num(data[:, ::COARSE, ::COARSE].astype(np.float32), posinf=0.0, neginf=0.0)
    low = coarse.min()
    bright: NDArray[np.bool_] = coarse > low + BRIGHT * (np.percentile(coarse, 99) - low)
    return bright


def _used(bright: NDArray[np.bool_], axis: int) -> NDArray[np.intp]:
    """Slices across an axis that contain more than a few bright voxels."""
    others = tuple(a for a in range(3) if a != axis)
    return np.flatnonzero(bright.mean(axis=others) > ENOUGH)
