"""What is reviewed: the newest ranked masks, what a person made of them, and what comes next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.atomic_files import read_json
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.drafts import drafted
from napari_singlestrip.study.round_facts import Unfinished, unfinished_round
from napari_singlestrip.study.round_folder import RoundFolder
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import Decision, ScoreRow, Standing
from napari_singlestrip.study.training_set import TrainingMask, masks_of_round

ReviewState = Literal[
    "to review", "accepted", "corrected", "rejected", "painted", "unsaved changes"
]
Stamp = tuple[str, int, int] | None  # file, when it was written, round


@dataclass(frozen=True)
class ReviewRow:
    """A ranked mask and what a person made of it.

    Attributes
    ----------
    score : ScoreRow
    decision : Decision or None
    unsaved : bool
        Whether the mask was changed and neither kept nor discarded yet.
    earlier : bool
        Whether the decision is about the mask of an earlier round than the one that is ranked.
    held_out : bool
        Whether the scan is only for checking: never learned from.
    standing : {"current", "older", "replaced"}
        Whether the decision is about the mask that is there.
    """

    score: ScoreRow
    decision: Decision | None = None
    unsaved: bool = False
    earlier: bool = False
    held_out: bool = False
    standing: Standing = "current"

    @property
    def name(self) -> str:
        """Name of the scan."""
        return self.score.scan

    @property
    def state(self) -> ReviewState:
        """What the person should know first: nothing is said yet of a mask that is another now."""
        if self.unsaved:
            return "unsaved changes"
        if self.decision is None or self.standing == "older":
            return "to review"
        return self.decision.state

    @property
    def is_open(self) -> bool:
        """Whether the person should look at it: the mask that was rejected is not there any more.

        A mask that was accepted in an earlier round was found good, and stays so.
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


@dataclass(frozen=True)
class FinetuningPlan:
    """What a click on "Fine-tune" would do.

    Attributes
    ----------
    masks : tuple of TrainingMask
        Exactly what the worker would learn from.
    unfinished : {"", "fine-tuning", "ranking"}
        What a stopped job left to be done in the newest round.
    problem : str
        Why it cannot be started, and what to do; empty when it can.
    """

    masks: tuple[TrainingMask, ...] = ()
    unfinished: Unfinished = ""
    problem: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """Number of masks by kind, in the order painted, corrected, accepted, selected."""
        kinds = [mask.kind for mask in self.masks]
        return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


@dataclass(frozen=True, eq=False)
class Change:
    """How a mask differs from another one, such as that of the round before.

    Attributes
    ----------
    dice : float
    volume_ml : float
        Growth.
    """

    dice: float
    volume_ml: float


@dataclass(frozen=True)
class Review:
    """The newest ranked round.

    Attributes
    ----------
    round : int or None
        None when nothing was ranked yet.
    rows : tuple of ReviewRow
        Best first.
    """

    round: int | None = None
    rows: tuple[ReviewRow, ...] = field(default=(), repr=False)

    def undecided_to(self, rank: int) -> list[str]:
        """Names of the scans down to a rank that nobody said anything about."""
        return [
            row.name for row in self.rows
            if 0 < row.score.rank <= rank and row.state == "to review" and not row.held_out
        ]


def ranked_round(study: Study) -> int | None:
    """Newest round that was ranked; None when there is none."""
    return next((r for r in reversed(study.rounds()) if study.scores(r)), None)


def review(study: Study) -> Review:
    """Return the newest ranking with what a person made of it.

    Raises
    ------
    UserError
        If a table of the study is damaged.
    """
    round_ = ranked_round(study)
    if round_ is None:
        return Review()
    decisions, unsaved = study.decisions(), set(drafted(study.folder))
    held_out = {entry.name for entry in study.scans if entry.role == "held_out"}
    known = set(study.names)
    rows = [
        _row(study, score, decisions.get(score.scan), round_, unsaved, held_out)
        for score in study.scores(round_) if score.scan in known
    ]
    rows.sort(key=lambda row: (row.score.rank == 0, row.score.rank, row.name))
    return Review(round_, tuple(rows))


def finetuning_plan(study: Study, top_ranked: bool | None = None) -> FinetuningPlan:
    """Say what fine-tuning would learn from; the worker asks the same function.

    Parameters
    ----------
    study : Study
    top_ranked : bool, optional
        Whether to use the masks that the ranking selects and nobody decided about, too; if not
        said, as the study's settings do.
    """
    unfinished = unfinished_round(study)
    newest = study.current_round()
    config = study.settings().finetuning
    if top_ranked is not None:
        config = config.model_copy(
            update={"pseudo_labels": "selected" if top_ranked else "decided"}
        )
    try:
        masks = tuple(masks_of_round(study, newest + (unfinished == ""), config))
    except UserError as error:
        return FinetuningPlan((), unfinished, f"{error.what} Paint one in step 2.")
    problem = ""
    if not unfinished and not _anything_new(study, masks):
        problem = "Nothing new to learn from yet: accept or correct a mask."
    return FinetuningPlan(masks, unfinished, problem)


def stamp(study: Study, name: str) -> Stamp:
    """Return what tells one predicted mask of a scan from a newer one; None without any.

    Raises
    ------
    UserError
        If the file cannot be read.
    """
    found = study.newest_pseudo_label(name)
    if found is None:
        return None
    try:
        return str(found[1]), found[1].stat().st_mtime_ns, found[0]
    except OSError as error:
        raise UserError(f"Cannot read {found[1]}: {error}.", "Check the disk.") from error


def change(mask: NDArray[np.bool_], before: NDArray[np.bool_], voxel_ml: float) -> Change:
    """Compare a mask with the one before.

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
) -> ReviewRow:
    about = None if decision is None else decision.round
    by_prediction = decision is not None and decision.state in ("accepted", "rejected")
    earlier = by_prediction and about is not None and about < round_
    standing: Standing = "current" if decision is None else study.standing(decision)
    return ReviewRow(
        score, decision, score.scan in unsaved, earlier, score.scan in held_out, standing
    )


def _anything_new(study: Study, masks: Sequence[TrainingMask]) -> bool:
    """Whether a mask was not learned from yet, as it is now."""
    path = RoundFolder(study.round_dir(study.current_round())).training_set
    try:
        known = {_identity(row) for row in read_json(path)}
        written = path.stat().st_mtime
    except (OSError, UserError, LookupError, TypeError):  # a record, not needed to go on
        return any(mask.kind != "painted" for mask in masks)
    for mask in masks:
        file = study.folder / mask.path
        if _identity(vars(mask)) not in known or _modified(file) > written:
            return True
    return False


def _identity(row: Mapping[str, object]) -> tuple[object, ...]:
    return row["scan"], row["path"]


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
