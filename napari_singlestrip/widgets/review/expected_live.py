"""What to expect of the masks, as corrections come: each is compared in the background."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qtpy.QtCore import QObject, Signal

from napari_singlestrip.engine.judging.expected_dice import Shift
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.study.expected_quality import (
    RoundKind,
    filled,
    kind_of_round,
    shift_of,
)
from napari_singlestrip.study.review import Review
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import ScoreRow
from napari_singlestrip.widgets.common.background_thread import Background

Known = tuple[RoundKind | None, Shift]
Stamp = tuple[Path, int, tuple[tuple[str, int], ...]]  # study, round, corrected masks as they are


class LiveExpected(QObject):
    """Keeps the expected Dice of a round up to date with what is corrected.

    Signals
    -------
    changed()
        Another mask was compared.
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.background = Background("expected-dice", self)
        self._asked: Stamp | None = None
        self._known: tuple[Stamp, Known] | None = None
        self._filled: dict[ScoreRow, ScoreRow] = {}  # with what is known: it is asked often

    def into(self, study: Study, review: Review) -> Review:
        """Return the ranking with what is expected now; as it was ranked until that is known."""
        if review.round is None:
            return review
        stamp = _stamp(study, review.round)
        if stamp != self._asked:
            self._asked = stamp
            self._find(study, review.round, stamp)
        if self._known is None or self._known[0][:2] != stamp[:2]:
            return review
        rows = (replace(row, score=self._with_expected(row.score)) for row in review.rows)
        return replace(review, rows=tuple(rows))

    def _with_expected(self, score: ScoreRow) -> ScoreRow:
        assert self._known is not None
        if score not in self._filled:
            self._filled[score] = filled(score, *self._known[1])
        return self._filled[score]

    def forget(self) -> None:
        """Stop comparing: another study is open."""
        self.background.forget()
        self._asked = None

    def close_all(self) -> None:
        """End the thread: the window closes."""
        self.background.close_all()

    def _find(self, study: Study, round_: int, stamp: Stamp) -> None:
        def work() -> Known | Failure:
            return attempt(lambda: (kind_of_round(study, round_), shift_of(study)))

        def take(found: Known | Failure) -> None:
            if not isinstance(found, Failure):  # whoever opens the file is told
                self._known, self._filled = (stamp, found), {}
                self.changed.emit()

        self.background.run(work, take)


def _stamp(study: Study, round_: int) -> Stamp:
    names = [n for n, decision in study.decisions.all().items() if decision.state == "corrected"]
    return study.folder, round_, tuple((name, _time_of(study.masks.path(name))) for name in names)


def _time_of(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
