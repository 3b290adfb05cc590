"""Propagation of corrections: a person corrects a few slices, and the rest of the mask follows.

Corrected slices stay exactly as they were set. Around them the surface moves along (a Gaussian
process on their outlines, `spreading_field`); with an image, it then moves to where the image
resembles its appearance at the corrected outlines (`spreading_image`). All of this is computed in
the bounding box of the brain, on voxels of about 2 mm, since both fields are smooth on this scale,
and is resampled to the scan's own voxels at the end. Lengths are those of an adult brain and are
scaled down for smaller brains.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import FloatArray, Mask
from napari_singlestrip.engine.masks.cleanup import bounding_box
from napari_singlestrip.engine.masks.mask_tools import interpolate_slices
from napari_singlestrip.engine.masks.spreading_scene import Scene, SetSlice, one_slice
from napari_singlestrip.engine.masks.work_grid import (
    FINE_MM,
    Box,
    Spacing,
    relative_size,
    with_margin,
)

__all__ = ["Follower", "SetSlice", "spread_corrections"]

COARSE_MM = 3.5  # voxel size of a quick preview; the result has FINE_MM
ROOM_MM = 20.0  # around the masks


def spread_corrections(
    before: Mask,
    edited: Mask,
    set_slices: Sequence[SetSlice],
    spacing: Spacing,
    image: NDArray[np.floating] | None = None,
    *,
    coarse: bool = False,
) -> Mask:
    """Propagate the corrections of a few slices to the rest of a mask.

    Parameters
    ----------
    before : ndarray of bool, shape (I, P, L)
        The mask before any correction. If it is empty, the corrected slices are interpolated.
    edited : ndarray of bool, shape (I, P, L)
        The mask with the corrected slices; only these are read.
    set_slices : sequence of SetSlice
        In temporal order: near a later slice, an earlier one no longer counts.
    spacing : tuple of float
        Voxel size in mm.
    image : ndarray, shape (I, P, L), optional
        The scan. If given, the surface also adapts to the image.
    coarse : bool
        Compute a quick preview.

    Returns
    -------
    ndarray of bool, shape (I, P, L)
        Exactly as `edited` on the corrected slices; equal to `before` if there are none.

    Raises
    ------
    ValueError
        If shapes differ or a slice is outside.
    """
    return Follower(before, spacing, image).follow(edited, set_slices, coarse=coarse)


class Follower:
    """A mask that follows corrections; everything that depends only on mask and scan is cached.

    Parameters
    ----------
    before, spacing, image
        As `spread_corrections`; the arrays are not copied and must not change.
    """

    def __init__(
        self, before: Mask, spacing: Spacing, image: NDArray[np.floating] | None = None
    ) -> None:
        if image is not None and image.shape != before.shape:
            raise ValueError(f"a mask of shape {before.shape} for a scan of shape {image.shape}")
        self._before, self._spacing, self._image = before, spacing, image
        self._box = bounding_box(before)
        self._scenes: dict[tuple[object, ...], Scene] = {}

    def follow(
        self, edited: Mask, set_slices: Sequence[SetSlice], *, coarse: bool = False
    ) -> Mask:
        """As `spread_corrections`."""
        slices = _checked(set_slices, edited, self._before)
        if not slices:
            return self._before.copy()
        if self._box is None:
            return self._from_nothing(edited, slices, coarse)
        scene = self._scene(_drawn_box(edited, slices), coarse)
        out = self._before.copy()
        out[scene.box] = scene.follow(edited, slices)
        _keep(out, edited, slices)
        return out

    def prepare(self) -> None:
        """Compute what does not depend on any correction, so that the first response is quick."""
        if self._box is not None:
            self._scene(None, False)

    def doubt(self, *, coarse: bool = False) -> FloatArray:
        """Uncertainty of the latest result: 0 where it is certain, 1 where it could be either.

        Before any result, and without an image, it is high near the surface.

        Returns
        -------
        ndarray of float32, shape of the mask
        """
        out = np.zeros(self._before.shape, dtype=np.float32)
        if self._box is not None:
            kept = [scene for key, scene in self._scenes.items() if key[0] == coarse]
            scene = kept[0] if kept else self._scene(None, coarse)
            out[scene.box] = scene.doubt()
        return out

    def _scene(self, drawn: Box | None, coarse: bool) -> Scene:
        """Scene around both masks; cached, since corrections seldom exceed its margin."""
        assert self._box is not None
        size = relative_size(self._before[self._box], self._spacing)
        box = with_margin(self._box, self._spacing, ROOM_MM * size, self._before.shape)
        if drawn is not None and not _holds(box, drawn):
            both = _around(self._box, drawn)
            box = with_margin(both, self._spacing, ROOM_MM * size, self._before.shape)
        key = (coarse, *((side.start, side.stop) for side in box))
        if key not in self._scenes:
            image = None if self._image is None else self._image[box]
            step = (COARSE_MM if coarse else FINE_MM) * size
            # Only the latest box of each resolution is cached: scenes are large.
            self._scenes = {k: v for k, v in self._scenes.items() if k[0] != coarse}
            self._scenes[key] = Scene(self._before[box], box, self._spacing, image, step, size)
        return self._scenes[key]

    def _from_nothing(self, edited: Mask, slices: list[SetSlice], coarse: bool) -> Mask:
        """Interpolate along the axis with most painted slices, and correct that by the others."""
        drawn = _only(edited, slices)
        axis = _best_axis(drawn, slices)
        own = _only(edited, [s for s in slices if s.axis == axis])
        start = interpolate_slices(own, axis, self._spacing)
        if not start.any():
            return drawn
        if self._image is None and all(s.axis == axis for s in slices):
            _keep(start, edited, slices)
            return start
        out = Follower(start, self._spacing, self._image).follow(edited, slices, coarse=coarse)
        beyond = np.ones(out.shape[axis], dtype=bool)
        used = np.flatnonzero(start.any(axis=tuple(a for a in range(3) if a != axis)))
        beyond[used[0] : used[-1] + 1] = False
        np.moveaxis(out, axis, 0)[beyond] = False  # no slice was set on that side
        _keep(out, edited, slices)
        return out


# --- boxes


def _holds(box: Box, other: Box) -> bool:
    return all(a.start <= b.start and b.stop <= a.stop for a, b in zip(box, other, strict=True))


def _around(box: Box, other: Box) -> Box:
    i, p, l = (  # noqa: E741
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(box, other, strict=True)
    )
    return i, p, l


# --- slices


def _checked(set_slices: Sequence[SetSlice], edited: Mask, before: Mask) -> list[SetSlice]:
    """Each slice once, in the order of its last correction."""
    if edited.shape != before.shape:
        raise ValueError(f"masks of shapes {before.shape} and {edited.shape}")
    for s in set_slices:
        if not (0 <= s.axis < 3 and 0 <= s.index < before.shape[s.axis]):
            raise ValueError(f"{s} is outside a mask of shape {before.shape}")
    return list(dict.fromkeys(reversed(set_slices)))[::-1]


def _drawn_box(edited: Mask, slices: Sequence[SetSlice]) -> Box | None:
    """Bounding box of the mask on the corrected slices."""
    found: Box | None = None
    for s in slices:
        box = bounding_box(edited[one_slice(s.axis, s.index)])
        if box is not None:
            here = [slice(s.index, s.index + 1) if a == s.axis else box[a] for a in range(3)]
            mine = (here[0], here[1], here[2])
            found = mine if found is None else _around(found, mine)
    return found


def _only(mask: Mask, slices: Sequence[SetSlice]) -> Mask:
    out = np.zeros_like(mask)
    _keep(out, mask, slices)
    return out


def _keep(out: Mask, edited: Mask, slices: Sequence[SetSlice]) -> None:
    for s in slices:
        out[one_slice(s.axis, s.index)] = edited[one_slice(s.axis, s.index)]


def _best_axis(drawn: Mask, slices: Sequence[SetSlice]) -> int:
    """The axis with most non-empty slices; the most recent one if equal."""
    counts = [0, 0, 0]
    for s in slices:
        counts[s.axis] += bool(drawn[one_slice(s.axis, s.index)].any())
    return max((s.axis for s in reversed(slices)), key=lambda axis: counts[axis])


