"""How good the mask on screen probably is: a line by its places, which moves with each slice."""

from __future__ import annotations

from qtpy.QtWidgets import QLabel, QSizePolicy

from napari_singlestrip.engine.judging.dice_so_far import FEWEST, DiceSoFar
from napari_singlestrip.engine.judging.expected_dice import ExpectedDice
from napari_singlestrip.glossary import meaning
from napari_singlestrip.study.review import ReviewRow
from napari_singlestrip.texts import counted
from napari_singlestrip.widgets.session.correcting import Correcting

NAME = "<b>Expected Dice</b>"


class ExpectedLine(QLabel):
    """One line, also while the paint tools are folded.

    It stays as long as anything is expected of the masks of the round, so that nothing moves from
    scan to scan.

    Parameters
    ----------
    correcting : Correcting
        Of the mask on screen.
    """

    def __init__(self, correcting: Correcting) -> None:
        super().__init__()
        self.setObjectName("expected_line")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setStyleSheet("padding: 0 1px")  # napari's takes half a row of the table
        self._correcting = correcting
        self._row: ReviewRow | None = None
        self._in_round = False
        correcting.changed.connect(self.refresh)
        self.refresh()

    def follow(self, row: ReviewRow | None, in_round: bool) -> None:
        """Take the mask on screen.

        Parameters
        ----------
        row : ReviewRow or None
            None if no ranked mask is on screen.
        in_round : bool
            Whether anything is expected of any mask of the round.
        """
        self._row, self._in_round = row, in_round
        self.refresh()

    def refresh(self) -> None:
        """Show what is to be expected now."""
        row, so_far = self._row, self._correcting.so_far
        self.setVisible(self._in_round or (row is not None and so_far is not None))
        if row is None:
            self.setText("")
            self.setToolTip("")
            return
        n = len(self._correcting.slices)
        self.setText(f"{NAME} {in_words(row, n, so_far)}")
        full = "" if so_far is None else f"Expected Dice {so_far.in_words}. "
        self.setToolTip(f"{full}Expected Dice: {meaning('expected Dice')}")


def in_words(row: ReviewRow, n_set: int, so_far: DiceSoFar | None) -> str:
    """What to expect of a mask, short enough for a line.

    Parameters
    ----------
    row : ReviewRow
    n_set : int
        Slices of it that a person set.
    so_far : DiceSoFar or None
        What these slices let expect; None where they do not tell.
    """
    predicted = row.score.expected
    if so_far is not None:
        return (f"{so_far.dice:.3f} ({so_far.low:.3f}\u2013{so_far.high:.3f}), "
                f"{so_far.n} set; next +{so_far.gain:.4f}")
    if n_set:
        return _before_slices(predicted, n_set)
    if row.by_hand:
        return f"{_alone(predicted)} before you corrected it"
    return predicted.in_words or "not known"


def _alone(predicted: ExpectedDice) -> str:
    """Without the interval, for which there is no room where more is said."""
    return f"{predicted.dice:.3f}" if predicted.in_words else "not known"


def _before_slices(predicted: ExpectedDice, n_set: int) -> str:
    """Of the mask as it was predicted: the slices do not tell yet, or were too far off."""
    known = _alone(predicted)
    later = f"; anew from {FEWEST} on" if n_set < FEWEST else ""
    return f"{known} before {counted(n_set, 'set slice')}{later}"
