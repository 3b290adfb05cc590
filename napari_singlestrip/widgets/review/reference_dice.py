"""True Dice of the ranked masks, if there are references, measured in the background."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from qtpy.QtCore import QObject, Signal

from napari_singlestrip.engine.masks.evaluation import correlation
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.study.ranking_report import told, true_dice
from napari_singlestrip.study.references import References
from napari_singlestrip.study.review import Review
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.common.background_thread import Background

Stamp = tuple[Path, int]


@dataclass(frozen=True)
class Truth:
    """True Dice of a round, and its correlation with the scores.

    Attributes
    ----------
    dices : mapping of str to float
        By scan; those measured so far.
    n_missing : int
        Number of scans still to be measured.
    rank, autoencoder_error, consistency : float
        Spearman correlation with the true Dice; 1 is a perfect score. NaN without at least three.
    """

    dices: Mapping[str, float]
    n_missing: int = 0
    rank: float = math.nan
    autoencoder_error: float = math.nan
    consistency: float = math.nan


class TrueDice(QObject):
    """Measures scan by scan, and caches the results.

    Signals
    -------
    changed()
        Another scan was measured.
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.background = Background("true-dice", self)
        self._known: dict[Stamp, float] = {}
        self._asked: set[Stamp] = set()

    def of(self, study: Study, review: Review) -> Truth:
        """Return the results so far, and start measuring the rest."""
        if study.references.folder is None or review.round is None:
            return Truth({})
        stamps = {row.name: _stamp(study, review.round, row.name) for row in review.rows}
        references = cache(study.references.find)  # once for all scans, in the thread
        for name, stamp in stamps.items():
            if stamp is not None and stamp not in self._asked:
                self._asked.add(stamp)
                self._measure(study, review.round, name, stamp, references)
        found = {name: self._known.get(s, math.nan) for name, s in stamps.items() if s is not None}
        n_missing = sum(s is not None and s not in self._known for s in stamps.values())
        return _truth({n: d for n, d in found.items() if math.isfinite(d)}, n_missing, review)

    def forget(self) -> None:
        """Stop measuring: another study is open."""
        self.background.forget()
        self._asked.clear()

    def close_all(self) -> None:
        """End the thread."""
        self.background.close_all()

    def _measure(
        self, study: Study, round_: int, name: str, stamp: Stamp,
        references: Callable[[], References],
    ) -> None:
        def work() -> float:
            dice = attempt(lambda: true_dice(study, round_, name, references()))
            if isinstance(dice, Failure):  # a failed scan does not hide the others
                told(name, dice)
                return math.nan
            return math.nan if dice is None else dice

        def take(dice: float) -> None:
            self._known[stamp] = dice
            self.changed.emit()

        self.background.run(work, take)


def _stamp(study: Study, round_: int, name: str) -> Stamp | None:
    """Stamp that changes when a predicted mask is replaced; None if there is none."""
    path = study.rounds.pseudo_label_path(round_, name)
    try:
        return path, path.stat().st_mtime_ns
    except OSError:
        return None


def _truth(dices: dict[str, float], n_missing: int, review: Review) -> Truth:
    measured = [row for row in review.rows if row.name in dices]
    truth = [dices[row.name] for row in measured]
    # Ranks and errors are negated, so that 1 always means perfect.
    rank = correlation([-row.score.rank or math.nan for row in measured], truth)
    error = correlation([-row.score.autoencoder_error for row in measured], truth)
    agreement = correlation([row.score.consistency for row in measured], truth)
    return Truth(dices, n_missing, rank.spearman, error.spearman, agreement.spearman)
