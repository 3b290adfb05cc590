"""Editing the mask: strokes, tools, undo and visibility. Part of `study_layers`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_singlestrip.engine.masks.cleanup import bounding_box
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.viewer.canvas_tools import CanvasTools
from napari_singlestrip.widgets.viewer.gestures import keep_strokes_flat
from napari_singlestrip.widgets.viewer.napari_private import (
    can_undo,
    commit_stroke,
    is_stroke_open,
    write_part,
)
from napari_singlestrip.widgets.viewer.own_layers import MASK, OwnLayers
from napari_singlestrip.widgets.viewer.showing import Showing
from napari_singlestrip.widgets.viewer.viewpoint import Viewpoint


class MaskEditing(QObject):
    """The mask layer, whose voxels belong to the scan on screen.

    Parameters
    ----------
    own : OwnLayers
    showing : Showing
    viewpoint : Viewpoint
    tools : CanvasTools
        Tools that edit it.
    parent : QObject

    Signals
    -------
    edited()
        The mask changed: after each stroke, tool, undo and redo.
    nothing_to_undo()
        Undo was requested, but there is nothing to undo on this scan.
    revealed()
        The mask was shown after having been hidden or faded.
    told(str)
        A change made in napari was reverted, because the saved mask must be the visible one.
    """

    edited = Signal()
    nothing_to_undo = Signal()
    revealed = Signal()
    told = Signal(str)

    def __init__(
        self, own: OwnLayers, showing: Showing, viewpoint: Viewpoint, tools: CanvasTools,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._own, self._showing, self._viewpoint = own, showing, viewpoint
        self._tools = tools
        self._hidden_with = ""  # the tool that was selected when we hid the mask
        self._opacity: float | None = None  # before we faded it
        self._slice: object = None
        self._stroke: ExitStack | None = None
        self._has_dabs = False
        self.is_undoing = False  # `edited` is emitted for an undo or redo
        self._written = single_shot(self, 0, self._on_edited)
        showing.moved.connect(self._on_moved)

    # --- the mask

    @property
    def layer(self) -> Labels | None:
        """The labels layer of the mask."""
        return self._own.get(MASK)

    def mask_on_scan(self) -> NDArray[np.bool_] | None:
        """Copy of the mask on the scan's own grid (i, j, k); None if nothing is on screen."""
        now = self._showing.now
        return None if now is None else now.mask != 0

    def mask_on_display(self) -> NDArray[np.bool_] | None:
        """Copy of the mask as it is displayed, axes (I, P, L)."""
        view = self.mask_view()
        return None if view is None else view != 0

    def mask_for_thread(self) -> NDArray[np.bool_] | None:
        """The same, with axes that may run backwards: copied in an eighth of the time."""
        now = self._showing.now
        return None if now is None else now.upright.to_display(now.mask != 0)

    def mask_view(self) -> NDArray[np.uint8] | None:
        """Read-only view of the mask as displayed, axes (I, P, L)."""
        now = self._showing.now
        return None if now is None else now.upright.to_display(now.mask)

    def change(self, mask: NDArray[np.bool_]) -> int:
        """Replace the mask by the result of a tool, as one step of undo.

        Parameters
        ----------
        mask : ndarray of bool, shape (I, P, L)
            As displayed.

        Returns
        -------
        int
            Number of changed voxels; with 0 there is nothing to undo.
        """
        return self.change_part((slice(None),) * 3, mask)

    def change_part(self, box: tuple[slice, ...], mask: NDArray[np.bool_]) -> int:
        """Replace a part of the mask, as one step of undo.

        Parameters
        ----------
        box : tuple of slice
            The part, of the mask as displayed.
        mask : ndarray of bool
            In the shape of the box.

        Returns
        -------
        int
            Number of changed voxels; with 0 there is nothing to undo.
        """
        layer = self.layer
        if layer is None:
            return 0
        changed = (layer.data[box] != 0) != mask
        n_changed = int(np.count_nonzero(changed))
        if n_changed:
            if not layer.visible:  # no invisible changes; and napari fails on a hidden layer
                self.reveal()
            with self._own.silent(), layer.block_history():
                _write(layer, box, changed, mask)
            self.edited.emit()
        return n_changed

    def begin_stroke(self) -> None:
        """Combine all following dabs in one step of undo."""
        self.end_stroke()
        if self.layer is not None:
            if not self.layer.visible:
                self.reveal()
            self._stroke = ExitStack()
            self._stroke.enter_context(self.layer.block_history())

    def dab(self, box: tuple[slice, ...], mask: NDArray[np.bool_]) -> None:
        """Replace a part of the mask within a stroke; `edited` is emitted at its end."""
        layer = self.layer
        if layer is not None and self._stroke is not None:
            changed = (layer.data[box] != 0) != mask
            if changed.any():
                self._has_dabs = True
                with self._own.silent():
                    _write(layer, box, changed, mask)

    def end_stroke(self) -> None:
        """End a stroke started by `begin_stroke`."""
        stroke, self._stroke = self._stroke, None
        changed, self._has_dabs = self._has_dabs, False
        if stroke is not None:
            with self._own.silent():
                stroke.close()
            if changed:
                self._on_edited()

    def mask_in(self, box: tuple[slice, ...]) -> NDArray[np.bool_]:
        """Copy of a part of the mask as displayed."""
        view = self.mask_view()
        assert view is not None
        return np.asarray(view[box] != 0)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the mask as displayed; zeros if nothing is on screen."""
        view = self.mask_view()
        i, p, l = (0, 0, 0) if view is None else view.shape  # noqa: E741
        return i, p, l

    def undo(self) -> None:
        """Undo the last stroke or tool."""
        if self.layer is not None:
            self.layer.undo()

    def redo(self) -> None:
        """Redo."""
        if self.layer is not None:
            self.layer.redo()

    def settle(self) -> None:
        """Finish a stroke whose button is still down; cancel an open outline.

        Called before the mask is stored, so that it is final.
        """
        self._tools.cancel()
        commit_stroke(self.layer)
        if self._written.isActive():
            self._written.stop()
            self._on_edited()

    # --- visibility

    @property
    def is_seen(self) -> bool:
        """Whether the mask is visible: neither removed nor hidden nor faded."""
        layer = self.layer
        return layer is not None and bool(layer.visible) and self._opacity is None

    def hide(self) -> None:
        """Hide the mask to show another one, unless the user already hid it."""
        layer = self.layer
        if layer is not None and layer.visible:
            self.settle()
            self._hidden_with = str(layer.mode)
            layer.visible = False  # this also deselects the tool

    def unhide(self) -> None:
        """Show the mask again if we hid it, not if the user did."""
        tool, self._hidden_with = self._hidden_with, ""
        layer = self.layer
        if layer is not None and tool and not layer.visible:
            layer.visible = True
            layer.mode = tool

    def reveal(self) -> None:
        """Show the mask in any case."""
        self._hidden_with = ""
        if self.layer is not None:
            self.layer.visible = True
            self.fade(1.0)
            self.revealed.emit()

    def fade(self, strength: float) -> None:
        """Fade the mask, to show another one; 1 restores it."""
        layer = self.layer
        if layer is None:
            self._opacity = None
        elif strength < 1:
            self._opacity = float(layer.opacity) if self._opacity is None else self._opacity
            layer.opacity = strength * self._opacity
        elif self._opacity is not None:
            layer.opacity, self._opacity = self._opacity, None

    def select(self) -> None:
        """Make the mask the active layer, which receives strokes and keys."""
        layer = self.layer
        if layer is not None:
            self._own.viewer.layers.selection.active = layer

    # --- its layer

    def draw(self) -> Labels | None:
        """Show the mask of the scan on screen in its layer.

        Returns
        -------
        Labels or None
            The layer, if it is a new one.
        """
        now, view, layer = self._showing.now, self.mask_view(), self.layer
        assert now is not None and view is not None
        if layer is not None:
            self._own.swap(layer, view, now.upright.scale)
            return None
        layer = self._own.add_labels(MASK, view, now.upright.scale)
        self._listen(layer)
        return layer

    def _listen(self, labels: Labels) -> None:
        labels.events.paint.connect(self._on_painted)
        labels.events.data.connect(self._on_replaced)
        keep_strokes_flat(labels, lambda: self._viewpoint.across, lambda: self._tools.subtracts)
        self._tools.listen(labels)
        # napari has no events for undo and redo: its keys call these methods.
        labels.undo = self._followed(labels.undo, lambda: can_undo(self.layer))
        labels.redo = self._followed(labels.redo, lambda: True)

    def _followed(
        self, method: Callable[[], None], can: Callable[[], bool]
    ) -> Callable[[], None]:
        def call() -> None:
            if self._tools.cancel():  # the last action
                return
            if can():
                if not self.is_seen:
                    self.reveal()
                method()
                self.is_undoing = True
                try:
                    self._on_edited()
                finally:
                    self.is_undoing = False
            else:
                self.nothing_to_undo.emit()

        return call

    # --- user actions

    def _on_edited(self, event: Any = None) -> None:
        if not self._own.quiet and self._showing.now is not None:
            self.edited.emit()

    def _on_replaced(self, event: Any = None) -> None:
        """Copy values that napari put into a new array, such as after a change of type."""
        now, layer, view = self._showing.now, self.layer, self.mask_view()
        if self._own.quiet or layer is None or now is None or view is None:
            return
        if layer.data.shape == view.shape:
            view[...] = layer.data != 0
        self._own.swap(layer, view, now.upright.scale)
        self.edited.emit()

    def _on_painted(self, event: Any = None) -> None:
        """Emit `edited` at the end of strokes, and of polygons once napari has written them.

        napari emits events for strokes after writing, for everything else before.
        """
        if self._own.quiet or self._showing.now is None:
            return
        if is_stroke_open(self.layer):
            self._on_edited()
        else:
            self._written.start()

    def _on_moved(self) -> None:
        before, self._slice = self._slice, self._viewpoint.slice
        if before != self._slice and self._tools.cancel():
            self.told.emit("The open outline was cancelled, because another slice is shown. "
                           "Finish an outline on the slice where it began.")


def _write(
    layer: Labels, box: tuple[slice, ...], changed: NDArray[np.bool_], mask: NDArray[np.bool_]
) -> None:
    """Write the changed voxels, of which there are some, of a part of the mask."""
    inner = bounding_box(changed)
    assert inner is not None
    outer = tuple(
        slice((side.start or 0) + part.start, (side.start or 0) + part.stop)
        for side, part in zip(box, inner, strict=True)
    )
    if not write_part(layer, outer, changed[inner], mask[inner]):
        where = _places(changed)
        layer.data_setitem(_shifted(where, box), mask[where].astype(np.uint8))


def _places(changed: NDArray[np.bool_]) -> tuple[NDArray[np.intp], ...]:
    """Indices of the voxels that changed; numpy looks through a flat array thrice as fast."""
    return np.unravel_index(np.flatnonzero(changed), changed.shape)


def _shifted(
    where: tuple[NDArray[np.intp], ...], box: tuple[slice, ...]
) -> tuple[NDArray[np.intp], ...]:
    """Convert indices in a box to indices in the mask."""
    return tuple(n + (side.start or 0) for n, side in zip(where, box, strict=True))
