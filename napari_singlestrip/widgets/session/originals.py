"""Masks as they were before a person corrected them, so that the brain can follow corrections.

The original of a scan is what would be shown without the person's unfinished changes: the mask that
was kept, else the newest pseudo-label, else nothing. It stays the original while the changes are
unfinished, also while other scans are shown. A tool that makes another mask altogether (a
suggestion, a file, slices that were filled) makes another original.

Undo and redo need no account of their own: what a person did since is told by the mask, of those
known here, that is most like the one on screen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from napari_singlestrip.engine.masks.changed_slices import is_another_mask
from napari_singlestrip.engine.masks.mask_tools import axis_with_gaps
from napari_singlestrip.engine.masks.spreading import SetSlice
from napari_singlestrip.errors import UserError
from napari_singlestrip.widgets.viewer.shown import Shown, kept_mask
from napari_singlestrip.widgets.viewer.study_layers import StudyLayers

Mask = NDArray[np.bool_]
MAX_SCANS, MAX_MASKS = 8, 6  # an eighth of a byte per voxel each


@dataclass(frozen=True, eq=False)
class PackedMask:
    """A mask in an eighth of its memory."""

    bits: NDArray[np.uint8]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, mask: NDArray[np.bool_] | NDArray[np.uint8]) -> PackedMask:
        """Pack a mask."""
        return cls(np.packbits(mask), mask.shape)

    def unpacked(self) -> Mask:
        """The mask, as a new array."""
        n = int(np.prod(self.shape))
        return np.unpackbits(self.bits, count=n).reshape(self.shape).view(np.bool_)

    def distance(self, other: PackedMask) -> int:
        """Number of voxels that differ."""
        return int(np.unpackbits(self.bits ^ other.bits).sum(dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Known:
    """A mask that was on screen, and how it came about.

    Attributes
    ----------
    mask : PackedMask
        As displayed, axes (I, P, L).
    before : PackedMask
        The original that it follows from.
    slices : tuple of SetSlice
        What the person had set by then.
    """

    mask: PackedMask
    before: PackedMask
    slices: tuple[SetSlice, ...] = ()


@dataclass
class _Story:
    """What is known of one scan."""

    known: list[Known]
    seen: list[SetSlice] = field(default_factory=list)

    def fits(self, now: Shown) -> bool:
        return self.known[0].mask.shape == now.upright.to_display(now.mask).shape

    def add(self, known: Known) -> None:
        # The first is what Discard goes back to; undo rarely reaches beyond the newest.
        self.known = [self.known[0], *self.known[1:][-(MAX_MASKS - 2) :], known]

    def nearest(self, mask: Mask) -> Known:
        packed = PackedMask.of(mask)
        return min(reversed(self.known), key=lambda known: known.mask.distance(packed))


class Originals(QObject):
    """Keeps the masks from which corrections began.

    Parameters
    ----------
    layers : StudyLayers
    parent : QObject, optional
    """

    def __init__(self, layers: StudyLayers, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layers = layers
        self._now: Shown | None = None
        self._stories: dict[tuple[Path, str], _Story] = {}
        layers.shown_changed.connect(self._on_shown)
        layers.edited.connect(self._on_edited)

    def nearest(self, mask: Mask) -> Known | None:
        """The known mask from which a mask (I, P, L) of the scan on screen was made."""
        story = self._story()
        return None if story is None else story.nearest(mask)

    @property
    def seen(self) -> tuple[SetSlice, ...]:
        """Slices that were on screen when something changed; the newest last."""
        story = self._story()
        return () if story is None else tuple(story.seen)

    def followed(self, mask: Mask, start: Known, slices: tuple[SetSlice, ...]) -> None:
        """The brain followed slices: corrections of its answer add to them."""
        story = self._story()
        if story is not None:
            story.add(Known(PackedMask.of(mask), start.before, slices))

    def took(self, mask: Mask) -> None:
        """A tool made a mask: another original, unless it changed a few slices only."""
        story = self._story()
        if story is not None:
            _take(story, mask)

    def _story(self) -> _Story | None:
        now = self._layers.now
        return None if now is None else self._stories.get((now.study.folder, now.name))

    def _on_shown(self, _name: str) -> None:
        now = self._layers.now
        if now is None or now is self._now:  # the same, whose layers were made anew
            return
        self._now = now
        key = (now.study.folder, now.name)
        story = self._stories.pop(key, None)
        if story is None or now.source != "draft" or not story.fits(now):
            story = _begun(now)
        self._stories[key] = story
        for old in list(self._stories)[:-MAX_SCANS]:
            del self._stories[old]

    def _on_edited(self) -> None:
        story, axes = self._story(), self._layers.viewpoint.axes
        if story is not None:
            here = SetSlice(axes[0], self._layers.point[axes[0]])
            story.seen = [*(s for s in story.seen if s != here), here]


def _begun(now: Shown) -> _Story:
    shown = now.upright.to_display(now.mask)
    if now.source != "draft":
        packed = PackedMask.of(shown)
        return _Story([Known(packed, packed)])
    try:
        original = now.upright.to_display(kept_mask(now.study, now.name, now.scan)[0])
    except UserError:  # told when it is shown without the draft
        original = shown
    packed = PackedMask.of(original)
    story = _Story([Known(packed, packed)])
    _take(story, shown != 0)
    return story


def _take(story: _Story, mask: Mask) -> None:
    before = story.nearest(mask).mask.unpacked()
    # From nothing, a person paints slices, until what is between them is filled.
    another = (
        is_another_mask(before, mask) if before.any()
        else axis_with_gaps(mask, 0) is None and bool(mask.any())
    )
    if another:
        packed = PackedMask.of(mask)
        story.add(Known(packed, packed))
