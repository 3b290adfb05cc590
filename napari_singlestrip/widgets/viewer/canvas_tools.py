"""Dispatch of mouse events on the slice to our own tools.

Part of `study_layers`. While one of our tools is selected, the mask layer is in napari's mode
"pick": the mouse then does not pan the view (except with Space), and hiding the mask deselects the
tool. napari's own picking, which is useless with one label, is disabled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from napari_singlestrip.widgets.viewer.line_overlay import LineOverlay, overlay_on

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_singlestrip.widgets.viewer.viewpoint import Viewpoint

CARRIER = "pick"  # napari's mode while one of our tools is selected
RIGHT = 2


@dataclass(frozen=True)
class Pointer:
    """Position of the mouse.

    Attributes
    ----------
    voxel : ndarray of float, shape (3,)
        Position in the scan (I, P, L); voxel centres are at integers.
    pixel : tuple of float
        Position on the canvas: across, down.
    subtracts : bool
        Whether the tool removes (right button or Shift).
    """

    voxel: NDArray[np.float64]
    pixel: tuple[float, float]
    subtracts: bool


class CanvasTool(Protocol):
    """A tool for the slice on screen.

    Attributes
    ----------
    is_round : bool
        Whether it has the brush size, shown by a circle.
    """

    is_round: bool

    def press(self, at: Pointer) -> None:
        """A button went down."""

    def move(self, at: Pointer) -> None:
        """The mouse moved, with the button down."""

    def release(self, at: Pointer) -> None:
        """The button came up."""

    def hover(self, at: Pointer) -> None:
        """The mouse moved, no button down."""

    def finish(self) -> None:
        """Enter or a double click: close what is open."""

    def cancel(self) -> bool:
        """Cancel an unfinished action; return whether there was one."""


class CanvasTools(QObject):
    """Passes mouse and keys on the mask layer to the selected tool.

    Parameters
    ----------
    viewer : napari.Viewer
    viewpoint : Viewpoint
    parent : QObject

    Attributes
    ----------
    in_hand : str
        The last selected tool of ours.
    subtracts : bool
        Whether the stroke removes (started with the right button or Shift).
    """

    def __init__(self, viewer: Any, viewpoint: Viewpoint, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self._viewpoint = viewer, viewpoint
        self._overlay: LineOverlay | None = None
        self._tools: dict[str, CanvasTool] = {}
        self._layer: Labels | None = None
        self._at: Pointer | None = None
        self._stroke = 0  # id of the last stroke, so that a cancelled one is not continued
        self.in_hand = ""
        self.subtracts = False
        viewer.dims.events.ndisplay.connect(self.let_turn)

    def close(self) -> None:
        """Disconnect from the viewer."""
        self.cancel()
        self._viewer.dims.events.ndisplay.disconnect(self.let_turn)

    def add(self, name: str, tool: CanvasTool) -> None:
        """Add a tool."""
        self._tools[name] = tool

    def get(self, name: str) -> CanvasTool:
        """Return one of our tools."""
        return self._tools[name]

    @property
    def names(self) -> tuple[str, ...]:
        """Our tools."""
        return tuple(self._tools)

    @property
    def is_open(self) -> bool:
        """Whether the selected tool has an open outline."""
        return bool(getattr(self._tools.get(self.in_hand), "is_open", False))

    @property
    def is_round(self) -> bool:
        """Whether the last selected tool has the brush size."""
        return self.in_hand in self._tools and self.get(self.in_hand).is_round

    @property
    def overlay(self) -> LineOverlay | None:
        """The line over the image."""
        if self._overlay is None:
            self._overlay = overlay_on(self._viewer)
        return self._overlay

    def listen(self, layer: Labels) -> None:
        """Handle mouse and keys of a mask layer before napari does."""
        self._layer = layer
        layer.mouse_drag_callbacks.insert(0, self._on_drag)
        layer.mouse_move_callbacks.append(self._on_move)
        layer.mouse_double_click_callbacks.append(self._on_double_click)
        layer.bind_key("Escape", lambda _layer: self.cancel(), overwrite=True)
        layer.bind_key("Enter", lambda _layer: self.finish(), overwrite=True)

    def finish(self) -> None:
        """Close what is open."""
        tool = None if self._layer is None else self._tool(self._layer)
        if tool is not None:
            tool.finish()

    def cancel(self) -> bool:
        """Cancel unfinished actions of all tools; return whether there was one."""
        self._stroke += 1
        dropped = [tool.cancel() for tool in self._tools.values()]
        return any(dropped)

    def draw(self, outline: list[NDArray[np.float64]], subtracts: bool, dashed: bool) -> None:
        """Show a line through voxels of the slice; an empty one hides it."""
        if self.overlay is not None:
            self.overlay.draw([self.pixel(voxel) for voxel in outline], subtracts, dashed)

    def pixel(self, voxel: NDArray[np.float64]) -> tuple[float, float]:
        """Canvas position of a voxel, relative to the last mouse position."""
        at, layer = self._at, self._layer
        if at is None or layer is None:
            return 0.0, 0.0
        rows, columns = self._viewpoint.axes[-2:]
        mm = (voxel - at.voxel) * np.asarray(layer.scale) * self._viewpoint.zoom
        return at.pixel[0] + float(mm[columns]), at.pixel[1] + float(mm[rows])

    # --- called by napari

    def let_turn(self, event: Any = None) -> None:
        """Let the mouse rotate the view in 3D, where our tools do not apply."""
        if self._layer is not None and str(self._layer.mode) == CARRIER:
            self._layer.mouse_pan = self._viewer.dims.ndisplay == 3

    def _tool(self, layer: Any) -> CanvasTool | None:
        return self._tools.get(self.in_hand) if str(layer.mode) == CARRIER else None

    def _on_drag(self, layer: Any, event: Any) -> Iterator[None]:
        self.subtracts = event.button == RIGHT or "Shift" in event.modifiers
        tool = self._tool(layer)
        if tool is None or not self._is_usable(layer, event):
            return
        self._stroke += 1
        stroke = self._stroke
        tool.press(self._pointer(layer, event))
        yield
        while event.type == "mouse_move":
            if stroke == self._stroke:
                tool.move(self._pointer(layer, event))
            yield
        if stroke == self._stroke:
            tool.release(self._pointer(layer, event))

    def _is_usable(self, layer: Any, event: Any) -> bool:
        """Whether the mouse is within the scan; a larger layer may extend beyond it."""
        if self._viewer.dims.ndisplay != 2 or not layer.visible:
            return False
        voxel = layer.world_to_data(event.position)
        axis = self._viewpoint.axes[0]
        return bool(0 <= round(float(voxel[axis])) < layer.data.shape[axis])

    def _on_move(self, layer: Any, event: Any) -> None:
        tool = self._tool(layer)
        if tool is not None and self._viewer.dims.ndisplay == 2:
            tool.hover(self._pointer(layer, event))

    def _on_double_click(self, layer: Any, event: Any) -> None:
        self.finish()

    def _pointer(self, layer: Any, event: Any) -> Pointer:
        voxel = np.asarray(layer.world_to_data(event.position), dtype=np.float64)
        x, y = (float(n) for n in event.pos[:2])
        self._at = Pointer(voxel, (x, y), self.subtracts)
        return self._at
