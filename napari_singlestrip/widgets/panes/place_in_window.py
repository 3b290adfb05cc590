"""Taking napari's canvas out of its layout and restoring it, which has no public API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qtpy.QtWidgets import QWidget

from napari_singlestrip.widgets.viewer.napari_private import canvas_of


class PlaceInWindow:
    """Puts a widget in place of napari's canvas, and the canvas into it.

    Parameters
    ----------
    viewer : napari.Viewer
    area : QWidget
        The widget that takes its place.

    Attributes
    ----------
    canvas : QWidget or None
        None if this napari has another layout: the canvas then stays where it is.
    """

    def __init__(self, viewer: Any, area: QWidget) -> None:
        self.canvas = canvas_of(viewer)
        self._area = area
        host = None if self.canvas is None else self.canvas.parentWidget()
        layout = None if host is None else host.layout()
        self._layout = layout
        if self.canvas is None or layout is None or layout.replaceWidget(self.canvas, area) is None:
            self.canvas = None
            return
        # Only once `area` is in the same window: else the canvas would lose its OpenGL context.
        area.show()
        self.canvas.setParent(area)
        self.canvas.show()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the size: napari briefly shows two sliders when the viewer changes planes."""
        if self._layout is None:
            yield
            return
        self._layout.setEnabled(False)
        try:
            yield
        finally:
            self._layout.setEnabled(True)

    def give_back(self) -> None:
        """Restore the canvas to its place."""
        canvas, self.canvas = self.canvas, None
        if canvas is not None and self._layout is not None:
            self._layout.replaceWidget(self._area, canvas)
            canvas.show()
