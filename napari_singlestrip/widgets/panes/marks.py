"""Annotations of a plane: crosshair, orientation letters, name of the plane."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qtpy.QtCore import QLineF, QPoint, QPointF, QRect, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QTransform
from qtpy.QtWidgets import QWidget

from napari_singlestrip.engine.imaging.display_orientation import AXIS_ENDS
from napari_singlestrip.widgets.viewer.viewpoint import PLANES

CROSSHAIR = QColor(255, 210, 60, 150)
GAP = 9  # pixels that the crosshair leaves free around its point
SET = QColor(110, 230, 120, 150)  # corrected slices
SET_BETWEEN = QColor(110, 230, 120, 36)  # from the first to the last of neighbours
LETTERS, PLATE = QColor(255, 255, 255), QColor(0, 0, 0, 130)
ACTIVE = QColor(0, 216, 240, 120)
NAME_AT = QPoint(9, 6)  # pixels from the corner


def draw_crosshair(painter: QPainter, at: QPointF, area: QRectF) -> None:
    """Draw two lines through a point that leave the point itself free."""
    painter.setPen(QPen(CROSSHAIR, 1))
    x, y = at.x(), at.y()
    painter.drawLine(QLineF(area.left(), y, x - GAP, y))
    painter.drawLine(QLineF(x + GAP, y, area.right(), y))
    painter.drawLine(QLineF(x, area.top(), x, y - GAP))
    painter.drawLine(QLineF(x, y + GAP, x, area.bottom()))


def runs(indices: Iterable[int]) -> list[tuple[int, int]]:
    """First and last of each run of neighbours, in order: 3, 4, 5, 9 are (3, 5) and (9, 9)."""
    found: list[tuple[int, int]] = []
    for index in sorted(set(indices)):
        if found and found[-1][1] == index - 1:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    return found


def draw_set_slices(painter: QPainter, panes: Any, plane: str) -> None:
    """Draw the intersections of corrected slices with a plane; the shown one gets a frame.

    Neighbours are one band with a line at each end, which lets the scan be seen: a cut through
    a head corrects a hundred slices. Filled, not as lines of a pen that lets through: those take
    ten times as long.
    """
    across, rows, columns = PLANES[plane]
    slices = panes.session.correcting.slices
    if not slices:
        return
    area, scale = panes.area_on_screen(plane), panes.viewpoint.scale
    turned = panes.camera.transform(plane, panes.pane_size)
    left, top, width, height = (round(n) for n in area.getRect())

    def at(axis: int, index: int) -> int:
        mm = index * scale[axis]
        point = turned.map(QPointF(mm, mm))
        return int(point.y() if axis == rows else point.x())

    for axis in (rows, columns):
        for run in runs(s.index for s in slices if s.axis == axis):
            first, last = sorted(at(axis, index) for index in run)
            ends = [(place, 1, SET) for place in {first, last}]
            for start, size, colour in [(first, last - first, SET_BETWEEN), *ends]:
                if axis == rows:
                    painter.fillRect(left, start, width, size, colour)
                else:
                    painter.fillRect(start, top, size, height, colour)
    here = panes.viewpoint.point[across]
    if any(s.axis == across and s.index == here for s in slices):
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(SET, 1))
        painter.drawRect(area.adjusted(1, 1, -1, -1))


def draw_name(painter: QPainter, name: str) -> None:
    """Write the name of a pane into its corner."""
    metrics = painter.fontMetrics()
    box = metrics.boundingRect(name)
    box.moveTopLeft(NAME_AT)
    painter.fillRect(box.adjusted(-3, -1, 3, 1), PLATE)
    painter.setPen(LETTERS)
    painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), name)


def draw_letters(painter: QPainter, area: QRect, plane: str, turned: QTransform) -> None:
    """Draw the orientation letters at the edges."""
    _, rows, columns = PLANES[plane]
    top, bottom = AXIS_ENDS[rows][:: 1 if turned.m22() > 0 else -1]
    left, right = AXIS_ENDS[columns][:: 1 if turned.m11() > 0 else -1]
    font = painter.font()
    font.setPixelSize(15)
    font.setBold(True)
    painter.setFont(font)
    inner, at = area.adjusted(6, 6, -6, -6), Qt.AlignmentFlag
    for text, where in (
        (top, at.AlignTop | at.AlignHCenter), (bottom, at.AlignBottom | at.AlignHCenter),
        (left, at.AlignLeft | at.AlignVCenter), (right, at.AlignRight | at.AlignVCenter),
    ):
        box = painter.boundingRect(inner, int(where), text)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(PLATE)
        painter.drawRoundedRect(QRectF(box.adjusted(-4, -1, 4, 1)), 4, 4)
        painter.setPen(LETTERS)
        painter.drawText(box, int(at.AlignCenter), text)


class CanvasMarks(QWidget):
    """Crosshair, name and a thin frame over napari's canvas, transparent to the mouse.

    Parameters
    ----------
    panes : FourPanes
    canvas : QWidget
    """

    def __init__(self, panes: Any, canvas: QWidget) -> None:
        super().__init__(canvas)
        self.setObjectName("canvas_marks")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._panes = panes
        self.hide()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw."""
        plane = self._panes.plane
        if plane not in PLANES:
            return
        painter = QPainter(self)
        area = self._panes.area_on_screen(plane)
        draw_set_slices(painter, self._panes, plane)
        draw_crosshair(painter, self._panes.point_on_screen(plane), area)
        draw_name(painter, plane.capitalize())
        painter.setPen(QPen(ACTIVE, 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()
