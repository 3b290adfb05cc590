"""Connected components of a mask: the one at a clicked voxel, and small ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.masks.cleanup import bounding_box

Voxel = tuple[int, int, int]


def piece_at(mask: Mask, voxel: Voxel) -> Mask:
    """The connected component (voxels that share faces) that contains a voxel.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, P, L)
    voxel : tuple of int
        Within the mask's array.

    Returns
    -------
    ndarray of bool
        Empty if the voxel is not in the mask.
    """
    if not mask[voxel]:
        return np.zeros(mask.shape, dtype=bool)
    order = np.argsort(mask.strides)[::-1]  # runs lie along the axis that is closest in memory
    turned = mask.transpose(order)
    runs = Runs.of(turned)
    place = int(np.ravel_multi_index([voxel[axis] for axis in order], turned.shape))
    kept = runs.joined()
    same = kept == kept[np.searchsorted(runs.starts, place, side="right") - 1]
    return runs.filled(same).transpose(np.argsort(order))


@dataclass(frozen=True, eq=False)
class Runs:
    """A mask as runs of voxels along its last axis: a hundredth of the numbers of its voxels.

    Attributes
    ----------
    starts, stops : ndarray of int
        Places in the flat mask; a run ends with its row.
    shape : tuple of int
    """

    starts: NDArray[np.intp]
    stops: NDArray[np.intp]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, mask: Mask) -> Runs:
        """Take the runs of a mask."""
        flat = np.ascontiguousarray(mask).reshape(-1)
        length = mask.shape[-1]
        begins, ends = flat.copy(), flat.copy()
        begins[1:] &= ~flat[:-1]
        begins[::length] = flat[::length]
        ends[:-1] &= ~flat[1:]
        ends[length - 1 :: length] = flat[length - 1 :: length]
        return cls(np.flatnonzero(begins), np.flatnonzero(ends) + 1, mask.shape)

    def joined(self) -> NDArray[np.int32]:
        """Number the pieces: runs that share a face have the same number."""
        n, length = len(self.starts), self.shape[-1]
        rows = self.starts // length
        pairs = [
            self._facing(step * length, (rows // step) % count < count - 1)
            for step, count in ((1, self.shape[1]), (self.shape[1], self.shape[0]))
        ]
        one, other = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
        graph = scipy.sparse.coo_array((np.ones(len(one), np.int8), (one, other)), shape=(n, n))
        return np.asarray(scipy.sparse.csgraph.connected_components(graph, directed=False)[1])

    def filled(self, chosen: NDArray[np.bool_]) -> Mask:
        """Return the mask of some of the runs."""
        edges = np.zeros(int(np.prod(self.shape)) + 1, dtype=np.int8)
        edges[self.starts[chosen]] = 1
        edges[self.stops[chosen]] -= 1
        return np.cumsum(edges[:-1], dtype=np.int8).view(bool).reshape(self.shape)

    def _facing(
        self, step: int, has_next: NDArray[np.bool_]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Pairs of runs that share a face, the second `step` voxels further on."""
        here = np.flatnonzero(has_next)
        first = np.searchsorted(self.stops, self.starts[here] + step, side="right")
        beyond = np.searchsorted(self.starts, self.stops[here] + step, side="left")
        counts = np.maximum(beyond - first, 0)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(here, counts), np.repeat(first, counts) + within


def without_small_pieces(mask: Mask, smallest_ml: float, voxel_ml: float) -> Mask:
    """Drop the components below a volume.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, P, L)
    smallest_ml : float
        The smallest volume that is kept (mL).
    voxel_ml : float
        Volume of a voxel (mL).
    """
    kept = np.zeros(mask.shape, dtype=bool)
    box = bounding_box(mask)
    if box is not None:
        labels, _ = scipy.ndimage.label(mask[box])
        large = np.bincount(labels.ravel()) * voxel_ml >= smallest_ml
        large[0] = False
        kept[box] = large[labels]
    return kept
