"""How one paints: tool, brush in mm, ball or disc, range of intensities, outline.

Part of `layers`: nothing else touches the layer of the mask. napari's brush counts voxels and
paints at any intensity; here it counts mm, on any grid and plane, and can be kept to a range.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_singlestrip.widgets.common.napari_preferences import wishes

if TYPE_CHECKING:
    from napari_singlestrip.widgets.viewer.study_layers import StudyLayers

Mode = Literal["pan_zoom", "paint", "erase", "polygon", "fill"]
MODES: tuple[Mode, ...] = ("pan_zoom", "paint", "erase", "polygon", "fill")
# What napari 0.9 calls for each stroke, polygon and fill; it passes data_setitem by.
HOOK = "_apply_mask_to_data"
START, LARGEST = 1 / 16, 1 / 4  # of the picture's side: heads of mice are small


class Brush(QObject):
    """The tool in a person's hand; the same for all scans of a window.

    Signals
    -------
    changed()
        Tool, size, ball, range or outline: by a button, a key or napari's own controls.
    """

    changed = Signal()

    def __init__(self, layers: StudyLayers) -> None:
        super().__init__(layers)
        self._layers = layers
        self._layer: Labels | None = None
        self._mm = 0.0  # not chosen yet
        self._ball = False
        self._outline = False
        self._range: tuple[float, float] | None = None
        self._before: NDArray[np.bool_] | None = None
        self._setting = False
        layers.shown_changed.connect(self._on_shown)
        layers.moved.connect(self._on_moved)
        layers.edited.connect(self._remember_before)

    # --- what one has in hand

    @property
    def mode(self) -> str:
        """Tool: one of `MODES`, or another of napari's."""
        return "pan_zoom" if self._layer is None else str(self._layer.mode)

    def set_mode(self, mode: Mode) -> None:
        """Take a tool."""
        if self._layer is not None:
            self._layers.select_mask()  # the strokes go to the active layer
            self._layer.mode = mode

    @property
    def diameter_mm(self) -> float:
        """Diameter of disc or ball, in mm."""
        return self._mm or 12.0

    def set_diameter(self, mm: float) -> None:
        """Change the size; napari can do odd numbers of voxels, so it is met within one voxel."""
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
        """Paint balls, or discs on the slice that is seen."""
        self._ball = ball
        if ball and self.mode == "polygon":  # polygons are flat
            self.set_mode("paint")
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

    def _on_shown(self, _name: str) -> None:
        layer = self._layers.mask_layer
        if layer is not None and layer is not self._layer:
            self._listen(layer)
        self._layer = layer
        self._remember_before()
        self._put()

    def _on_moved(self) -> None:
        # Another plane may have other voxel sizes.
        if self._layer is not None and self._layer.brush_size != self._voxels():
            self._put()

    def _listen(self, layer: Labels) -> None:
        if hasattr(layer, HOOK):
            setattr(layer, HOOK, self._in_range_only(getattr(layer, HOOK)))
        # Before the stroke is saved.
        layer.events.paint.connect(self._revert_out_of_range, position="first")
        layer.events.mode.connect(self._on_mode)
        layer.events.brush_size.connect(self._on_brush_size)
        layer.events.n_edit_dimensions.connect(self._on_dimensions)
        layer.events.contour.connect(self._on_contour)
        layer.events.selected_label.connect(self._on_label)

    def _put(self) -> None:
        layer = self._layer
        if layer is not None:
            if not self._mm:
                self._mm = self._at_start()
            with self._set():
                layer.n_edit_dimensions = 3 if self._ball else 2
                layer.brush_size = self._voxels()
                # napari forgets the axis it does not show, and that it can paint in 3D.
                layer.cursor_size = layer.brush_size * self._finest()
                layer.contour = 1 if self._outline else 0
        self.changed.emit()

    def _at_start(self) -> float:
        wished, (low, high) = wishes().brush_mm, self.limits_mm
        return min(max(wished, low), high) if wished else high * START / LARGEST

    def _finest(self) -> float:
        axes = (0, 1, 2) if self._ball else self._layers.viewpoint.axes[-2:]
        assert self._layer is not None
        return min(abs(float(self._layer.scale[axis])) for axis in axes)

    def _voxels(self) -> int:
        # napari rounds an even number up to the next odd one.
        return 2 * max(0, round((self._mm / self._finest() - 1) / 2)) + 1

    @contextmanager
    def _set(self) -> Iterator[None]:
        before, self._setting = self._setting, True
        try:
            yield
        finally:
            self._setting = before

    # --- what a person changes by napari's own keys and controls

    def _on_mode(self, event: Any = None) -> None:
        if self.mode == "polygon" and self._ball:
            self._ball = False
        self._put()

    def _on_brush_size(self, event: Any = None) -> None:
        if self._setting or self._layer is None:
            return
        size, was = int(self._layer.brush_size), self._voxels()
        if size % 2 == 0:  # the keys [ and ] go by one: to the next size that is different
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
        # A mask has one label; a second one would be painted without being seen.
        if self._layer is not None and self._layer.selected_label > 1:
            self._layer.selected_label = 1

    # --- painting in a range

    def _allowed(self, where: Any = ...) -> NDArray[np.bool_] | None:
        image = self._layers.image_on_display()
        if self._range is None or image is None:
            return None
        values = image[where]
        return (values >= self._range[0]) & (values <= self._range[1])

    def _in_range_only(self, apply: Any) -> Any:
        def call(data: Any, mask: Any, new_label: int, volume_slice: Any) -> Any:
            allowed = self._allowed(volume_slice) if new_label else None
            return apply(
                data, mask if allowed is None else mask & allowed, new_label, volume_slice
            )

        return call

    def _remember_before(self) -> None:
        if self._range is not None and self._layer is not None and not hasattr(Labels, HOOK):
            self._before = self._layers.mask_on_display()

    def _revert_out_of_range(self, event: Any = None) -> None:
        """Take back what was painted out of range, for a napari without the hook."""
        layer = self._layer
        if layer is None or hasattr(Labels, HOOK) or self._setting:
            return
        allowed, before = self._allowed(), self._before
        if allowed is not None and before is not None and not self._layers.quiet:
            with self._set():
                layer.data_setitem(np.nonzero((layer.data != 0) & ~before & ~allowed), 0)
        self._remember_before()
