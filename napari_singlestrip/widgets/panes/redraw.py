"""Redrawing the panes after any change of a layer: at once, then at most 30 times a second."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt, Signal

from napari_singlestrip.widgets.common.single_shot import single_shot

if TYPE_CHECKING:
    from napari_singlestrip.widgets.panes.four_panes import FourPanes

# A first change is seen in one frame with napari's canvas; in a stroke the canvas has priority.
WAIT_MS = 33
EVENTS = (
    "set_data", "labels_update", "visible", "opacity", "blending", "contrast_limits", "colormap",
    "gamma", "contour", "scale", "translate",
)


class Redraw(QObject):
    """Follows all layers of a viewer.

    Parameters
    ----------
    viewer : napari.Viewer
    panes : FourPanes
    """

    # Queued, it comes after what is going on and before Qt paints, which has a lower priority: a
    # timer of 0 ms comes after that, and the panes would take a second frame.
    _asked = Signal()

    def __init__(self, viewer: Any, panes: FourPanes) -> None:
        super().__init__(panes)
        self._viewer = viewer
        self._panes = panes
        self._last = 0.0  # s
        self._is_asked = False
        self._asked.connect(self._on_asked, Qt.ConnectionType.QueuedConnection)
        self._due = single_shot(self, WAIT_MS, self._redraw)
        self._list = viewer.layers.events
        self._list.inserted.connect(self._on_inserted)
        self._list.removed.connect(self._on_removed)
        self._list.reordered.connect(self.soon)
        for layer in viewer.layers:
            self._follow(layer)

    def soon(self, event: Any = None) -> None:
        """Schedule a redraw; further requests are merged."""
        if self.is_due or not self._panes.is_four:
            return
        left = WAIT_MS - round(1e3 * (time.monotonic() - self._last))
        if left > 0:
            self._due.start(left)
        else:
            self._is_asked = True
            self._asked.emit()

    @property
    def is_due(self) -> bool:
        """Whether a redraw is scheduled."""
        return self._is_asked or self._due.isActive()

    def close(self) -> None:
        """Disconnect from the viewer."""
        self._due.stop()
        self._is_asked = False
        self._list.inserted.disconnect(self._on_inserted)
        self._list.removed.disconnect(self._on_removed)
        self._list.reordered.disconnect(self.soon)
        for layer in self._viewer.layers:
            self._let_go(layer)

    # --- inside

    def _on_asked(self) -> None:
        if self._is_asked:  # not after the end
            self._is_asked = False
            self._redraw()

    def _redraw(self) -> None:
        self._panes.refresh()
        self._last = time.monotonic()

    def _follow(self, layer: Any) -> None:
        for emitter in self._emitters(layer):
            emitter.connect(self.soon)
        layer.events.data.connect(self._on_data)
        if hasattr(layer.events, "labels_update"):  # a part of a stroke, while it is drawn
            layer.events.labels_update.connect(self._on_painted)

    def _let_go(self, layer: Any) -> None:
        for emitter in self._emitters(layer):
            emitter.disconnect(self.soon)
        layer.events.data.disconnect(self._on_data)
        if hasattr(layer.events, "labels_update"):
            layer.events.labels_update.disconnect(self._on_painted)

    def _emitters(self, layer: Any) -> list[Any]:
        return [getattr(layer.events, name) for name in EVENTS if hasattr(layer.events, name)]

    def _on_inserted(self, event: Any) -> None:
        self._follow(event.value)
        self.soon()

    def _on_removed(self, event: Any) -> None:
        self._let_go(event.value)
        self.soon()

    def _on_painted(self, event: Any) -> None:
        self._panes.surface.follow()

    def _on_data(self, event: Any) -> None:
        for pane in self._panes.panes.values():
            pane.forget(event.source)
        self.soon()
