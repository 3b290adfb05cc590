"""Painting: tool, brush in mm, ball or disc, intensity range, outline.

Part of `study_layers`, which alone accesses the mask layer. napari's brush is sized in voxels and
ignores intensities; here it is sized in mm, on any grid and plane, and can be limited to a range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_singlestrip.engine.masks.local_edits import hanging_together
from napari_singlestrip.widgets.common.napari_preferences import wishes
from napari_singlestrip.widgets.viewer.canvas_tools import CARRIER
from napari_singlestrip.widgets.viewer.cutting import PieceTool, Scissors
from napari_singlestrip.widgets.viewer.gestures import use_only_ours
from napari_singlestrip.widgets.viewer.lasso import Lasso
from napari_singlestrip.widgets.viewer.local_brushes import (
    LocalBrush,
    MarginBrush,
    PushBrush,
    SmartBrush,
    SmoothBrush,
    SnapBrush,
)
from napari_singlestrip.widgets.viewer.napari_private import Function, wrap_writing
from napari_singlestrip.widgets.viewer.own_layers import IMAGE

if TYPE_CHECKING:
    from napari_singlestrip.widgets.viewer.study_layers import StudyLayers

Mode = Literal[
    "lasso", "paint", "smart", "erase", "fill", "pan_zoom",
    "push", "smooth_here", "margin_here", "snap", "scissors", "piece",
]
# napari uses P, E, F and Z; we reuse keys of napari that have no purpose for a mask.
KEYS: dict[Mode, str] = {
    "lasso": "L", "paint": "P", "smart": "B", "erase": "E", "fill": "F", "pan_zoom": "Z",
    "push": "V", "smooth_here": "M", "margin_here": "=", "snap": "X", "scissors": "C",
    "piece": "J",
}
START, LARGEST = 1 / 16, 1 / 4  # of the image's side, as heads of mice are small


class Brush(QObject):
    """The selected tool, the same for all scans of a window.

    Signals
    -------
    changed()
        Tool, size, ball, range or outline changed, by us or napari's own controls.
    """

    changed = Signal()

    def __init__(self, layers: StudyLayers) -> None:
        super().__init__(layers)
        self._layers = layers
        self._layer: Labels | None = None
        self._image: Image | None = None
        self._mm = 0.0  # not chosen yet
        self._ball = False
        self._outline = False
        self._range: tuple[float, float] | None = None
        self._before: NDArray[np.bool_] | None = None
        self._setting = False
        self._chosen = False
        self._tools = layers.canvas_tools
        self._add_tools(layers)
        self._hooked = False
        layers.showing.changed.connect(self._on_shown)
        layers.showing.moved.connect(self._on_moved)
        layers.editing.edited.connect(self._remember_before)
        layers.viewer.dims.events.ndisplay.connect(self._on_ndisplay)

    def close(self) -> None:
        """Disconnect when the window closes."""
        self._layers.viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)

    # --- state

    @property
    def mode(self) -> str:
        """Tool: a `Mode`, or another of napari's."""
        now = "pan_zoom" if self._layer is None else str(self._layer.mode)
        return self._tools.in_hand if now == CARRIER else now

    def set_mode(self, mode: Mode) -> None:
        """Select a tool."""
        if self._layer is not None:
            self._layers.editing.select()  # strokes go to the active layer
            self._tools.cancel()
            own = mode in self._tools.names
            if own:
                self._tools.in_hand = mode
            self._layer.mode = CARRIER if own else mode
            self._layer.cursor = "cross" if own else self._layer.cursor
            self._put()

    def offer(self, mode: Mode) -> None:
        """Select a default tool, if none was selected."""
        if not self._chosen and self._layer is not None:
            self.set_mode(mode)

    @property
    def diameter_mm(self) -> float:
        """Diameter of disc or ball, in mm."""
        return self._mm or 12.0

    def set_diameter(self, mm: float) -> None:
        """Change the size, rounded to an odd number of voxels as napari requires."""
        self._mm = float(mm)
        self._put()

    @property
    def limits_mm(self) -> tuple[float, float]:
        """Smallest and largest sensible diameter on this scan, in mm."""
        if self._layer is None:
            return 1.0, 40.0
        sides = np.multiply(self._layer.data.shape, self._layer.scale)
        low = float(min(self._layer.scale))
        return low, max(2 * low, LARGEST * float(np.median(sides)))

    @property
    def ball(self) -> bool:
        """Whether one paints in 3D."""
        return self._ball

    def set_ball(self, ball: bool) -> None:
        """Paint balls, or discs on the visible slice."""
        self._ball = ball
        self._put()

    @property
    def outline(self) -> bool:
        """Whether the mask is shown as an outline."""
        return self._outline

    def set_outline(self, outline: bool) -> None:
        """Show the mask as an outline, or filled."""
        self._outline = outline
        self._put()

    @property
    def range(self) -> tuple[float, float] | None:
        """Intensities that may be painted; None for all."""
        return self._range

    def paint_only_in(self, range_: tuple[float, float] | None) -> None:
        """Restrict painting to a range of intensities, or no longer; erasing never is."""
        self._range = range_
        self._remember_before()
        self.changed.emit()

    # --- inside

    def _add_tools(self, layers: StudyLayers) -> None:
        brushes: dict[Mode, type[LocalBrush]] = {
            "smart": SmartBrush, "push": PushBrush, "smooth_here": SmoothBrush,
            "margin_here": MarginBrush, "snap": SnapBrush,
        }
        for mode, kind in brushes.items():
            self._tools.add(mode, kind(layers))
        outlines: dict[Mode, type[Lasso] | type[Scissors]] = {
            "lasso": Lasso, "scissors": Scissors
        }
        for mode, outline in outlines.items():
            self._tools.add(mode, outline(self._tools, layers))
        self._tools.add("piece", PieceTool(layers))
        self._tools.in_hand = "lasso"

    def _on_shown(self, _name: str) -> None:
        layer = self._layers.editing.layer
        if layer is not None and layer is not self._layer:
            self._listen(layer)
            self._chosen = False  # napari begins with its own tool: let the step offer one
        self._layer = layer
        image = self._layers.own.get(IMAGE)
        if image is not None and image is not self._image:
            self._take_from_image(image)
        self._remember_before()
        self._put()

    def _on_moved(self) -> None:
        # Another plane may have different voxel sizes.
        if self._layer is not None and self._layer.brush_size != self._voxels():
            self._put()

    def _listen(self, layer: Labels) -> None:
        self._hooked = wrap_writing(layer, self._in_range_only)
        # Before the stroke is saved.
        layer.events.paint.connect(self._revert_out_of_range, position="first")
        for mode, key in KEYS.items():
            if mode in self._tools.names:  # the others are napari's own
                layer.bind_key(key, self._taker(mode), overwrite=True)
        layer.events.mode.connect(self._on_mode)
        layer.events.brush_size.connect(self._on_brush_size)
        layer.events.n_edit_dimensions.connect(self._on_dimensions)
        layer.events.contour.connect(self._on_contour)
        layer.events.selected_label.connect(self._on_label)

    def _take_from_image(self, image: Image) -> None:
        """Let the tools' keys act also while the scan is selected, as it is for its contrast."""
        self._image = image
        for mode, key in KEYS.items():
            image.bind_key(key, self._taker(mode), overwrite=True)

    def _taker(self, mode: Mode) -> Callable[[Image | Labels], None]:
        return lambda _layer: self.set_mode(mode)

    def _contour(self) -> int:
        return 1 if self._outline and self._layers.viewer.dims.ndisplay == 2 else 0

    def show_in_3d(self, on: bool) -> None:
        """Switch between 3D and slices; napari cannot show outlines in 3D, and warns."""
        if on and self._layer is not None:
            with self._set():
                self._layer.contour = 0
        self._layers.viewer.dims.ndisplay = 3 if on else 2

    def _on_ndisplay(self, event: Any = None) -> None:
        if self._layer is not None and self._layer.contour != self._contour():
            with self._set():
                self._layer.contour = self._contour()

    def _put(self) -> None:
        layer = self._layer
        if layer is not None:
            if not self._mm:
                self._mm = self._at_start()
            with self._set():
                layer.n_edit_dimensions = 3 if self._ball else 2
                layer.brush_size = self._voxels()
                # napari resets the hidden axis and 3D painting.
                layer.cursor_size = layer.brush_size * self._finest()
                if layer.contour != self._contour():  # else napari draws it again
                    layer.contour = self._contour()
                if self._tools.is_round and str(layer.mode) == CARRIER:
                    layer.cursor = "circle"
        self.changed.emit()

    def _at_start(self) -> float:
        wished, (low, high) = wishes().brush_mm, self.limits_mm
        return min(max(wished, low), high) if wished else high * START / LARGEST

    def _finest(self) -> float:
        axes = (0, 1, 2) if self._ball else self._layers.viewpoint.axes[-2:]
        assert self._layer is not None
        return min(abs(float(self._layer.scale[axis])) for axis in axes)

    def _voxels(self) -> int:
        # napari rounds even numbers up to the next odd one.
        return 2 * max(0, round((self._mm / self._finest() - 1) / 2)) + 1

    @contextmanager
    def _set(self) -> Iterator[None]:
        before, self._setting = self._setting, True
        try:
            yield
        finally:
            self._setting = before

    # --- changes by napari's own keys and controls

    def _on_mode(self, event: Any = None) -> None:
        layer = self._layer
        if layer is None:
            return
        self._chosen = True
        if str(layer.mode) == "polygon":  # napari's polygon tool draws lines as thick as the brush
            self.set_mode("lasso")
            return
        use_only_ours(layer)
        self._tools.let_turn()
        self._put()

    def _on_brush_size(self, event: Any = None) -> None:
        if self._setting or self._layer is None:
            return
        size, was = int(self._layer.brush_size), self._voxels()
        if size % 2 == 0:  # the keys [ and ] change the size by one: use the next odd size
            size += -1 if size < was else 1
        self._mm = max(1, size) * self._finest()
        self._put()

    def _on_dimensions(self, event: Any = None) -> None:
        if not self._setting and self._layer is not None:
            self.set_ball(self._layer.n_edit_dimensions > 2)

    def _on_contour(self, event: Any = None) -> None:
        if not self._setting and self._layer is not None:
            self._outline = self._layer.contour > 0
            self.changed.emit()

    def _on_label(self, event: Any = None) -> None:
        # A mask has one label; a second one would be invisible.
        if self._layer is not None and self._layer.selected_label > 1:
            self._layer.selected_label = 1

    # --- painting in a range

    def allowed(self, where: Any = ...) -> NDArray[np.bool_] | None:
        """Voxels in the range of intensities, in a part of the scan; None when all may be painted.

        Parameters
        ----------
        where : index
            Of the scan as displayed.
        """
        image = self._layers.showing.image_on_display()
        if self._range is None or image is None:
            return None
        values = image[where]
        return (values >= self._range[0]) & (values <= self._range[1])

    def _in_range_only(self, apply: Function) -> Function:
        def call(data: Any, mask: Any, new_label: int, volume_slice: Any) -> Any:
            by_hand = new_label and not self._layers.own.quiet  # our tools have their own rules
            allowed = self.allowed(volume_slice) if by_hand else None
            if allowed is not None:
                # Otherwise specks of skull and scalp with similar intensities are painted.
                mask = hanging_together(mask & allowed, np.asarray(data) != 0)
            return apply(data, mask, new_label, volume_slice)

        return call

    def _remember_before(self) -> None:
        if self._range is not None and self._layer is not None and not self._hooked:
            self._before = self._layers.editing.mask_on_display()

    def _revert_out_of_range(self, event: Any = None) -> None:
        """Undo painting outside the range, if writing cannot be hooked."""
        layer = self._layer
        if layer is None or self._hooked or self._setting:
            return
        allowed, before = self.allowed(), self._before
        if allowed is not None and before is not None and not self._layers.own.quiet:
            with self._set():
                layer.data_setitem(np.nonzero((layer.data != 0) & ~before & ~allowed), 0)
        self._remember_before()
