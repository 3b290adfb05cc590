"""Which slices of a mask were corrected: those that differ from the mask before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.masks.cleanup import bounding_box
from napari_singlestrip.engine.masks.mask_tools import painted_slices
from napari_singlestrip.engine.masks.spreading_scene import SetSlice

Counts = NDArray[np.int64]

# A changed voxel lies on three slices, one per axis. Slices that were on screen are preferred:
# strokes at the same position of neighbouring slices also fill a slice across them.
SEEN = 8.0
MOST = 0.75  # of the slices; beyond this it is a new mask, not a corrected one


def changed_slices(
    before: Mask, edited: Mask, seen: Sequence[SetSlice] = ()
) -> tuple[SetSlice, ...]:
    """Find a small set of slices, along any axes, that covers all changes.

    Parameters
    ----------
    before, edited : ndarray of bool, shape (I, P, L)
    seen : sequence of SetSlice
        Slices that were on screen when something changed, in temporal order.

    Returns
    -------
    tuple of SetSlice
        In the same order, the latest last.
    """
    changed = before != edited
    box = bounding_box(changed)
    if box is None:
        return ()
    weights = [np.ones(n) for n in before.shape]
    for s in seen:
        weights[s.axis][s.index] = SEEN
    inside = [w[side] for w, side in zip(weights, box, strict=True)]
    found = [
        SetSlice(axis, index + box[axis].start) for axis, index in _cover(changed[box], inside)
    ]
    order = {s: n for n, s in enumerate(seen)}
    return tuple(sorted(found, key=lambda s: (order.get(s, -1), s.axis, s.index)))


def is_another_mask(before: Mask, edited: Mask) -> bool:
    """Whether too many slices changed for a correction of `before`."""
    either = before | edited
    share = 0.0  # of all slices, summed over the axes, since slices of any axis may be corrected
    for s in changed_slices(before, edited):
        share += 1 / max(painted_slices(either, s.axis).size, 1)
    return share > MOST


def _cover(changed: Mask, weights: Sequence[NDArray[np.float64]]) -> Iterator[tuple[int, int]]:
    """Greedy cover: take the slice with most of the remaining changes, until none remain."""
    left = changed.copy()
    counts = [_along(left, axis) for axis in range(3)]
    while counts[0].any():
        scores = [c * w for c, w in zip(counts, weights, strict=True)]
        axis = max(range(3), key=lambda a: float(scores[a].max()))
        index = int(scores[axis].argmax())
        plane = np.moveaxis(left, axis, 0)[index]
        others = [a for a in range(3) if a != axis]
        for other, rest in zip(others, (1, 0), strict=True):
            counts[other] -= plane.sum(axis=rest)
        counts[axis][index] = 0
        plane[...] = False
        yield axis, index


def _along(mask: Mask, axis: int) -> Counts:
    others = tuple(a for a in range(3) if a != axis)
    return np.asarray(mask.sum(axis=others), dtype=np.int64)
