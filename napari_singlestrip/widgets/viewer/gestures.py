"""napari's own tools on the mask, kept to the slice on screen: part of `study_layers`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from napari_singlestrip.widgets.viewer.napari_private import (
    Function,
    switch_off_going_round,
    wrap_drawing,
)


def use_only_ours(layer: Any) -> None:
    """Disable napari gestures that our tools replace, whenever napari installs them.

    Drawing an outline with the right button uses the thickness of the brush and closes too early;
    picking a label would erase instead of paint, since there is only one.
    """
    switch_off_going_round(layer)
    for callback in list(layer.mouse_drag_callbacks):
        if getattr(callback, "__name__", "") == "pick":
            layer.mouse_drag_callbacks.remove(callback)


def keep_strokes_flat(
    layer: Any, across: Callable[[], Sequence[int]], subtracts: Callable[[], bool]
) -> None:
    """Start a new stroke if another slice is shown while the button is down.

    Outside the scan, which is possible with a larger layer, nothing is painted, as napari raises an
    error there.

    Parameters
    ----------
    layer : napari.layers.Labels
    across : callable
        Axes that are not displayed.
    subtracts : callable
        Whether the stroke takes away: it was begun with the right button, or with Shift.
    """
    fill = layer.paint_polygon

    def is_outside(point: Any) -> bool:
        shape = layer.data.shape
        return any(not 0 <= round(float(point[axis])) < shape[axis] for axis in across())

    def on_one_slice(draw: Function) -> Function:
        def call(new_label: int, last: Any, now: Any) -> Any:
            if now is not None and is_outside(now):
                return None
            if last is not None and now is not None and _differ(last, now, across()):
                last = now
            return draw(0 if subtracts() else new_label, last, now)

        return call

    def fill_inside(points: Any, new_label: int) -> None:
        if len(points) and not is_outside(points[0]):
            fill(points, new_label)

    layer.paint_polygon = fill_inside
    wrap_drawing(layer, on_one_slice)


def _differ(one: Sequence[float], other: Sequence[float], axes: Sequence[int]) -> bool:
    return any(round(float(one[axis])) != round(float(other[axis])) for axis in axes)
