"""The review: the latest ranked masks, the decisions about them, and the next training."""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.judging.ranking_score import ranked_by, score_of_ranking
from napari_singlestrip.errors import UserError
from napari_singlestrip.files.stamp import FileStamp, file_stamp
from napari_singlestrip.study.drafts import drafted
from napari_singlestrip.study.other_masks import programs_of
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import Decision, ScoreRow, Standing

ReviewState = Literal[
    "to review", "accepted", "corrected", "rejected", "painted", "unsaved changes"
]
SCORES = ("mean", "autoencoder", "consistency")  # as of `ranked_by`
Stamp = tuple[str, FileStamp, int] | None  # file, its stamp, round


@dataclass(frozen=True)
class ReviewRow:
    """A ranked mask and the decision about it.

    Attributes
    ----------
    score : ScoreRow
    decision : Decision or None
    unsaved : bool
        Whether the mask has changes that are neither kept nor discarded yet.
    earlier : bool
        Whether the decision is about the mask of an earlier round than the ranked one.
    held_out : bool
        Whether the scan is held out: never used for training.
    standing : {"current", "older", "replaced"}
        Whether the decision is about the present mask.
    ranking_score : float
        What it is ranked by; lower is better, NaN if unknown.
    """

    score: ScoreRow
    decision: Decision | None = None
    unsaved: bool = False
    earlier: bool = False
    held_out: bool = False
    standing: Standing = "current"
    ranking_score: float = math.nan

    @property
    def name(self) -> str:
        """Name of the scan."""
        return self.score.scan

    @property
    def state(self) -> ReviewState:
        """The state to show first; a mask that changed since its decision is to review again."""
        if self.unsaved:
            return "unsaved changes"
        if self.decision is None or self.standing == "older":
            return "to review"
        return self.decision.state

    @property
    def by_hand(self) -> bool:
        """Whether the mask on screen is the person's own, which the scores are not about."""
        return self.state in ("corrected", "painted")

    @property
    def is_open(self) -> bool:
        """Whether the mask is to be reviewed, also if another mask was rejected before.

        A mask that was accepted in an earlier round stays accepted.
        """
        return self.state in ("to review", "unsaved changes") or (
            self.earlier and self.state == "rejected"
        )

    @property
    def in_words(self) -> str:
        """The state, for the table."""
        if self.decision is not None and self.standing != "current" and not self.unsaved:
            return self.decision.in_words(self.standing)
        return f"{self.state} before" if self.earlier and not self.unsaved else self.state


@dataclass(frozen=True, eq=False)
class Change:
    """The difference between two masks, such as those of successive rounds.

    Attributes
    ----------
    dice : float
    volume_ml : float
        Increase in volume.
    """

    dice: float
    volume_ml: float


@dataclass(frozen=True)
class ScoresKnown:
    """What is known of the scores of a ranking.

    Attributes
    ----------
    n_ranks : int
        The last rank.
    last_selected : int
        The last rank of a mask selected for training; the last rank if none is.
    has_expected, has_agreement : bool
        Whether any mask has an expected Dice, or a consistency.
    """

    n_ranks: int = 0
    last_selected: int = 0
    has_expected: bool = False
    has_agreement: bool = False

    @classmethod
    def of(cls, scores: Sequence[ScoreRow]) -> ScoresKnown:
        """Look through scores."""
        last = max((score.rank for score in scores), default=0)
        return cls(
            last, max((score.rank for score in scores if score.selected), default=last),
            any(math.isfinite(score.expected_dice) for score in scores),
            any(math.isfinite(score.consistency) for score in scores),
        )


@dataclass(frozen=True)
class Review:
    """The latest ranked round.

    Attributes
    ----------
    round : int or None
        None if nothing was ranked yet.
    rows : tuple of ReviewRow
        Best first.
    programs : tuple of str
        What made the masks, where it was no network of this study.
    ranked_by : str
        Which of `SCORES` the ranking follows; empty if unknown.
    """

    round: int | None = None
    rows: tuple[ReviewRow, ...] = field(default=(), repr=False)
    programs: tuple[str, ...] = ()
    ranked_by: str = ""

    @cached_property
    def by_name(self) -> dict[str, ReviewRow]:
        """The rows by scan."""
        return {row.name: row for row in self.rows}

    @cached_property
    def states(self) -> Counter[str]:
        """Number of masks in each state."""
        return Counter(row.state for row in self.rows)

    @cached_property
    def n_unsaved(self) -> int:
        """Number of masks with changes that are neither kept nor discarded."""
        return sum(row.unsaved for row in self.rows)

    @cached_property
    def scores(self) -> ScoresKnown:
        """What is known of the scores as a whole."""
        return ScoresKnown.of([row.score for row in self.rows])

    @cached_property
    def _places(self) -> dict[str, int]:
        return {row.name: n for n, row in enumerate(self.rows)}

    @cached_property
    def _undecided_ranks(self) -> list[int]:
        return sorted(row.score.rank for row in self.rows if _may_be_accepted(row))

    def undecided_to(self, rank: int) -> list[str]:
        """Names of the undecided scans down to a rank."""
        return [r.name for r in self.rows if r.score.rank <= rank and _may_be_accepted(r)]

    def n_undecided_to(self, rank: int) -> int:
        """Return the length of `undecided_to`."""
        return bisect_right(self._undecided_ranks, rank)

    def with_row(self, row: ReviewRow) -> Review:
        """Replace the row of a scan.

        What follows from all rows follows from what it was before: among thousands, each key that
        decides changes one.
        """
        before, place = self.by_name[row.name], self._places[row.name]
        rows = (*self.rows[:place], row, *self.rows[place + 1 :])
        ranks = self._undecided_ranks.copy()
        if _may_be_accepted(before):
            ranks.remove(before.score.rank)
        if _may_be_accepted(row):
            insort(ranks, row.score.rank)
        known: dict[str, object] = {
            "by_name": self.by_name | {row.name: row},
            "states": self.states + Counter([row.state]) - Counter([before.state]),
            "n_unsaved": self.n_unsaved + row.unsaved - before.unsaved,
            "_places": self._places, "_undecided_ranks": ranks,
        }  # fmt: skip
        if row.score is before.score:
            known["scores"] = self.scores
        made = replace(self, rows=rows)
        vars(made).update(known)  # where `cached_property` keeps them
        return made


def _may_be_accepted(row: ReviewRow) -> bool:
    """Whether "Accept the rest" takes a mask: it is ranked and undecided."""
    return row.score.rank > 0 and row.state == "to review" and not row.held_out


def ranked_round(study: Study) -> int | None:
    """Latest round in view that was ranked; None if there is none."""
    return next((r for r in reversed(study.rounds.in_view()) if study.rounds.scores(r)), None)


def newer_round(study: Study) -> int | None:
    """Latest ranked round, if it is later than all in view; None if there is none."""
    later = set(study.rounds.numbers()) - set(study.rounds.in_view())
    return next((r for r in sorted(later, reverse=True) if study.rounds.scores(r)), None)


def review(study: Study) -> Review:
    """Return the latest ranking with the decisions about it.

    Raises
    ------
    UserError
        If a table of the study is damaged.
    """
    round_ = ranked_round(study)
    if round_ is None:
        return Review()
    decisions, unsaved = study.decisions.all(), set(drafted(study.folder))
    held_out = {entry.name for entry in study.scans if entry.role == "held_out"}
    known = set(study.scans.names)
    scores = [score for score in study.rounds.scores(round_) if score.scan in known]
    scores.sort(key=lambda score: (score.rank == 0, score.rank, score.scan))
    by, values = _ranking_scores(study, scores)
    rows = [
        _row(study, score, decisions.get(score.scan), round_, unsaved, held_out, value)
        for score, value in zip(scores, values, strict=True)
    ]
    return Review(round_, tuple(rows), () if round_ else programs_of(study), by)


def _ranking_scores(study: Study, scores: Sequence[ScoreRow]) -> tuple[str, list[float]]:
    """Which score masks were ranked by, and its value for each; NaN if that is unknown."""
    errors = [score.autoencoder_error for score in scores]
    agreements = [score.consistency for score in scores]
    likely = dict.fromkeys((study.settings().ranking.score, *SCORES))
    by = score_of_ranking(errors, agreements, likely)
    values = ranked_by(errors, agreements, by).tolist() if by else [math.nan] * len(scores)
    return by, [value if math.isfinite(value) else math.nan for value in values]


def renewed(study: Study, found: Review, name: str) -> Review:
    """Return a ranking with the decision on one scan read again: fast among thousands.

    Parameters
    ----------
    study : Study
    found : Review
        As of `review`.
    name : str
        Scan.
    """
    row = found.by_name.get(name)
    if row is None:
        return found
    decision, unsaved = study.decisions.of(name), set(drafted(study.folder))
    held_out = {name} if row.held_out else set()
    new = _row(
        study, row.score, decision, found.round or 0, unsaved, held_out, row.ranking_score
    )
    return found.with_row(new)


def stamp(study: Study, name: str) -> Stamp:
    """Return a stamp that changes when a scan's predicted mask is replaced; None without one.

    For caches in the window: based on the file's stamp, as it is needed often.

    Raises
    ------
    UserError
        If the file cannot be read.
    """
    found = study.rounds.newest_pseudo_label(name)
    if found is None:
        return None
    round_, path = found
    on_disk = file_stamp(path)
    if on_disk is None:
        raise UserError(f"Cannot read {path}.", "Check the disk.")
    return str(path), on_disk, round_


def change(mask: NDArray[np.bool_], before: NDArray[np.bool_], voxel_ml: float) -> Change:
    """Compare a mask with the previous one.

    Parameters
    ----------
    mask, before : ndarray of bool, shape (i, j, k)
    voxel_ml : float
        Volume of a voxel.
    """
    from napari_singlestrip.engine.masks.metrics import dice

    growth = (int(np.count_nonzero(mask)) - int(np.count_nonzero(before))) * voxel_ml
    return Change(dice(mask, before), growth)


def _row(
    study: Study,
    score: ScoreRow,
    decision: Decision | None,
    round_: int,
    unsaved: set[str],
    held_out: set[str],
    ranking_score: float,
) -> ReviewRow:
    about = None if decision is None else decision.round
    by_prediction = decision is not None and decision.state in ("accepted", "rejected")
    earlier = by_prediction and about is not None and about < round_
    standing: Standing = "current" if decision is None else study.decisions.standing(decision)
    return ReviewRow(
        score, decision, score.scan in unsaved, earlier, score.scan in held_out, standing,
        ranking_score,
    )
