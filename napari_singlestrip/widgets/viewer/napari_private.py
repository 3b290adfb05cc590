"""All uses of napari's private API, in one place.

napari may rename or drop any of it in any version. So each function documents its purpose, the
versions that have it, and its fallback; a missing attribute is logged once, and never an error.
0.6.0 is the oldest napari that `setup.cfg` allows (`make test-oldest-napari`), 0.9.2 the latest
that was checked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QAbstractSlider, QDockWidget, QMainWindow, QWidget

Function = Callable[..., Any]

_log = logging.getLogger(__name__)
_said: set[str] = set()


# --- the window


def main_window_of(viewer: Any) -> QMainWindow | None:
    """Return napari's main window, for layout and close events.

    Seen in 0.6.0 to 0.9.2. Without it, and for a viewer without a window: None.
    """
    window = getattr(viewer, "window", None)
    found = _private(window, "_qt_window", "its window is left as it is")
    return found if isinstance(found, QMainWindow) else None


def canvas_of(viewer: Any) -> QWidget | None:
    """Return napari's canvas widget, for overlays and keys.

    Seen in 0.6.0 to 0.9.2. Without it, and for a viewer without a window: None.
    """
    lost = "the picture has no letters and messages"
    seen = _private(getattr(viewer, "window", None), "_qt_viewer", lost)
    native = getattr(getattr(seen, "canvas", None), "native", None)
    return native if isinstance(native, QWidget) else None


def slider_of(viewer: Any, axis: int) -> QAbstractSlider | None:
    """Return the slider of an axis of napari's dims, to mark slices on it.

    Seen in 0.6.0 to 0.9.2. Without it, and for a viewer without a window: None.
    """
    lost = "slices are not marked on its sliders"
    dims = getattr(_private(getattr(viewer, "window", None), "_qt_viewer", lost), "dims", None)
    widgets = getattr(dims, "slider_widgets", ())
    found = getattr(widgets[axis], "slider", None) if 0 <= axis < len(widgets) else None
    return found if isinstance(found, QAbstractSlider) else None


def panels_of(viewer: Any) -> list[QDockWidget]:
    """Return napari's layer controls and layer list, to hide them while ours are open.

    Seen in 0.6.0 to 0.9.2. Without them: what is found, and the others stay.
    """
    window = main_window_of(viewer)
    docks = [] if window is None else window.findChildren(QDockWidget)
    found = {dock.objectName(): dock for dock in docks}
    return [found[name] for name in ("layer controls", "layer list") if name in found]


def welcome(viewer: Any, wanted: bool) -> bool:
    """Enable or disable napari's welcome screen; return the previous state.

    Seen in 0.9.2. Without it, nothing changes: True.
    """
    seen = _private(getattr(viewer, "window", None), "_qt_viewer", "its welcome stays")
    before = getattr(seen, "show_welcome_screen", None)
    if before is None:
        return True
    seen.show_welcome_screen = wanted
    return bool(before)


def closing_tasks_of(viewer: Any) -> Any:
    """Return napari's collection of messages for its question on closing.

    Seen in 0.6.6 to 0.9.2. Without it, and for a viewer without a window: None.
    """
    lost = "its question on closing says nothing of jobs and unsaved strokes"
    return _private(getattr(viewer, "window", None), "_task_status_manager", lost)


# --- several layers at once


@contextmanager
def layers_as_they_are(viewer: Any) -> Iterator[None]:
    """Context in which the point moves, and layers are not sliced and drawn anew for that.

    Within the plane on screen they show the same anyway. Seen in 0.6.0 to 0.9.2. Without it, napari
    slices them, which takes longer.
    """
    cut = _private(viewer, "_update_layers", "a crosshair is moved more slowly")
    events = viewer.dims.events
    with ExitStack() as held:
        for event in (events.point, events.current_step) if cut is not None else ():
            held.enter_context(event.blocker(cut))
        yield


@contextmanager
def changed_together(
    viewer: Any, layers: Iterable[Any], look: Callable[[], object]
) -> Iterator[None]:
    """Context in which layers get other voxels of another size, and are drawn once, at its end.

    napari draws a layer after each of these changes, after each change of the range of its sliders,
    which it works out from all layers, and when it goes to another slice: nine times for a scan
    with its mask. Seen in 0.6.0 to 0.9.2. Without it, that takes longer.

    Parameters
    ----------
    viewer : napari.Viewer
    layers : iterable of Layer
        Those that may be changed.
    look : callable
        Goes to another slice, once its range is known.
    """
    lost = "another scan is shown more slowly"
    follow, cut = (_private(viewer, n, lost) for n in ("_on_layers_change", "_update_layers"))
    changed, dims = list(layers), viewer.dims
    before = dims.point, dims.order, dims.ndisplay
    with ExitStack() as held:
        for layer in changed:
            for event in (layer.events.data, layer.events.scale) if follow is not None else ():
                held.enter_context(event.blocker(follow))
            if (block := _private(layer, "_block_refresh", lost)) is not None:
                held.enter_context(block())
        yield
        held.enter_context(layers_as_they_are(viewer))
        for layer in changed:
            if (clear := _private(layer, "_clear_extent", lost)) is not None:
                clear()  # of the shape before
        if follow is not None:
            follow()
        look()
    if cut is not None:
        cut()  # draws what is cut elsewhere now
    if cut is None or before == (dims.point, dims.order, dims.ndisplay):
        for layer in changed:
            layer.refresh()


# --- undo of a labels layer


def reset_history(layer: Any) -> None:
    """Clear the undo history: otherwise Ctrl+Z writes voxels of the previous scan into this one.

    Seen in 0.6.0 to 0.9.2. Without it, nothing on the layer is undone any more.
    """
    reset = _private(layer, "_reset_history", "there is no undo")
    if reset is None:
        layer.undo = layer.redo = _nothing
    else:
        reset()


def can_undo(layer: Any) -> bool:
    """Whether there is something to undo.

    Seen in 0.6.0 to 0.9.2. Without it: True, and an undo of nothing is not reported.
    """
    lost = "an undo of nothing is not reported"
    history = _private(layer, "_undo_history", lost)
    return layer is not None and (history is None or bool(history))


# --- colours of a labels layer


def know_colours(colormap: Any) -> None:
    """Tell a map of direct colours what each of 256 labels becomes.

    Where it is not told, napari finds out when it draws the first mask, with a function that it
    compiles for that: 1.2 s of a processor, in which the window stands still. Seen in 0.9.2.
    Without it, napari finds out.
    """
    known = _private(colormap, "_cache_mapping", "the first mask takes a second longer")
    if isinstance(known, dict):
        kind = np.dtype(np.uint8)
        known[kind, kind] = np.array([colormap.map(n) for n in range(256)], np.float32)


# --- strokes on a labels layer


def commit_stroke(layer: Any) -> None:
    """End a stroke whose button is still down, as one step of undo.

    Seen in 0.8.0 to 0.9.2. Without it, what is painted so far becomes one step by the end of a
    group of edits, and the rest of the stroke, if the button stays down, another one.
    """
    commit = _private(layer, "_commit_stroke", "strokes end with a group of edits")
    if commit is not None:
        commit()
    elif layer is not None:
        with layer.block_history():
            pass


def is_stroke_open(layer: Any) -> bool:
    """Whether parts of a stroke are not yet a step of undo.

    Seen in 0.6.0 to 0.9.2. Without it: False, and strokes are told of a moment later.
    """
    return bool(_private(layer, "_staged_history", "strokes are told of a moment later"))


def switch_off_going_round(layer: Any) -> None:
    """Disable napari's right-button outline, which is as thick as the brush.

    Seen in 0.8.0 to 0.9.2; before, there was no such outline. Without it, nothing is done.
    """
    overlays = _private(layer, "_overlays", "the right button is napari's") or {}
    going_round = overlays.get("brush_stroke")
    if going_round is not None and getattr(going_round, "enabled", False):
        going_round.enabled = False


def wrap_drawing(layer: Any, wrap: Callable[[Function], Function]) -> None:
    """Wrap the function that draws each part of a stroke: (label, last point, this point).

    Seen in 0.6.0 to 0.9.2. Without it, strokes are as napari makes them.
    """
    draw = _private(layer, "_draw", "strokes are not kept to one slice")
    if draw is not None:
        layer._draw = wrap(draw)


def wrap_writing(layer: Any, wrap: Callable[[Function], Function]) -> bool:
    """Wrap the function that writes strokes, polygons and fills into the voxels.

    It passes `data_setitem` by: (data, mask, new label, slices). Seen in 0.8.0 to 0.9.2.

    Returns
    -------
    bool
        Whether that succeeded. Without it, callers must use `events.paint`.
    """
    lost = "painting outside the range is undone after each stroke"
    write = _private(layer, "_apply_mask_to_data", lost)
    if write is not None:
        layer._apply_mask_to_data = wrap(write)
    return write is not None


def write_part(
    layer: Any, box: tuple[slice, ...], changed: NDArray[np.bool_], mask: NDArray[np.bool_]
) -> bool:
    """Write the changed voxels of a part of a mask, as a step of undo, and draw that part only.

    `data_setitem` needs the index of each voxel along each axis, which takes four times as long for
    half a brain; napari's brushes write a box with a mask. Seen in 0.9.0 to 0.9.2.

    Parameters
    ----------
    layer : napari.layers.Labels
        With the labels 0 and 1.
    box : tuple of slice
        The part, with start and stop on each axis.
    changed, mask : ndarray of bool
        In the shape of the box.

    Returns
    -------
    bool
        Whether that succeeded. Without it, and if napari would keep some labels: False, and nothing
        is changed.
    """
    paint = _private(layer, "_paint_region_with_mask", "large changes of a mask take longer")
    if paint is None or getattr(layer, "preserve_labels", False):
        return False
    axes = list(range(layer.ndim))
    for label, where in ((1, changed & mask), (0, changed & ~mask)):
        if where.any():
            paint(box, where, label, axes, refresh=False)
    layer._partial_labels_refresh()
    return True


# --- inside


def _private(owner: Any, name: str, lost: str) -> Any:
    """Return an attribute, or None if it is missing, which is logged once."""
    found = getattr(owner, name, None)
    if found is None and owner is not None and name not in _said:
        _said.add(name)
        _log.info("This napari has no %s.%s: %s.", type(owner).__name__, name, lost)
    return found


def _nothing() -> None:
    pass
