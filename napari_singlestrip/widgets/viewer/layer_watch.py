"""Watches what a person does to scan and mask with napari's own means: part of `layers`.

What would make the mask that is saved another one than the mask that is seen is undone at once,
with a word about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_singlestrip.widgets.viewer.viewpoint import canvas_of

if TYPE_CHECKING:
    from napari_singlestrip.widgets.viewer.study_layers import StudyLayers


class LayerWatch(QObject):
    """Brings layers back that were removed, and says where strokes go.

    Parameters
    ----------
    layers : StudyLayers

    Signals
    -------
    told(str)
        What was undone, in words.
    """

    told = Signal(str)

    def __init__(self, layers: StudyLayers) -> None:
        super().__init__(layers)
        self._layers = layers
        self._lost = QTimer(self)
        self._lost.setSingleShot(True)
        self._lost.setInterval(0)  # napari is still removing the layer
        self._lost.timeout.connect(self._bring_back)
        self._events = layers.viewer.layers.events, layers.viewer.layers.selection.events
        self._events[0].removed.connect(self._on_removed)
        self._events[1].active.connect(self._on_active)

    def add(self, layer: Image | Labels) -> None:
        """Watch the scan or its mask, which is there already."""
        if hasattr(layer, "locked"):  # napari 0.9: its own buttons and keys do not remove it
            layer.locked = True
        if isinstance(layer, Labels):
            layer.events.show_selected_label.connect(self._on_only_selected, position="last")
        else:
            layer.events.data.connect(self._on_scan_replaced)

    def close(self) -> None:
        """Let go of the viewer."""
        self._lost.stop()
        self._events[0].removed.disconnect(self._on_removed)
        self._events[1].active.disconnect(self._on_active)

    # --- inside

    def _on_only_selected(self, event: Any) -> None:
        """Show all that is brain: with the label 0 chosen, napari would hide the whole mask."""
        if event.source.show_selected_label:
            event.source.show_selected_label = False
            self.told.emit("All of the mask is shown: what is hidden would be saved unseen.")

    def _on_scan_replaced(self, event: Any) -> None:
        """Put the scan back under its mask."""
        if not self._layers.quiet and self._layers.now is not None:
            self._layers.restore_scan()
            self.told.emit(f"{event.source.name} shows {self._layers.shown}: it was put back. Use "
                           "a layer of its own for another picture.")

    def _on_removed(self, event: Any) -> None:
        if self._layers.missing():
            self._draw_nothing(True)
            self._lost.start()

    def _bring_back(self) -> None:
        """Show scan and mask again, when a person removed or converted one of them."""
        missing = self._layers.missing()
        try:
            if missing:
                self._layers.make_again(missing)
                self.told.emit(f"{missing[0]} is put back: it is what is saved. Its eye, left of "
                               "its name, hides it.")
        finally:
            self._draw_nothing(False)

    def _draw_nothing(self, on: bool) -> None:
        # napari 0.9 may crash when a layer is added after it drew without one that had a brush.
        canvas = canvas_of(self._layers.viewer)
        if canvas is not None:
            canvas.setUpdatesEnabled(not on)

    def _on_active(self, event: Any = None) -> None:
        """Say that another layer gets the strokes now."""
        layer = self._layers.viewer.layers.selection.active
        if self._layers.now is None or self._layers.quiet or not isinstance(layer, Labels):
            return
        if layer.editable and not self._layers.is_ours(layer):
            self.told.emit(f"{layer.name} is a layer of your own: what is painted there is not "
                           "part of the mask. Choose Brain mask in the list of layers to go on.")
