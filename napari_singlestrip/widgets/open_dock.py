"""The dock of the viewer that a person looks at: readers and menus are given none by napari."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_singlestrip.widgets.main_widget import StripWidget

PLUGIN, WIDGET = "napari-singlestrip", "SingleStrip"


def open_dock() -> StripWidget | None:
    """Return the dock of the present viewer, opened if need be; None without a viewer."""
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
    """Layers > Segment: offer to strip the image layer that is chosen, in step 5."""
    dock = open_dock()
    if dock is None:
        return
    images = [layer for layer in dock.viewer.layers if _is_image(layer)]
    chosen = [layer for layer in images if layer in dock.viewer.layers.selection]
    if len(chosen or images) != 1:
        said = "No image layer is chosen" if not chosen else "Several image layers are chosen"
        dock.session.tell(f"{said}: click on one in the list of layers, and try again.", "warning")
        return
    dock.strip_layer((chosen or images)[0])


def find_dock(viewer: Any) -> StripWidget | None:
    """Return the dock of a viewer, if it is open."""
    from napari_singlestrip.widgets.main_widget import StripWidget

    docks: list[StripWidget] = viewer.window._qt_window.findChildren(StripWidget)
    return docks[0] if docks else None


def scans_on_screen() -> list[Path]:
    """Files of the scans that are layers of the present viewer; the one of the study first."""
    viewer = _viewer()
    if viewer is None:
        return []
    dock = find_dock(viewer)
    shown = dock.session.layers.now if dock is not None else None
    paths = [] if shown is None else [shown.scan.path]
    named = (layer.metadata.get("path") for layer in viewer.layers if _is_image(layer))
    return paths + [Path(path) for path in named if path]


def _is_image(layer: Any) -> bool:
    return bool(layer._type_string == "image")


def _viewer() -> Any:
    import napari

    viewer = napari.current_viewer()
    return getattr(viewer, "__wrapped__", viewer)
