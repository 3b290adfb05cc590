"""A line over the image, one pixel wide at any zoom, transparent to the mouse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QWidget

from napari_singlestrip.widgets.viewer.napari_private import canvas_of

ADDS, SUBTRACTS = QColor(255, 230, 0), QColor(255, 90, 90)
UNDER = QColor(0, 0, 0, 120)  # makes the line visible on bright fat
ROOM = 3  # margin of the repainted area (pixels)
Pixels = Sequence[tuple[float, float]]


class LineOverlay(QWidget):
    """The line being drawn, before it changes the mask.

    Parameters
    ----------
    canvas : QWidget
        napari's canvas.
    """

    def __init__(self, canvas: QWidget) -> None:
        super().__init__(canvas)
        self.setObjectName("line_overlay")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._line = QPolygonF()
        self._colour = ADDS
        self._dashed = False
        self.hide()

    @property
    def n_points(self) -> int:
        """Points of the line on screen."""
        return int(self._line.count()) if self.isVisible() else 0

    def draw(self, pixels: Pixels, subtracts: bool, dashed: bool = False) -> None:
        """Show a line through pixels of the canvas; an empty one hides it."""
        canvas = self.parentWidget()
        if canvas is None or not pixels:
            self.hide()
            return
        before = self._line.boundingRect()
        self._line = QPolygonF([QPointF(x, y) for x, y in pixels])
        self._colour, self._dashed = SUBTRACTS if subtracts else ADDS, dashed
        if self.size() != canvas.size():
            self.resize(canvas.size())
        if not self.isVisible():
            self.show()
            self.raise_()
        changed = self._line.boundingRect().united(before).toAlignedRect()
        self.update(changed.adjusted(-ROOM, -ROOM, ROOM, ROOM))

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for colour, width in ((UNDER, 3.0), (self._colour, 1.0)):
            pen = QPen(colour, width)
            if self._dashed and width == 1.0:
                pen.setStyle(Qt.PenStyle.DashLine)
            painter.setPen(pen)
            painter.drawPolyline(self._line)
        painter.end()


def overlay_on(viewer: Any) -> LineOverlay | None:
    """Create a line overlay on the canvas of a viewer; None without a canvas."""
    canvas = canvas_of(viewer)
    return None if canvas is None else LineOverlay(canvas)
