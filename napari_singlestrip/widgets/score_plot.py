"""The scores of a round as a plot in which one can click."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, Signal
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QComboBox, QVBoxLayout, QWidget

from napari_singlestrip.reviewing import Review, ReviewRow
from napari_singlestrip.widgets.panel import words
from napari_singlestrip.widgets.review_table import STATE_COLOURS
from napari_singlestrip.widgets.true_dice import Truth

HEIGHT = 190
RANK, AGREEMENT, TRUTH = "AE error by rank", "AE error and agreement", "AE error and true Dice"
AXES = {
    RANK: ("Rank", "AE error"),
    AGREEMENT: ("Agreement under augmentation", "AE error"),
    TRUTH: ("True Dice", "AE error"),
}


class ScorePlot(QWidget):
    """Each spot is a scan, in the colour of its state; a click shows it.

    Signals
    -------
    scan_chosen(str)
    """

    scan_chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("score_plot")
        self.mode = QComboBox()
        self.mode.setObjectName("plot_mode")
        self.mode.setToolTip("What is plotted")
        self.mode.addItems([RANK, AGREEMENT])
        self.mode.currentTextChanged.connect(self._draw)
        self.hint = words(name="correlations")
        self.plot: Any = None
        self._spots: Any = None
        self._ring: Any = None
        self._rows: Sequence[ReviewRow] = ()
        self._truth = Truth({})
        self._current = ""
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(4)
        self._column.addWidget(self.mode)
        self._column.addWidget(self.hint)

    def show_review(self, review: Review, truth: Truth, current: str) -> None:
        """Take the scores as they are now.

        Parameters
        ----------
        review : Review
        truth : Truth
            Adds the plot against the true Dice, and what the scores are worth.
        current : str
            Scan on screen: its spot gets a ring.
        """
        self._rows, self._truth, self._current = review.rows, truth, current
        has_truth = self.mode.findText(TRUTH) >= 0
        if bool(truth.dices) != has_truth:
            if has_truth:
                self.mode.removeItem(self.mode.findText(TRUTH))
            else:
                self.mode.addItem(TRUTH)
        self.hint.setText(in_words(truth))
        self.hint.setVisible(bool(self.hint.text()))
        self._draw()

    def showEvent(self, event: Any) -> None:
        """Make the plot when it is first seen: its library takes a second to load."""
        super().showEvent(event)
        if self.plot is None:
            self._make()
        self._draw()

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event is not None and event.type() in (
            QEvent.Type.PaletteChange, QEvent.Type.StyleChange
        ):
            self._dress()

    def points(self) -> list[tuple[ReviewRow, float, float]]:
        """Scans that can be plotted, with their place."""
        found = []
        for row in self._rows:
            x = {
                RANK: float(row.score.rank) if row.score.rank else math.nan,
                AGREEMENT: row.score.consistency,
                TRUTH: self._truth.dices.get(row.name, math.nan),
            }[self.mode.currentText() or RANK]
            if math.isfinite(x) and math.isfinite(row.score.autoencoder_error):
                found.append((row, x, row.score.autoencoder_error))
        return found

    # --- inside

    def _make(self) -> None:
        try:
            import pyqtgraph
        except ImportError:
            self.hint.setText("The plot needs pyqtgraph: `pip install pyqtgraph`.")
            self.hint.show()
            return
        self.plot = pyqtgraph.PlotWidget(background=None)
        self.plot.setObjectName("plot")
        self.plot.setToolTip("Each spot is a scan: click one to look at it")
        self.plot.setFixedHeight(HEIGHT)
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        self.plot.setMouseEnabled(False, False)
        self._ring = pyqtgraph.ScatterPlotItem(size=17, brush=None, pxMode=True)
        self._spots = pyqtgraph.ScatterPlotItem(size=10, pxMode=True, hoverable=True, tip=_tip)
        for side in ("bottom", "left"):
            self.plot.getAxis(side).enableAutoSIPrefix(False)
        self.plot.addItem(self._ring)
        self.plot.addItem(self._spots)
        self._spots.sigClicked.connect(self._on_clicked)
        self._column.insertWidget(1, self.plot)
        self._dress()

    def _dress(self) -> None:
        if self.plot is None:
            return
        colour = self.palette().color(QPalette.ColorRole.WindowText)
        for side in ("bottom", "left"):
            axis = self.plot.getAxis(side)
            axis.setPen(colour)
            axis.setTextPen(colour)
        self._ring.setPen(colour, width=2)

    def _draw(self, *_: object) -> None:
        if self.plot is None:
            return
        points = self.points()
        across, up = AXES[self.mode.currentText() or RANK]
        self.plot.setLabel("bottom", across)
        self.plot.setLabel("left", up)
        self._spots.setData(
            x=np.array([x for _, x, _ in points]), y=np.array([y for _, _, y in points]),
            data=[row.name for row, _, _ in points],
            brush=[STATE_COLOURS[row.state] for row, _, _ in points], pen=None,
        )
        here = [(x, y) for row, x, y in points if row.name == self._current]
        self._ring.setData(pos=np.array(here).reshape(-1, 2))
        self.plot.autoRange(padding=0.08)

    def _on_clicked(self, _item: Any, spots: Sequence[Any], _event: Any = None) -> None:
        if len(spots):
            self.scan_chosen.emit(str(spots[0].data()))


def _tip(x: float, y: float, data: str) -> str:
    return f"{data}\nAE error {y:.3f}"


def in_words(truth: Truth) -> str:
    """Say what the scores are worth, where the truth is known."""
    known: Mapping[str, float] = {
        "AE error": truth.autoencoder_error, "agreement": truth.consistency,
    }
    said = [f"{name} {value:.2f}" for name, value in known.items() if math.isfinite(value)]
    if not said:
        return "Measuring the true Dice ..." if truth.n_missing else ""
    more = f", {truth.n_missing} still to be measured" if truth.n_missing else ""
    return (f"Spearman correlation with the true Dice of {len(truth.dices)} masks{more} "
            f"(1 is perfect): {', '.join(said)}.")
