"""Corrected slices of the mask on screen, propagated to the rest after each stroke.

After a stroke and a short pause, a thread finds which slices are corrected and propagates them. The
result is one step of undo after the stroke. It is dropped if anything changed meanwhile, and undo
and redo trigger no update, which would clear the redo history. A mask painted by hand only follows
on request, as the user may want to keep it unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QApplication

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.judging.dice_so_far import DiceSoFar, dice_so_far
from napari_singlestrip.engine.masks.cleanup import bounding_box
from napari_singlestrip.engine.masks.spreading import SetSlice
from napari_singlestrip.widgets.common.background_thread import Background
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.session.kept_follower import KeptFollower, Scene
from napari_singlestrip.widgets.session.originals import Corrected, Originals, PackedMask
from napari_singlestrip.widgets.session.user_settings import follow_live_wanted, want_follow_live
from napari_singlestrip.widgets.viewer.napari_private import is_stroke_open
from napari_singlestrip.widgets.viewer.study_layers import StudyLayers

Slices = tuple[SetSlice, ...]

REST_MS = 80  # pause after which a stroke counts as finished
AHEAD_MS = 1200  # time on screen after which the first update is prepared
ACROSS = ("axial", "coronal", "sagittal")
NO_MASK = "There is no mask yet to follow: start from a first suggestion, or paint one."


@dataclass(frozen=True, eq=False)
class Answer:
    """The change of a mask: its bounding box, or None if it did not change."""

    made: PackedMask
    box: tuple[slice, slice, slice] | None
    part: Mask
    came: int
    went: int


class Correcting(QObject):
    """The corrected slices, and the propagation to the rest of the mask.

    Parameters
    ----------
    layers : StudyLayers
    tell : callable
        Shows a message: (text, "info" or "warning").
    parent : QObject, optional

    Attributes
    ----------
    originals : Originals
        The masks before corrections.
    follower : KeptFollower
    slices : tuple of SetSlice
        Corrected slices of the mask on screen, in temporal order.
    has_original : bool
        Whether there was a mask to correct.
    own : bool
        Whether that mask was painted by hand.
    so_far : DiceSoFar or None
        How good the mask probably is by now; None where that is not known.
    last : str
        Description of the last update; empty before the first on this mask.

    Signals
    -------
    changed()
        One of these changed, or the automatic following.
    """

    changed = Signal()

    def __init__(
        self, layers: StudyLayers, tell: Callable[[str, str], None], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._layers, self._tell = layers, tell
        self.originals = Originals(layers, self)
        self.follower = KeptFollower()
        self.slices: Slices = ()
        self.has_original = self.own = False
        self.so_far: DiceSoFar | None = None
        self.last = ""
        self.live = follow_live_wanted()
        self._edits = 0
        self._due = False  # an update after a stroke
        self._writing = self._held = False
        self._background = Background("following", self)
        self._ahead = Background("following-ahead", self)
        self._rests = single_shot(self, REST_MS, self._look)
        self._stays = single_shot(self, AHEAD_MS, self._prepare)
        layers.editing.edited.connect(self._on_edited)
        layers.showing.changed.connect(self._on_shown)

    # --- actions

    def set_live(self, on: bool) -> None:
        """Let the mask follow each stroke, or only on request."""
        if on != self.live:
            self.live = on
            want_follow_live(on)
            self._stays.start()
            self.changed.emit()

    def declare(self) -> None:
        """Mark the slice on screen as correct."""
        axes = self._layers.viewpoint.across
        if len(axes) != 1:
            self._tell("Show a slice first: this is not possible in 3D.", "warning")
            return
        here = SetSlice(axes[0], self._layers.viewpoint.point[axes[0]])
        self._read(lambda found: self._declare(found, here))

    def remove(self, one: SetSlice) -> None:
        """Unset a slice, so that it follows the others."""
        self._read(lambda found: self._remove(found, one))

    def hold(self, held: bool) -> None:
        """Suspend updates while a tool is running."""
        self._held = held
        self._background.forget()
        self._rests.start()

    def scene(self) -> Scene | None:
        """The scan on screen, or None."""
        image, now = self._layers.showing.image_on_display(), self._layers.showing.now
        return None if image is None or now is None else Scene(image, now.upright.scale)

    def close_all(self) -> None:
        """End threads and timers."""
        self._rests.stop()
        self._stays.stop()
        self._background.close_all()
        self._ahead.close_all()

    # --- inside: scheduling

    def _on_edited(self) -> None:
        self._edits += 1
        if not self._writing:
            self._due = not self._layers.editing.is_undoing
            self.last = ""
            self._rests.start()

    def _on_shown(self, _name: str) -> None:
        self._edits += 1
        self._due = False
        self.last = ""
        self._background.forget()
        self._rests.start()
        self._stays.start()
        if self._layers.showing.now is None:  # scans are large
            self._ahead.run(self.follower.forget, lambda _: None)

    @property
    def _hand_works(self) -> bool:
        layers = self._layers
        return (
            self._held or QApplication.mouseButtons() != Qt.MouseButton.NoButton
            or layers.canvas_tools.is_open or is_stroke_open(layers.editing.layer)
        )

    def _look(self) -> None:
        if self._layers.showing.now is None:
            self.slices, self.has_original, self.own = (), False, False
            self.so_far = None
            self.changed.emit()
        elif self._hand_works:
            self._rests.start()
        else:
            self._read(self._found)

    def _read(self, then: Callable[[Corrected], None]) -> None:
        """Find the corrected slices of the current mask; dropped if it changes meanwhile."""
        reader, mask = self.originals.reader(), self._layers.editing.mask_for_thread()
        edits = self._edits
        if reader is not None and mask is not None:
            self._background.run(
                lambda: reader(np.ascontiguousarray(mask)),
                lambda found: then(found) if edits == self._edits else None,
            )

    def _found(self, found: Corrected) -> None:
        self._show(found, found.slices)
        if self._due and self._may_follow(found) and not found.known and found.slices:
            self._follow(found, found.slices)
        else:
            self._due = False

    def _prepare(self) -> None:
        """Prepare for the first stroke."""
        reader, mask = self.originals.reader(), self._layers.editing.mask_for_thread()
        scene = self.scene()
        if not self.live or reader is None or mask is None or scene is None:
            return

        def prepare() -> None:
            found = reader(np.ascontiguousarray(mask))
            if found.has_original:
                self.follower.prepare(found.before, scene)

        self._ahead.forget()
        self._ahead.run(prepare, lambda _: None, lambda _: None)  # errors come up later

    # --- inside: updates

    def _declare(self, found: Corrected, here: SetSlice) -> None:
        name = slice_name(here)
        if not found.has_original:
            self._tell(NO_MASK, "warning")
            return
        if here in found.slices:
            self._tell(f"{name.capitalize()} is already set.", "info")
            return
        found = found.with_right(here)
        self.originals.declared(found)
        self._show(found, found.slices)
        self._tell(f"{name.capitalize()} is correct: it counts as set.", "info")
        if self._may_follow(found):
            self._due = True
            self._follow(found, found.slices)

    def _remove(self, found: Corrected, one: SetSlice) -> None:
        if one not in found.slices:
            return
        self._due = False
        left = tuple(s for s in found.slices if s != one)
        said = f"{slice_name(one).capitalize()} no longer counts as set."
        self._follow(found, left, said)

    def _follow(self, start: Corrected, slices: Slices, said: str = "") -> None:
        scene, edits, follower = self.scene(), self._edits, self.follower
        if scene is None:
            return

        def work() -> Answer:
            edited = start.now.unpacked()
            return answer(edited, follower.follow(start.before, scene, edited, slices))

        def take(made: Answer) -> None:
            if edits != self._edits:
                return
            if self._hand_works and not said:
                self._rests.start()
                return
            self._take(start, slices, made, said)

        self._background.run(work, take, self._fail)

    def _take(self, start: Corrected, slices: Slices, made: Answer, said: str) -> None:
        self._due = False
        self.originals.followed(start, made.made, slices)
        if made.box is None:
            if said:
                self._tell(said, "info")
        else:
            self._writing = True
            try:
                self._layers.editing.change_part(made.box, made.part)
            finally:
                self._writing = False
            self.last = self._in_words(made)
            if said:
                self._tell(f"{said} It follows the others. Ctrl+Z undoes this.", "info")
        self._show(start, slices)

    def _fail(self, error: Exception) -> None:
        self._due = False
        if not isinstance(error, MemoryError):
            raise error
        self._tell("There was not enough memory to let the mask follow. Close other programs "
                       "and press W.", "warning")

    def _in_words(self, made: Answer) -> str:
        now = self._layers.showing.now
        assert now is not None
        ml = now.scan.grid.voxel_ml
        return f"+{made.came * ml:.1f} / \u2212{made.went * ml:.1f} mL elsewhere"

    def _may_follow(self, found: Corrected) -> bool:
        return self.live and found.has_original and not found.own

    def _show(self, found: Corrected, slices: Slices) -> None:
        self.slices, self.has_original, self.own = slices, found.has_original, found.own
        self.so_far = self._so_far(found, slices)
        self.changed.emit()

    def _so_far(self, found: Corrected, slices: Slices) -> DiceSoFar | None:
        """What is known where a program's mask follows, as in the fit."""
        follows = (found.followed or self.live) and not found.own
        if not follows or any(s not in found.checks for s in slices):
            return None
        return dice_so_far([found.checks[s] for s in slices])


def answer(edited: Mask, made: Mask) -> Answer:
    """Compute the change from one mask to another."""
    changed = made != edited
    box = bounding_box(changed)
    part = made[box].copy() if box is not None else made[:0, :0, :0]
    came = int(np.count_nonzero(changed & made))
    return Answer(PackedMask.of(made), box, part, came, int(np.count_nonzero(changed)) - came)


def slice_name(one: SetSlice) -> str:
    """Name a slice by its plane and index, as in the window."""
    return f"{ACROSS[one.axis]} {one.index}"
