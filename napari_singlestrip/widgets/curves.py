"""Live curves of training: loss, and Dice on heads and scans that training does not draw."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_singlestrip.widgets.panel import words

REDRAW_MS = 250  # each redraw takes about 5 ms of the window's time
HEIGHT = 110
SMOOTHING = 0.9
# Seen on dark and on light backgrounds, and apart by people who confuse red and green.
COLOURS = {"loss": "#e8833a", "validation_dice": "#3a96e0", "painted_dice": "#2fae8f"}
WORDS = {
    "loss": "loss",
    "validation_dice": "Dice, synthetic heads it never trains on",
    "painted_dice": "Dice, your painted scan",
}
DICES = ("validation_dice", "painted_dice")


@dataclass
class Track:
    """Points of one stage: step and value of each metric, steps ascending."""

    points: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    n_steps: int = 0

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add what was measured at a step; a stage that was resumed goes on from there."""
        for name, value in metrics.items():
            if name not in COLOURS or not math.isfinite(value):
                continue
            line = self.points.setdefault(name, [])
            while line and line[-1][0] >= step:  # a killed job went back to its checkpoint
                line.pop()
            line.append((step, value))

    def last(self, name: str) -> float | None:
        """The newest value of a metric."""
        line = self.points.get(name)
        return line[-1][1] if line else None


def smooth(line: Iterable[tuple[int, float]]) -> list[float]:
    """Running mean of a line's values, without the pull of its first value."""
    out, total, weight = [], 0.0, 0.0
    for _, value in line:
        total = SMOOTHING * total + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        out.append(total / weight)
    return out


class Curves(QWidget):
    """Loss above, Dice below, for one stage at a time."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("curves")
        self.track = Track()
        self.legend = words(name="curves_legend")
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self._lines: dict[str, Any] = {}
        self._plots: list[Any] = []
        self._build()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REDRAW_MS)
        self._timer.timeout.connect(self.redraw)

    def show_track(self, track: Track) -> None:
        """Show the points of a stage."""
        self.track = track
        self.redraw()

    def add(self, step: int, n_steps: int, metrics: Mapping[str, float]) -> None:
        """Add points to what is shown; they are drawn a moment later, with others."""
        self.track.n_steps = n_steps
        self.track.add(step, metrics)
        if not self._timer.isActive():
            self._timer.start()

    def redraw(self) -> None:
        """Draw what is known now."""
        for name in COLOURS:
            line = self.track.points.get(name, [])
            steps, values = [step for step, _ in line], [value for _, value in line]
            if name == "loss":
                self._lines["raw"].setData(steps, values)
                values = smooth(line)
            self._lines[name].setData(steps, values)
        last = max((line[-1][0] for line in self.track.points.values()), default=1)
        for plot in self._plots:
            plot.setXRange(0, max(self.track.n_steps, last), padding=0.01)
        self._fit_dice()
        self.legend.setText(self._legend_text())

    def points(self, name: str) -> int:
        """How many points of a metric are drawn."""
        data = self._lines[name].getData()[0]
        return 0 if data is None else len(data)

    def close_all(self) -> None:
        """Draw no more, and let go of what pyqtgraph keeps."""
        self._timer.stop()
        for plot in self._plots:
            item = plot.getPlotItem()
            for menu in (item.ctrlMenu, *item.subMenus):  # windows without a parent
                menu.deleteLater()

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow napari's theme."""
        if event is not None and event.type() in (
            QEvent.Type.StyleChange, QEvent.Type.PaletteChange
        ):
            self._colour_axes()
        super().changeEvent(event)

    # --- inside

    def _build(self) -> None:
        import pyqtgraph as pg  # half a second: only when this step is opened

        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        for title in ("loss", "Dice"):
            plot = pg.PlotWidget(background=None)
            plot.setFixedHeight(HEIGHT)
            plot.hideButtons()
            plot.setMenuEnabled(False)
            plot.setMouseEnabled(False, False)
            plot.showGrid(y=True, alpha=0.15)
            plot.getAxis("left").setWidth(42)
            plot.setLabel("left", title)
            # The mouse wheel scrolls the page.
            plot.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            self._plots.append(plot)
            column.addWidget(plot)
        column.addWidget(self.legend)
        self._plots[1].setLabel("bottom", "step")
        self._plots[1].setFixedHeight(HEIGHT + 22)
        faint = pg.mkColor(COLOURS["loss"])
        faint.setAlpha(90)
        self._lines["raw"] = self._plots[0].plot(pen=pg.mkPen(faint, width=1))
        for name, colour in COLOURS.items():
            plot = self._plots[0 if name == "loss" else 1]
            marks = {} if name == "loss" else {
                "symbol": "o", "symbolSize": 5, "symbolBrush": colour, "symbolPen": None
            }
            self._lines[name] = plot.plot(pen=pg.mkPen(colour, width=2), **marks)
        self._colour_axes()
        self.redraw()

    def _colour_axes(self) -> None:
        colour = self.palette().color(QPalette.ColorRole.WindowText)
        for plot in self._plots:
            for side in ("left", "bottom"):
                plot.getAxis(side).setPen(colour)
                plot.getAxis(side).setTextPen(colour)

    def _fit_dice(self) -> None:
        """From a round number below what was reached, to 1: where the differences are."""
        values = [v for name in DICES for _, v in self.track.points.get(name, [])]
        low = min(values[-8:], default=0.0)  # the first ones may be anything
        self._plots[1].setYRange(max(0.0, math.floor(10 * low - 0.2) / 10), 1.0, padding=0.02)

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


