"""The voxels enclosed by an outline drawn by hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_singlestrip.engine.arrays import Mask

OPEN = 0.25  # of its length: a line with ends further apart is a cut, not an outline
END = 6  # a line is extended in the direction of its last n-th part


def enclosed(outline: ArrayLike, shape: tuple[int, int]) -> Mask:
    """Voxels of a slice whose centres are enclosed by a line.

    A line that crosses itself encloses all points with a nonzero winding number: the overlap at the
    end of an outline that was drawn too far is inside, not a hole.

    Parameters
    ----------
    outline : array_like, shape (n, 2)
        Rows and columns, in voxels; centres lie at whole numbers. It is closed by a straight line
        and may extend beyond the slice.
    shape : tuple of int
        Rows and columns of the slice.

    Returns
    -------
    ndarray of bool, shape `shape`
        Empty for fewer than three points.
    """
    points = np.asarray(outline, dtype=np.float64)
    turns = np.zeros((shape[0], shape[1] + 1), dtype=np.int32)
    if len(points) > 2:
        # Along each row of centres, every edge that crosses it changes the winding number of the
        # voxels beyond the crossing.
        for start, end in zip(points, np.roll(points, -1, axis=0), strict=True):
            _cross(turns, start, end)
    found: Mask = np.cumsum(turns[:, :-1], axis=1) != 0
    return found


def _cross(
    turns: NDArray[np.int32], start: NDArray[np.float64], end: NDArray[np.float64]
) -> None:
    """Count where one edge crosses the rows; an edge along a row crosses none."""
    down = end[0] > start[0]
    top, bottom = (start, end) if down else (end, start)
    rows = np.arange(max(0, int(np.ceil(top[0]))), min(len(turns), int(np.ceil(bottom[0]))))
    if rows.size:
        along = (rows - top[0]) / (bottom[0] - top[0])
        columns = np.ceil(top[1] + along * (bottom[1] - top[1])).astype(np.int64)
        turns[rows, columns.clip(0, turns.shape[1] - 1)] += 1 if down else -1


def is_closed(line: ArrayLike) -> bool:
    """Whether a line returns to near its start, and so is meant as an outline."""
    points = np.asarray(line, dtype=np.float64)
    if len(points) < 3:
        return False
    length = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
    return float(np.linalg.norm(points[-1] - points[0])) < OPEN * length


def beyond(line: ArrayLike, shape: tuple[int, int]) -> Mask:
    """One side of a line that cuts a slice in two; both ends are extended straight on.

    Parameters
    ----------
    line : array_like, shape (n, 2)
        Rows and columns, in voxels.
    shape : tuple of int
        Rows and columns of the slice.

    Returns
    -------
    ndarray of bool, shape `shape`
        The voxels of one side; empty if the line is a point.
    """
    points = np.asarray(line, dtype=np.float64)
    middle = np.array(shape) / 2
    far = 4 * (float(np.hypot(*shape)) + float(np.abs(points - middle).max(initial=0)))
    ends = []
    for end in (points, points[::-1]):
        towards = end[0] - end[min(len(end) - 1, max(1, len(end) // END))]
        length = float(np.linalg.norm(towards))
        if length == 0:
            return np.zeros(shape, dtype=bool)
        ends.append(end[0] + towards * (far / length))
    start, stop = (float(np.arctan2(*(end - middle))) for end in ends)
    # Close the polygon far outside the slice, from the line's end back to its start.
    angles = np.linspace(stop, start + (2 * np.pi if start < stop else 0), 64)
    around = middle + far * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    return enclosed(np.concatenate([ends[:1], points, ends[1:], around]), shape)
