"""Masks before manual corrections, which are needed to propagate corrections.

The original of a scan is the mask without unsaved changes: the kept mask, else the latest
pseudo-label, else nothing. It stays the original while there are unsaved changes, also while other
scans are shown. A tool that makes a new mask (a suggestion, a file, interpolated slices) makes a
new original.

Undo and redo are not tracked: masks that were seen before are recognised by their digest, and for
others the changes are relative to the most similar known mask.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.imaging.display_orientation import Upright
from napari_singlestrip.engine.imaging.volume import Scan
from napari_singlestrip.engine.judging.dice_so_far import SliceCheck
from napari_singlestrip.engine.masks.changed_slices import changed_slices, is_another_mask
from napari_singlestrip.engine.masks.mask_tools import axis_with_gaps
from napari_singlestrip.engine.masks.spreading import SetSlice
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.drafts import suggested_by
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import SUGGESTED, MaskRecord
from napari_singlestrip.widgets.viewer.shown import Shown, kept_mask
from napari_singlestrip.widgets.viewer.study_layers import StudyLayers

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

    def digest(self) -> bytes:
        """Digest of the mask."""
        return hashlib.blake2b(self.bits.data, digest_size=16).digest()

    def distance(self, other: PackedMask) -> int:
        """Number of voxels that differ."""
        return int(np.unpackbits(self.bits ^ other.bits).sum(dtype=np.int64))


Predicted = Mapping[SetSlice, PackedMask]


@dataclass(frozen=True, eq=False)
class Known:
    """A mask that was on screen, and its history.

    Attributes
    ----------
    mask : PackedMask
        As displayed, axes (I, P, L).
    before : PackedMask
        The original it is based on.
    slices : tuple of SetSlice
        The slices corrected by then.
    own : bool
        Whether the original was painted by hand, and so may be wanted unchanged; else it was made
        by a program.
    predicted : mapping of SetSlice to PackedMask
        What the mask was on each corrected slice before that was corrected.
    followed : bool
        Whether the rest of the mask followed these slices.
    """

    mask: PackedMask
    before: PackedMask
    slices: tuple[SetSlice, ...] = ()
    own: bool = False
    predicted: Predicted = field(default_factory=dict)
    followed: bool = False


@dataclass(frozen=True, eq=False)
class Corrected:
    """A mask on screen, and its corrected slices.

    Attributes
    ----------
    now : PackedMask
        As displayed, axes (I, P, L).
    before : PackedMask
        The original it is based on.
    slices : tuple of SetSlice
        In temporal order.
    own : bool
        Whether the original was painted by hand.
    known : bool
        Whether exactly this mask was seen before, as after undo.
    predicted : mapping of SetSlice to PackedMask
        What the mask was on each corrected slice before that was corrected.
    checks : mapping of SetSlice to SliceCheck
        How far that was from what the slice is now.
    followed : bool
        Whether the rest of the mask followed these slices.
    """

    now: PackedMask
    before: PackedMask
    slices: tuple[SetSlice, ...]
    own: bool
    known: bool
    predicted: Predicted = field(default_factory=dict)
    checks: Mapping[SetSlice, SliceCheck] = field(default_factory=dict)
    followed: bool = False

    def with_right(self, one: SetSlice) -> Corrected:
        """The same, with one more slice that was right as it was."""
        plane = _plane(self.now.unpacked(), one)
        right = plane.unpacked()
        return replace(
            self, slices=(*self.slices, one), predicted={**self.predicted, one: plane},
            checks={**self.checks, one: SliceCheck.of(right, right)},
        )

    @property
    def has_original(self) -> bool:
        """Whether there was a mask that could follow."""
        return bool(self.before.bits.any())


class _Home(NamedTuple):
    """Where the mask without unsaved changes is."""

    study: Study
    name: str
    scan: Scan
    upright: Upright

    @classmethod
    def of(cls, now: Shown) -> _Home:
        return cls(now.study, now.name, now.scan, now.upright)

    def holds(self, mask: Mask) -> bool:
        """Whether it is equal to a mask on the scan's grid."""
        try:
            return np.array_equal(kept_mask(self.study, self.name, self.scan)[0], mask)
        except UserError:  # reported when it is shown
            return False


@dataclass
class _Story:
    """History of one scan."""

    known: list[Known]
    home: _Home
    seen: list[SetSlice] = field(default_factory=list)
    noted: dict[bytes, Known] = field(default_factory=dict)

    def fits(self, now: Shown) -> bool:
        return self.known[0].mask.shape == now.upright.to_display(now.mask).shape

    def add(self, known: Known) -> None:
        # The first is needed for Discard; undo rarely goes beyond the latest.
        self.known = [self.known[0], *self.known[1:][-(MAX_MASKS - 2) :], known]

    def nearest(self, packed: PackedMask) -> Known:
        return min(reversed(self.known), key=lambda known: known.mask.distance(packed))

    def note(self, known: Known) -> Known:
        self.noted[known.mask.digest()] = known
        return known

    def is_original(self, mask: Mask) -> bool:
        """Whether a mask on the scan's grid has no unsaved changes; may be called in a thread."""
        packed = PackedMask.of(self.home.upright.to_display(mask))
        began = np.array_equal(packed.bits, self.known[0].mask.bits)
        # A correction that was stored since, or a newer round, is another original.
        return began and self.home.holds(mask)

    def corrected(self, mask: Mask) -> Corrected:
        """The corrected slices of a mask; may be called in a thread."""
        packed = PackedMask.of(mask)
        noted = self.noted.get(packed.digest())
        if noted is not None:
            return Corrected(
                packed, noted.before, noted.slices, noted.own, known=True,
                predicted=noted.predicted, checks=_checks(mask, noted.predicted),
                followed=noted.followed,
            )
        start = self.nearest(packed)
        was = start.mask.unpacked()
        now_set = changed_slices(was, mask, self.seen)
        kept = (s for s in start.slices if s not in now_set)
        # A second stroke on a slice does not change what had been predicted there.
        predicted = {s: _plane(was, s) for s in now_set if s not in start.slices}
        predicted = {**start.predicted, **predicted}
        return Corrected(
            packed, start.before, (*kept, *now_set), start.own, known=False,
            predicted=predicted, checks=_checks(mask, predicted),
        )


class Originals(QObject):
    """Keeps the masks before corrections.

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
        layers.showing.changed.connect(self._on_shown)
        layers.editing.edited.connect(self._on_edited)

    @property
    def n_corrected(self) -> int:
        """Number of slices that the mask on screen followed, even if undone."""
        story = self._story()
        return 0 if story is None else max(len(known.slices) for known in story.known)

    def reader(self) -> Callable[[Mask], Corrected] | None:
        """Return a function that finds the corrected slices of a mask (I, P, L), in a thread."""
        story = self._story()
        if story is None:
            return None
        return replace(story, seen=[*story.seen], noted={**story.noted}).corrected

    def is_original(self, folder: Path, name: str, mask: Mask) -> bool:
        """Whether the mask of a scan, on its grid, is what it was before unsaved changes.

        May be called in a thread. False for a scan that was not shown.
        """
        story = self._stories.get((folder, name))
        return story is not None and story.is_original(mask)

    def source(self) -> str:
        """How the mask on screen began, as the study records it; empty where a person began it."""
        now, story = self._layers.showing.now, self._story()
        if now is None or story is None:
            return ""
        by = suggested_by(now.study.folder, now.name)
        if by:
            own = story.corrected(now.upright.to_display(now.mask) != 0).own
            return "" if own else SUGGESTED + by
        record = now.study.masks.records().get(now.name, MaskRecord())
        return record.source if record.is_suggested else ""

    def declared(self, start: Corrected) -> None:
        """Add slices that were marked as correct without a change."""
        story = self._story()
        if story is not None:
            story.add(story.note(_known(start, start.now, start.slices)))

    def followed(self, start: Corrected, made: PackedMask, slices: tuple[SetSlice, ...]) -> None:
        """Register a propagated mask, to which later corrections add."""
        story = self._story()
        if story is not None:
            story.note(_known(start, start.now, start.slices))
            story.add(story.note(_known(start, made, slices, followed=True)))

    def took(self, mask: Mask, by_program: bool = False) -> None:
        """Register a mask made by a tool: a new original, unless only a few slices changed.

        Parameters
        ----------
        mask : ndarray of bool, shape (I, P, L)
        by_program : bool
            Whether it contains nothing painted by hand; otherwise it is inherited.
        """
        story = self._story()
        if story is not None:
            _take(story, mask, by_program)

    def _story(self) -> _Story | None:
        now = self._layers.showing.now
        return None if now is None else self._stories.get((now.study.folder, now.name))

    def _on_shown(self, _name: str) -> None:
        now = self._layers.showing.now
        if now is None or now is self._now:  # the same scan, with new layers
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
            here = SetSlice(axes[0], self._layers.viewpoint.point[axes[0]])
            story.seen = [*(s for s in story.seen if s != here), here]


def _known(
    start: Corrected, mask: PackedMask, slices: Sequence[SetSlice], followed: bool = False
) -> Known:
    predicted = {s: start.predicted[s] for s in slices if s in start.predicted}
    return Known(mask, start.before, tuple(slices), start.own, predicted, followed)


def _checks(mask: Mask, predicted: Predicted) -> dict[SetSlice, SliceCheck]:
    return {
        s: SliceCheck.of(seen.unpacked(), np.moveaxis(mask, s.axis, 0)[s.index])
        for s, seen in predicted.items()
    }


def _plane(mask: Mask, one: SetSlice) -> PackedMask:
    return PackedMask.of(np.moveaxis(mask, one.axis, 0)[one.index])


def _begun(now: Shown) -> _Story:
    shown = now.upright.to_display(now.mask)
    if now.source != "draft":
        packed = PackedMask.of(shown)
        return _Story([Known(packed, packed, own=now.source != "pseudo_label")], _Home.of(now))
    try:
        kept, source = kept_mask(now.study, now.name, now.scan)
        original, own = now.upright.to_display(kept), source != "pseudo_label"
    except UserError:  # reported when it is shown without the draft
        original, own = shown, True
    packed = PackedMask.of(original)
    story = _Story([Known(packed, packed, own=own)], _Home.of(now))
    _take(story, shown != 0, by_program=bool(suggested_by(now.study.folder, now.name)))
    return story


def _take(story: _Story, mask: Mask, by_program: bool = False) -> None:
    nearest = story.nearest(PackedMask.of(mask))
    before = nearest.mask.unpacked()
    # Starting from an empty mask, slices are painted and then interpolated.
    another = (
        is_another_mask(before, mask) if before.any()
        else axis_with_gaps(mask, 0) is None and bool(mask.any())
    )
    if another:
        packed = PackedMask.of(mask)
        story.add(Known(packed, packed, own=nearest.own and not by_program))
