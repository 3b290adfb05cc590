"""What to expect of the masks, as corrections come: each is compared in the background."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from qtpy.QtCore import QObject

from napari_singlestrip.engine.judging.expected_dice import Shift
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.files.stamp import FileStamp, file_stamp
from napari_singlestrip.study.expected_quality import RoundKind, filled, kind_of_round, shift_of
from napari_singlestrip.study.review import Review, ReviewRow
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import ScoreRow
from napari_singlestrip.widgets.common.background_cache import BackgroundCache

Known = tuple[RoundKind | None, Shift]
Key = tuple[Path, int, tuple[tuple[str, FileStamp | None], ...]]  # study, round, corrected masks


class LiveExpected(BackgroundCache[Key, Known | Failure]):
    """Keeps the expected Dice of a round up to date with what is corrected."""

    thread_name = "expected-dice"

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._newest: tuple[Key, Known] | None = None  # it stands until a newer one is known
        # By scan, for `_newest`: scores, and what they are with what is expected. Asked often.
        self._filled: dict[str, tuple[ScoreRow, ScoreRow]] = {}

    def into(self, study: Study, review: Review) -> Review:
        """Return the ranking with what is expected now; as it was ranked until that is known."""
        if review.round is None:
            return review
        key = _key(study, review.round)
        self.ask(key, partial(_find, study, review.round))
        found = self.known(key)
        if found is not None and not isinstance(found, Failure) and self._newest != (key, found):
            self._newest, self._filled = (key, found), {}
        if self._newest is None or self._newest[0][:2] != key[:2]:
            return review
        return replace(review, rows=tuple(map(self._with_expected, review.rows)))

    def _with_expected(self, row: ReviewRow) -> ReviewRow:
        assert self._newest is not None
        known, found = self._filled.get(row.name, (None, row.score))
        if known is not row.score:  # a table is parsed once: its rows stay the same objects
            found = filled(row.score, *self._newest[1])
            self._filled[row.name] = row.score, found
        return row if found == row.score else replace(row, score=found)


def _find(study: Study, round_: int) -> Known | Failure:
    """What is to be expected; a failure is told to whoever opens the file."""
    return attempt(lambda: (kind_of_round(study, round_), shift_of(study)))


def _key(study: Study, round_: int) -> Key:
    names = [n for n, decision in study.decisions.all().items() if decision.state == "corrected"]
    return study.folder, round_, tuple((n, file_stamp(study.masks.path(n))) for n in names)
