"""Monitors changes of scan and mask by napari's own controls: part of `study_layers`.

Changes that would make the saved mask differ from the visible one are reverted with a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal

from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.viewer.napari_private import canvas_of

if TYPE_CHECKING:
    from napari_singlestrip.widgets.viewer.study_layers import StudyLayers


class LayerWatch(QObject):
    """Restores removed layers, and reports where strokes go.

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
        self._lost = single_shot(self, 0, self._bring_back)  # after napari has removed the layer
        self._events = layers.viewer.layers.events, layers.viewer.layers.selection.events
        self._events[0].removed.connect(self._on_removed)
        self._events[1].active.connect(self._on_active)

    def add(self, layer: Image | Labels | None) -> None:
        """Monitor a new layer of the scan or its mask, or None."""
        if layer is None:
            return
        if hasattr(layer, "locked"):  # napari 0.9: protects it against removal by buttons and keys
            layer.locked = True
        if isinstance(layer, Labels):
            layer.events.show_selected_label.connect(self._on_only_selected, position="last")
        else:
            layer.events.data.connect(self._on_scan_replaced)

    def close(self) -> None:
        """Disconnect from the viewer."""
        self._lost.stop()
        self._events[0].removed.disconnect(self._on_removed)
        self._events[1].active.disconnect(self._on_active)

    # --- inside

    def _on_only_selected(self, event: Any) -> None:
        """Show the whole mask: with the label 0 selected, napari would hide it."""
        if event.source.show_selected_label:
            event.source.show_selected_label = False
            self.told.emit("The whole mask is shown, since hidden parts would be saved unseen.")

    def _on_scan_replaced(self, event: Any) -> None:
        """Restore the scan under its mask."""
        showing = self._layers.showing
        if not self._layers.own.quiet and showing.now is not None:
            showing.restore_image()
            self.told.emit(f"{event.source.name} shows {showing.name}: it was put back. Use "
                           "a separate layer for another image.")

    def _on_removed(self, event: Any) -> None:
        if self._layers.own.missing():
            self._draw_nothing(True)
            self._lost.start()

    def _bring_back(self) -> None:
        """Restore scan and mask after one of them was removed or converted."""
        missing = self._layers.own.missing()
        try:
            if missing:
                self._layers.make_again()
                self.told.emit(f"{missing[0]} was restored, as it is what is saved. The eye beside "
                               "its name hides it.")
        finally:
            self._draw_nothing(False)

    def _draw_nothing(self, on: bool) -> None:
        # napari 0.9 may crash when a layer is added after it drew without one that had a brush.
        canvas = canvas_of(self._layers.viewer)
        if canvas is not None:
            canvas.setUpdatesEnabled(not on)

    def _on_active(self, event: Any = None) -> None:
        """Warn that another layer receives the strokes."""
        layer, own = self._layers.viewer.layers.selection.active, self._layers.own
        if self._layers.showing.now is None or own.quiet or not isinstance(layer, Labels):
            return
        if layer.editable and not own.has(layer):
            self.told.emit(f"{layer.name} is a layer of your own: what is painted there is not "
                           "part of the mask. Select Brain mask in the layer list to continue.")
