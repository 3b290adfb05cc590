"""The scores of a round as a clickable plot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from qtpy.QtCore import Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QComboBox, QVBoxLayout, QWidget

from napari_singlestrip.glossary import meaning
from napari_singlestrip.study.review import Review, ReviewRow
from napari_singlestrip.widgets.common.controls import words
from napari_singlestrip.widgets.common.scatter_plot import Scatter, Spot
from napari_singlestrip.widgets.review.reference_dice import Truth
from napari_singlestrip.widgets.review.table_model import STATE_COLOURS

RANK, AGREEMENT, TRUTH = "AE error by rank", "AE error and agreement", "AE error and true Dice"
ERROR = "AE error (lower is better)"
AXES = {  # with what is better: across, up
    RANK: ("rank (1 is best)", ERROR),
    AGREEMENT: ("agreement (higher is better)", ERROR),
    TRUTH: ("true Dice (higher is better)", ERROR),
}


class ScorePlot(QWidget):
    """Each point is a scan, in the colour of its state; a click shows it.

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
        self.mode.setToolTip(f"What is plotted. AE error: {meaning('AE error')} Agreement: "
                             f"{meaning('agreement')}")
        self.mode.addItems([RANK, AGREEMENT])
        self.plot = Scatter()
        self.plot.setObjectName("plot")
        self.plot.setToolTip("Each point is a scan: click one to show it")
        self.hint = words(name="correlations")
        self._rows: Sequence[ReviewRow] = ()
        self._truth = Truth({})
        self._current = ""
        self._is_drawn = True
        self._drawn: tuple[str, Truth, Sequence[ReviewRow]] = "", self._truth, ()
        self.mode.currentTextChanged.connect(self._draw)
        self.plot.chosen.connect(self.scan_chosen)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for widget in (self.mode, self.plot, self.hint):
            column.addWidget(widget)

    def show_review(self, review: Review, truth: Truth, current: str) -> None:
        """Update with the current scores.

        Parameters
        ----------
        review : Review
        truth : Truth
            Adds the plot against the true Dice, and correlations.
        current : str
            Scan on screen, which is highlighted.
        """
        self._rows, self._truth, self._current = review.rows, truth, current
        self._offer(AGREEMENT, review.scores.has_agreement)
        self._offer(TRUTH, bool(truth.dices))
        self.hint.setText(in_words(truth))
        self.hint.setVisible(bool(self.hint.text()))
        self._draw()

    def show_current(self, current: str) -> None:
        """Highlight another scan; the points stay."""
        self._current = current
        self.plot.ring(current)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Draw what came while the plot was folded away."""
        super().showEvent(event)
        if not self._is_drawn:
            self._draw()

    # --- inside

    def _offer(self, mode: str, offered: bool) -> None:
        """Offer what can be plotted only."""
        place = self.mode.findText(mode)
        if offered and place < 0:
            self.mode.addItem(mode)
        elif not offered and place >= 0:
            self.mode.removeItem(place)

    def _draw(self, *_: object) -> None:
        self._is_drawn = self.isVisible()
        if not self._is_drawn:  # thousands of points, at each decision
            return
        mode = self.mode.currentText()
        if self._changed_one(mode):
            self.plot.ring(self._current)
        else:
            spots = (self._spot(row, mode) for row in self._rows)
            self.plot.show_spots([s for s in spots if s is not None], AXES[mode], self._current)
        self._drawn = mode, self._truth, self._rows

    def _changed_one(self, mode: str) -> bool:
        """Change the point of one scan, which is what a decision does; False if more changed."""
        drawn_mode, truth, rows = self._drawn
        if (drawn_mode, truth) != (mode, self._truth) or len(rows) != len(self._rows):
            return False
        other = [now for now, old in zip(self._rows, rows, strict=True) if now is not old]
        if len(other) > 1:
            return False
        spots = [self._spot(row, mode) for row in other]
        return all(spot is not None and self.plot.change(spot) for spot in spots)

    def _spot(self, row: ReviewRow, mode: str) -> Spot | None:
        x, y = self._across(row, mode), row.score.autoencoder_error
        if not (math.isfinite(x) and math.isfinite(y)):
            return None
        across = AXES[mode][0].split(" (")[0]
        tip = f"{row.name}\nAE error {y:.3f}, {across} {x:.4g}\n{row.in_words}"
        return Spot(row.name, x, y, STATE_COLOURS[row.state], tip)

    def _across(self, row: ReviewRow, mode: str) -> float:
        if mode == AGREEMENT:
            return row.score.consistency
        if mode == TRUTH:
            return self._truth.dices.get(row.name, math.nan)
        return float(row.score.rank) if row.score.rank else math.nan


def in_words(truth: Truth) -> str:
    """Describe the correlation of the scores with the true Dice, if known."""
    known: Mapping[str, float] = {
        "ranking": truth.rank, "AE error": truth.autoencoder_error,
        "agreement": truth.consistency,
    }
    said = [f"{name} {value:.2f}" for name, value in known.items() if math.isfinite(value)]
    if not said:
        return "Measuring the true Dice ..." if truth.n_missing else ""
    more = f", {truth.n_missing} still to be measured" if truth.n_missing else ""
    return (f"Spearman correlation with the true Dice of {len(truth.dices)} masks{more} "
            f"(1 is perfect): {', '.join(said)}.")
