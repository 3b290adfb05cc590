"""Display-only overlays of the scan on screen. Part of `study_layers`."""

from __future__ import annotations

import numpy as np

from napari_singlestrip.engine.arrays import AnyArray
from napari_singlestrip.widgets.viewer.editing import MaskEditing
from napari_singlestrip.widgets.viewer.own_layers import (
    ANSWER,
    BEFORE,
    DOUBT_COLOURS,
    DOUBTS,
    OTHERS,
    PREVIEW,
    PSEUDO_LABEL,
    OwnLayers,
)
from napari_singlestrip.widgets.viewer.showing import Showing

NOWHERE = (0, 0, 0)  # strides of an empty array of marks


class Overlays:
    """Other masks and marks, created on demand; strokes still go to the mask.

    Parameters
    ----------
    own : OwnLayers
    showing : Showing
    editing : MaskEditing
    """

    def __init__(self, own: OwnLayers, showing: Showing, editing: MaskEditing) -> None:
        self._own, self._showing, self._editing = own, showing, editing
        self._marks: AnyArray | None = None  # the displayed marks

    def show(self, name: str, mask: AnyArray | None, contour: int = 1) -> None:
        """Show another mask (i, j, k, the scan's grid) beside the painted one; None hides it."""
        now = self._showing.now
        if mask is None or now is None:
            self._own.remove(name)
            return
        data, scale = now.upright.to_display(np.asarray(mask, dtype=np.uint8)), now.upright.scale
        layer = self._own.get(name)
        if layer is None:
            layer = self._own.add_labels(name, data, scale)
            layer.editable = False
        self._own.swap(layer, data, scale)
        layer.contour = contour
        layer.visible = True
        self._editing.select()

    def fade(self, name: str, strength: float) -> None:
        """Set the opacity of a displayed overlay, 0 to 1."""
        layer = self._own.get(name)
        if layer is not None:
            layer.opacity = strength

    def show_doubts(self, marks: AnyArray | None, seen: bool) -> None:
        """Show the doubts (i, j, k; 1 too much, 2 too little); None if unknown.

        The hidden layer is kept ready, so that its key responds immediately, and is reused for
        other scans, as a new layer takes four times as long as new data.
        """
        now, layer = self._showing.now, self._own.get(DOUBTS)
        if marks is None or now is None:
            self._rest_doubts()
            return
        if layer is None:
            layer = self._own.add_labels(
                DOUBTS, now.upright.to_display(marks), now.upright.scale, DOUBT_COLOURS,
                opacity=0.75, visible=seen,
            )
            layer.editable = False
            self._editing.select()
        elif marks is not self._marks:
            self._own.swap(layer, now.upright.to_display(marks), now.upright.scale)
        self._marks = marks
        if layer.visible != seen:
            layer.visible = seen
            self._editing.select()

    def has(self, name: str) -> bool:
        """Whether an overlay is visible."""
        layer = self._own.get(name)
        return layer is not None and bool(layer.visible)

    def leave_scan(self) -> None:
        """Show nothing of the scan before: another one is on screen."""
        self._own.remove(PSEUDO_LABEL, ANSWER, BEFORE, OTHERS, PREVIEW)
        self._rest_doubts()

    def clear(self) -> None:
        """Take all of them off the screen."""
        self._own.remove(PSEUDO_LABEL, DOUBTS, ANSWER, BEFORE, OTHERS, PREVIEW)
        self._marks = None

    # --- inside

    def _rest_doubts(self) -> None:
        """Hide and clear the layer of the marks, on the grid of the scan on screen."""
        now, layer = self._showing.now, self._own.get(DOUBTS)
        self._marks = None
        if layer is None or now is None:
            self._own.remove(DOUBTS)
            return
        shape = now.upright.to_display(now.mask).shape
        if layer.visible:
            layer.visible = False
            self._editing.select()
        if layer.data.shape != shape or layer.data.strides != NOWHERE:
            nothing = np.broadcast_to(np.zeros((), np.uint8), shape)  # uses one byte
            self._own.swap(layer, nothing, now.upright.scale)
