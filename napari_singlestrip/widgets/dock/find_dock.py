"""Finding the dock of the current viewer, since napari passes none to readers and menus."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_singlestrip.widgets.viewer.napari_private import main_window_of

if TYPE_CHECKING:
    from napari_singlestrip.widgets.dock.main_widget import StripWidget

PLUGIN, WIDGET = "napari-singlestrip", "SingleStrip"


@dataclass(frozen=True)
class ScanOnScreen:
    """The file of an image layer, and whether the layer is visible, and selected."""

    path: Path
    is_visible: bool = True
    is_chosen: bool = False


def open_dock() -> StripWidget | None:
    """Return the dock of the current viewer, opened if necessary; None without a viewer."""
    viewer = _viewer()
    if viewer is None:
        return None
    dock = find_dock(viewer)
    if dock is None:
        _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    frame: Any = dock.parentWidget()
    if frame is not None and not dock.isVisible():
        frame.show()
    return dock


def strip_chosen_layer() -> None:
    """Layers > Segment: offer to strip the selected image layer, in step 5."""
    dock = open_dock()
    if dock is None:
        return
    images = [layer for layer in dock.viewer.layers if _is_image(layer)]
    chosen = [layer for layer in images if layer in dock.viewer.layers.selection]
    if len(chosen or images) != 1:
        said = "No image layer is selected" if not chosen else "Several image layers are selected"
        dock.session.tell(f"{said}: click on one in the list of layers, and try again.", "warning")
        return
    dock.strip_layer((chosen or images)[0])


def find_dock(viewer: Any) -> StripWidget | None:
    """Return the dock of a viewer, if it is open."""
    from napari_singlestrip.widgets.dock.main_widget import StripWidget

    window = main_window_of(viewer)
    docks: list[StripWidget] = [] if window is None else window.findChildren(StripWidget)
    return docks[0] if docks else None


def scans_on_screen() -> list[ScanOnScreen]:
    """Scans among the image layers of the current viewer, from the bottom up."""
    viewer = _viewer()
    if viewer is None:
        return []
    dock = find_dock(viewer)
    found = []
    for layer in filter(_is_image, viewer.layers):
        of_dock = dock.session.layers.file_of(layer) if dock is not None else None
        if path := of_dock or layer.metadata.get("path"):
            chosen = layer in viewer.layers.selection
            found.append(ScanOnScreen(Path(path), bool(layer.visible), chosen))
    return found


def _is_image(layer: Any) -> bool:
    from napari.layers import Image

    return isinstance(layer, Image)


def _viewer() -> Any:
    import napari

    viewer = napari.current_viewer()
    return getattr(viewer, "__wrapped__", viewer)
