"""Gestures of the mouse that span many moves: they stay on the slice on which they began.

Part of `layers`. napari keeps an outline that is being gone round, or the corners of a polygon,
when another slice is shown meanwhile. It then draws a line through all slices between, or fills
the slice that is no longer seen. What is private in napari is guarded: without it, nothing is
cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

DRAW = "_draw"  # called by napari for each part of a stroke


def cancel_gesture(layer: Any) -> bool:
    """Take back an outline that is not closed yet, and the corners of a polygon.

    Returns
    -------
    bool
        Whether there was one.
    """
    overlays = getattr(layer, "_overlays", {})
    found = False
    going_round, polygon = overlays.get("brush_stroke"), overlays.get("polygon")
    if going_round is not None and getattr(going_round, "active", False):
        going_round.abort(layer)
        found = True
    if polygon is not None and getattr(polygon, "points", None):
        polygon.points = []
        found = True
    return found


def keep_strokes_flat(layer: Any, across: Callable[[], Sequence[int]]) -> None:
    """Let a stroke begin anew when another slice is shown while the button is down.

    Beside the scan, where a larger layer of a person's own may lead, nothing is painted: napari
    raises an error there.

    Parameters
    ----------
    layer : napari.layers.Labels
    across : callable
        Axes that are not displayed.
    """
    draw: Callable[..., Any] | None = getattr(layer, DRAW, None)
    fill = layer.paint_polygon

    def is_outside(point: Any) -> bool:
        shape = layer.data.shape
        return any(not 0 <= round(float(point[axis])) < shape[axis] for axis in across())

    def draw_on_one_slice(new_label: int, last: Any, now: Any) -> Any:
        assert draw is not None
        if now is not None and is_outside(now):
            return None
        if last is not None and now is not None and _differ(last, now, across()):
            last = now
        return draw(new_label, last, now)

    def fill_inside(points: Any, new_label: int) -> None:
        if len(points) and not is_outside(points[0]):
            fill(points, new_label)

    layer.paint_polygon = fill_inside
    if draw is not None:
        setattr(layer, DRAW, draw_on_one_slice)


def _differ(one: Sequence[float], other: Sequence[float], axes: Sequence[int]) -> bool:
    return any(round(float(one[axis])) != round(float(other[axis])) for axis in axes)
