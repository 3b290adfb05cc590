"""A small scatter plot with clickable points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPalette, QPen
from qtpy.QtWidgets import QToolTip, QWidget

HEIGHT = 180
RADIUS, REACH = 4.5, 12.0  # pixels of a spot; how far from it a click still counts
N_TICKS = 5


@dataclass(frozen=True)
class Spot:
    """A point: name, position, colour and tooltip."""

    name: str
    x: float
    y: float
    colour: str
    tip: str = ""


class Scatter(QWidget):
    """Points over a grid, in the colours of the theme.

    Signals
    -------
    chosen(str)
        Name of the clicked point.
    """

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.spots: list[Spot] = []
        self._places: dict[str, int] = {}
        self.ringed = ""
        self.titles = "", ""
        self._ranges = (0.0, 1.0), (0.0, 1.0)
        self.setFixedHeight(HEIGHT)
        self.setMouseTracking(True)

    def show_spots(self, spots: Sequence[Spot], titles: tuple[str, str], ringed: str = "") -> None:
        """Draw these points.

        Parameters
        ----------
        spots : sequence of Spot
        titles : tuple of str
            Axis titles: horizontal, vertical.
        ringed : str
            Name of the point to highlight.
        """
        self.spots, self.titles, self.ringed = list(spots), titles, ringed
        self._places = {spot.name: n for n, spot in enumerate(spots)}
        self._ranges = _range([s.x for s in spots]), _range([s.y for s in spots])
        self.update()

    def change(self, spot: Spot) -> bool:
        """Show a point in another colour; False if it is a new one, or at another position."""
        place = self._places.get(spot.name)
        if place is None or (self.spots[place].x, self.spots[place].y) != (spot.x, spot.y):
            return False
        self.spots[place] = spot
        self.update()
        return True

    def ring(self, name: str) -> None:
        """Highlight another point."""
        self.ringed = name
        self.update()

    def place(self, spot: Spot) -> QPointF:
        """Position of a point, in pixels of this widget."""
        box, (across, up) = self._box(), self._ranges
        return QPointF(
            box.left() + box.width() * (spot.x - across[0]) / (across[1] - across[0]),
            box.bottom() - box.height() * (spot.y - up[0]) / (up[1] - up[0]),
        )

    def spot_at(self, point: QPointF) -> Spot | None:
        """Return the nearest point within reach."""
        def distance(spot: Spot) -> float:
            away = self.place(spot) - point
            return math.hypot(away.x(), away.y())

        nearest = min(self.spots, key=distance, default=None)
        return nearest if nearest is not None and distance(nearest) <= REACH else None

    # --- Qt

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Choose a point."""
        spot = None if event is None else self.spot_at(event.position())
        if spot is not None:
            self.chosen.emit(spot.name)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Show the pointing hand over a point."""
        over = event is not None and self.spot_at(event.position()) is not None
        self.setCursor(Qt.CursorShape.PointingHandCursor if over else Qt.CursorShape.ArrowCursor)

    def event(self, event: QEvent | None) -> bool:
        """Show the tooltip of the point under the mouse."""
        if event is not None and event.type() == QEvent.Type.ToolTip:
            spot = self.spot_at(QPointF(event.pos()))  # type: ignore[attr-defined]
            if spot is not None:
                QToolTip.showText(event.globalPos(), spot.tip, self)  # type: ignore[attr-defined]
                return True
        return bool(super().event(event))

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw grid, ticks and points."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().color(QPalette.ColorRole.WindowText)
        self._draw_grid(painter, text)
        painter.setPen(Qt.PenStyle.NoPen)
        for spot in self.spots:
            painter.setBrush(QColor(spot.colour))
            painter.drawEllipse(self.place(spot), RADIUS, RADIUS)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(text, 2))
        for spot in self.spots:
            if spot.name == self.ringed:
                painter.drawEllipse(self.place(spot), RADIUS + 3.5, RADIUS + 3.5)
        painter.end()

    # --- inside

    def _box(self) -> QRectF:
        return QRectF(48, 20, self.width() - 62, self.height() - 54)

    def _draw_grid(self, painter: QPainter, text: QColor) -> None:
        box, faint = self._box(), QColor(text)
        faint.setAlpha(45)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for value in _ticks(*self._ranges[1]):
            y = self.place(Spot("", self._ranges[0][0], value, "")).y()
            painter.setPen(QPen(faint, 1))
            painter.drawLine(QPointF(box.left(), y), QPointF(box.right(), y))
            painter.setPen(text)
            painter.drawText(QRectF(0, y - 9, box.left() - 6, 18), right, f"{value:g}")
        for value in _ticks(*self._ranges[0]):
            x = self.place(Spot("", value, self._ranges[1][0], "")).x()
            below = QRectF(x - 30, box.bottom() + 2, 60, 16)
            painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, f"{value:g}")
        painter.drawText(QRectF(0, 0, self.width(), 16), Qt.AlignmentFlag.AlignLeft, self.titles[1])
        below = QRectF(box.left(), box.bottom() + 17, box.width(), 16)
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, self.titles[0])


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Axis range with a margin around the values."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.06 * (high - low) or 0.5
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two values."""
    rough = (high - low) / N_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= rough)
    first, last = math.ceil(low / step), math.floor(high / step)
    digits = max(0, 1 - math.floor(math.log10(step)))
    return [round(n * step, digits) for n in range(first, last + 1)]
