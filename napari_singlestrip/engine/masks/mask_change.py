"""How a mask differs from the previous one: volumes added and removed, and where mostly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.imaging.grid import Grid
from napari_singlestrip.engine.masks.cleanup import bounding_box
from napari_singlestrip.engine.masks.doubt import ml_in_words, scale_of, whereabouts
from napari_singlestrip.engine.masks.metrics import dice

NEAR_MM = 12.0  # changes this close together count as one location, in an adult brain
LEAST_OVERLAP = 0.97  # below this a mask counts as changed: more than voxels at its edge


@dataclass(frozen=True)
class MaskChange:
    """The change of a mask.

    Attributes
    ----------
    added_ml, removed_ml : float
    most_added, most_removed : str
        Where most of it is, such as "left, front"; empty if nothing changed.
    overlap : float
        Dice of the two masks: their similarity, not an accuracy.
    """

    added_ml: float
    removed_ml: float
    most_added: str
    most_removed: str
    overlap: float

    @property
    def changed(self) -> bool:
        """Whether the change is relevant: more than small shifts of the border."""
        return self.overlap < LEAST_OVERLAP

    @property
    def in_words(self) -> str:
        """Describe the change since the previous round."""
        parts = [
            f"{ml_in_words(ml)} {what} (most: {where})"
            for ml, what, where in (
                (self.added_ml, "added", self.most_added),
                (self.removed_ml, "removed", self.most_removed),
            ) if where
        ]
        return ", ".join(parts) or "unchanged"

    @property
    def in_short(self) -> str:
        """Describe the change in a line: volumes with a sign, each with where most of it is."""
        parts = [
            f"{sign}{ml_in_words(ml)} ({where})"
            for ml, sign, where in (
                (self.added_ml, "+", self.most_added),
                (self.removed_ml, "\u2212", self.most_removed),
            ) if where
        ]
        return ", ".join(parts) or "unchanged"


def mask_change(mask: Mask, before: Mask, grid: Grid) -> MaskChange:
    """Compare a mask with the previous one.

    Parameters
    ----------
    mask, before : ndarray of bool, shape (i, j, k)
    grid : Grid
        Of both.
    """
    added, removed = mask & ~before, before & ~mask
    either = mask | before
    return MaskChange(
        float(np.count_nonzero(added) * grid.voxel_ml),
        float(np.count_nonzero(removed) * grid.voxel_ml),
        _where_most(added, either, grid), _where_most(removed, either, grid),
        dice(mask, before) if either.any() else 1.0,
    )


def _where_most(changed: Mask, brain: Mask, grid: Grid) -> str:
    """Location in the brain where most of a change is."""
    box, around = bounding_box(changed), bounding_box(brain)
    if box is None or around is None:
        return ""
    sigma = [NEAR_MM * scale_of(brain, grid) / 2.355 / step for step in grid.spacing]
    dense = scipy.ndimage.gaussian_filter(
        changed[box].astype(np.float32), sigma, mode="constant", truncate=2.0
    )
    i, j, k = (
        int(n) + side.start
        for n, side in zip(np.unravel_index(int(dense.argmax()), dense.shape), box, strict=True)
    )
    return whereabouts((i, j, k), around, grid)
