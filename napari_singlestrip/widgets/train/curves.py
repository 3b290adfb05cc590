"""Live curves of training: loss, and Dice on held-out synthetic images and labelled scans.

Drawn without pyqtgraph, whose plots (0.14, PyQt6 6.11) left hidden menu windows behind, and crashed
the process when these were freed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_singlestrip.widgets.common.controls import words
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.train.track import DICES, Track

REDRAW_MS = 250  # to draw several points at once
HEIGHT = 110
SMOOTHING = 0.9
POINTS = 600  # about twice the width of a plot in pixels
# Visible on dark and light backgrounds, and safe for red-green colour blindness.
COLOURS = {"loss": "#e8833a", "validation_dice": "#3a96e0", "painted_dice": "#2fae8f"}
WORDS = {
    "loss": "loss",
    "validation_dice": "Dice, held-out synthetic images",
    "painted_dice": "Dice, your painted scan",
}


def smooth(line: Iterable[tuple[int, float]]) -> list[float]:
    """Running mean of a line's values, bias-corrected at the start."""
    out, total, weight = [], 0.0, 0.0
    for _, value in line:
        total = SMOOTHING * total + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        out.append(total / weight)
    return out


def thinned(line: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Downsample to at most `POINTS` points by local means."""
    n = -(-len(line) // POINTS)
    if n <= 1:
        return line
    parts = [line[k : k + n] for k in range(0, len(line), n)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


@dataclass(frozen=True)
class Line:
    """A curve to draw.

    Attributes
    ----------
    points : list of (step, value)
    colour : QColor
    width : float
    dots : bool
        Mark each point.
    """

    points: list[tuple[int, float]]
    colour: QColor
    width: float = 2.0
    dots: bool = False


class Plot(QWidget):
    """Curves over a grid with two or three ticks, in the colours of the theme."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = title
        self.lines: list[Line] = []
        self.x_max = 1
        self.y_range = (0.0, 1.0)
        self.setFixedHeight(HEIGHT)

    def show_lines(self, lines: list[Line], x_max: int, y_range: tuple[float, float]) -> None:
        """Draw these curves, from step 0 to `x_max`."""
        self.lines, self.x_max, self.y_range = lines, max(1, x_max), y_range
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw grid, ticks and curves."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(38, 8, self.width() - 46, self.height() - 28)
        self._draw_grid(painter, box)
        painter.setClipRect(box.adjusted(-3, -3, 3, 3))
        for line in self.lines:
            self._draw_line(painter, box, line)
        painter.end()

    def _draw_grid(self, painter: QPainter, box: QRectF) -> None:
        text = self.palette().color(QPalette.ColorRole.WindowText)
        faint = QColor(text)
        faint.setAlpha(45)
        low, high = self.y_range
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for part in (0.0, 0.5, 1.0):
            y = box.bottom() - part * box.height()
            painter.setPen(QPen(faint, 1))
            painter.drawLine(QPointF(box.left(), y), QPointF(box.right(), y))
            painter.setPen(text)
            label = f"{low + part * (high - low):.2f}"
            painter.drawText(QRectF(0, y - 9, box.left() - 6, 18), right, label)
        below = QRectF(box.left(), box.bottom() + 3, box.width(), 16)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, self.title)
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, f"step {self.x_max}")

    def _draw_line(self, painter: QPainter, box: QRectF, line: Line) -> None:
        low, high = self.y_range
        scale = box.height() / max(high - low, 1e-9)
        places = [
            QPointF(box.left() + box.width() * x / self.x_max, box.bottom() - scale * (y - low))
            for x, y in line.points
        ]
        painter.setPen(QPen(line.colour, line.width))
        painter.drawPolyline(QPolygonF(places))
        if line.dots:
            painter.setBrush(line.colour)
            for place in places:
                painter.drawEllipse(place, 2.5, 2.5)
            painter.setBrush(Qt.BrushStyle.NoBrush)


class Curves(QWidget):
    """Loss above, Dice below, for one stage at a time."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("curves")
        self.track = Track()
        self.loss, self.dice = Plot("loss"), Plot("Dice")
        self.loss.setObjectName("loss_plot")
        self.loss.setToolTip("Training loss: decreases while the network learns")
        self.dice.setObjectName("dice_plot")
        self.dice.setToolTip("Overlap with the true mask, 1 is perfect: increases while it learns")
        self.legend = words(name="curves_legend")
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        for widget in (self.loss, self.dice, self.legend):
            column.addWidget(widget)
        self._timer = single_shot(self, REDRAW_MS, self.redraw)
        self.redraw()

    def show_track(self, track: Track) -> None:
        """Show the points of a stage."""
        self.track = track
        self.redraw()

    def add(self, step: int, n_steps: int, metrics: Mapping[str, float]) -> None:
        """Add points, which are drawn together after a short delay."""
        self.track.n_steps = n_steps
        self.track.add(step, metrics)
        if not self._timer.isActive():
            self._timer.start()

    def redraw(self) -> None:
        """Draw the current points."""
        points = self.track.points
        last = max((line[-1][0] for line in points.values() if line), default=1)
        x_max = max(self.track.n_steps, last)
        losses = thinned(points.get("loss", []))
        faint = QColor(COLOURS["loss"])
        faint.setAlpha(90)
        steps = [step for step, _ in losses]
        means = list(zip(steps, smooth(losses), strict=True))
        top = max((value for _, value in means), default=1.0)
        self.loss.show_lines(
            [Line(losses, faint, 1.0), Line(means, QColor(COLOURS["loss"]))], x_max, (0.0, top)
        )
        dices = [Line(points.get(n, []), QColor(COLOURS[n]), dots=True) for n in DICES]
        self.dice.show_lines(dices, x_max, self._dice_range())
        self.legend.setText(self._legend_text())

    def close_all(self) -> None:
        """Stop drawing."""
        self._timer.stop()

    # --- inside

    def _dice_range(self) -> tuple[float, float]:
        """Range of the Dice axis, from a round number below the values to 1."""
        values = [v for name in DICES for _, v in self.track.points.get(name, [])[-4:]]
        low = math.floor(10 * min(values, default=0.0) - 0.2) / 10  # rounded down to 0.1
        return min(0.9, max(0.0, low)), 1.0

    def _legend_text(self) -> str:
        parts = []
        for name, text in WORDS.items():
            value = self.track.last(name)
            if name == "loss" and value is not None:
                value = smooth(self.track.points["loss"])[-1]
            if value is not None:
                mark = f'<span style="color:{COLOURS[name]}">●</span>'
                parts.append(f"{mark} {text} <b>{value:.3f}</b>")
        return "<br>".join(parts) or "The curves appear when training begins."
