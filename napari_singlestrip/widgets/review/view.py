"""What the step "review" shows: one snapshot, made of the ranked masks and the job."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, get_args

from napari_singlestrip.engine.masks.mask_change import LEAST_OVERLAP
from napari_singlestrip.study.finetuning_plan import FinetuningPlan
from napari_singlestrip.study.review import Review, ReviewRow, ReviewState
from napari_singlestrip.texts import printable

if TYPE_CHECKING:
    from napari_singlestrip.engine.masks.mask_change import MaskChange
    from napari_singlestrip.widgets.review.reference_dice import Truth
    from napari_singlestrip.widgets.session.job_process import JobStatus

STATES: tuple[ReviewState, ...] = get_args(ReviewState)
KINDS = {"selected": "top-ranked"}
SAID = {"unsaved changes": "with unsaved changes"}
NO_STUDY = "There is nothing to review yet: open a study or add scans first."
NOT_RANKED = (
    "Nothing is ranked yet. Train first: then all other scans get a mask, and the masks are "
    "ranked here, those most like a brain on top."
)
NOT_JUDGED = (
    "The masks of other programs are not ranked yet. Have them judged in step 1: what was taken in "
    "already stays."
)
RUNNING = "A job is running: the ranked masks appear here as soon as they are there."
CHANGES_TIP = (
    f"Changed: by more than {1 - LEAST_OVERLAP:.0%} (1 - overlap with the mask of the previous "
    "round). The column \"Change\" has it for each mask"
)
MAX_PROGRAMS = 3  # that are named
BUSY = "A job is running: wait for it, or stop it."


@dataclass(frozen=True)
class ReviewFacts:
    """What the study says, and what was measured in the background.

    Attributes
    ----------
    review : Review
        The newest ranking.
    truth : Truth
        Dice with reference masks, where there are any.
    changes : mapping of str to MaskChange
        By scan: how its mask changed since the previous round.
    plan : FinetuningPlan
        What fine-tuning would learn from.
    not_judged : bool
        Whether masks of other programs were taken in, and wait to be ranked.
    """

    review: Review
    truth: Truth
    changes: Mapping[str, MaskChange]
    plan: FinetuningPlan
    not_judged: bool = False


@dataclass(frozen=True)
class NothingView:
    """The page while nothing is ranked: why, and a button that goes where that is done."""

    says: str
    button: str
    step: str


@dataclass(frozen=True)
class HeadView:
    """What is said of all masks, and the columns of the table.

    Attributes
    ----------
    summary : str
        What is there, in numbers.
    tip : str
        What is counted as a change; empty while nothing is said of changes.
    has_truth : bool
        Whether the true Dice gets a column.
    is_later : bool
        Whether there is a previous round to compare with.
    is_expected : bool
        Whether the Dice to expect is known of any mask.
    has_agreement : bool
        Whether the agreement of any mask was measured.
    by_programs : bool
        Whether other programs made the masks.
    ranked_by : str
        Which score ranks them, as in `Review`.
    """

    summary: str
    tip: str
    has_truth: bool
    is_later: bool
    is_expected: bool
    has_agreement: bool
    by_programs: bool
    ranked_by: str = ""


@dataclass(frozen=True)
class DecisionView:
    """What can be decided about the scan on screen.

    Attributes
    ----------
    row : ReviewRow or None
        None when it has no ranked mask: then nothing can be.
    discard_enabled : bool
        Whether there is a mask of a person to throw away.
    undo_enabled : bool
    undo_tip : str
    """

    row: ReviewRow | None
    discard_enabled: bool
    undo_enabled: bool
    undo_tip: str


@dataclass(frozen=True)
class FinetuneView:
    """Accepting the rest, and fine-tuning.

    Attributes
    ----------
    review : Review
        Says which masks are undecided down to a rank.
    n_ranks : int
        The lowest rank there is.
    first_rank : int
        The rank to begin with: that of the last mask that the ranking selects.
    plan : FinetuningPlan
    text : str
        Of the button: exactly what would be done.
    enabled : bool
    top_ranked_visible, top_ranked_used : bool
        Of the masks that only the ranking found good.
    why : str
        Why the button is as it is; empty for nothing to say.
    """

    review: Review
    n_ranks: int
    first_rank: int
    plan: FinetuningPlan
    text: str
    enabled: bool
    top_ranked_visible: bool
    top_ranked_used: bool
    why: str


@dataclass(frozen=True)
class ReviewView:
    """All that the step shows which follows from the study, the scan on screen and the job.

    Attributes
    ----------
    facts : ReviewFacts
        The table, the plot and the gallery show it row by row.
    scan : str
        On screen.
    nothing : NothingView or None
        In the place of all that follows, while nothing is ranked.
    head : HeadView
    decision : DecisionView
    finetune : FinetuneView
    """

    facts: ReviewFacts
    scan: str
    nothing: NothingView | None
    head: HeadView
    decision: DecisionView
    finetune: FinetuneView


def review_view(
    has_study: bool, facts: ReviewFacts, status: JobStatus, scan: str = "", last_step: str = ""
) -> ReviewView:
    """Make the snapshot.

    Parameters
    ----------
    has_study : bool
        Whether a study is open.
    facts : ReviewFacts
    status : JobStatus
    scan : str
        On screen; empty for none.
    last_step : str
        The decision that can be taken back, in words; empty for none.
    """
    row = facts.review.by_name.get(scan)
    ranked = facts.review.round is not None
    return ReviewView(
        facts, scan,
        nothing=None if ranked else _nothing(has_study, facts.not_judged, status.busy),
        head=_head(facts),
        decision=decision_view(row, last_step),
        finetune=finetune_view(facts.review, facts.plan, status.blocks),
    )


def decision_view(row: ReviewRow | None, last_step: str) -> DecisionView:
    """Say what can be decided about a scan, and taken back.

    Parameters
    ----------
    row : ReviewRow or None
        None without a ranked mask.
    last_step : str
        The decision that can be taken back, in words; empty for none.
    """
    return DecisionView(
        row,
        row is not None and (row.unsaved or row.state == "corrected"),
        bool(last_step),
        f"Take back: {last_step}" if last_step else "Nothing to take back yet",
    )


def finetune_view(review: Review, plan: FinetuningPlan, busy: bool) -> FinetuneView:
    """Say what accepting the rest, and fine-tuning, would do.

    Parameters
    ----------
    review : Review
    plan : FinetuningPlan
    busy : bool
        Whether a job is running.
    """
    problem = BUSY if busy else plan.problem
    ranking = plan.unfinished == "ranking"
    hint = problem or ("Ranking was stopped: this finishes it." if ranking else "")
    return FinetuneView(
        review, review.scores.n_ranks, review.scores.last_selected, plan,
        plan_in_words(plan), not problem, not ranking, "selected" in plan.counts,
        " ".join(filter(None, (hint, _unsaved(review)))),
    )


def with_unsaved(found: Review, names: Collection[str]) -> Review:
    """Add changes that could not be written: they must not be skipped either.

    Parameters
    ----------
    found : Review
    names : collection of str
        Scans with changes that were neither kept nor discarded.
    """
    if all(row.unsaved for row in found.rows if row.name in names):
        return found
    rows = (replace(row, unsaved=row.unsaved or row.name in names) for row in found.rows)
    return replace(found, rows=tuple(rows))


def plan_in_words(plan: FinetuningPlan) -> str:
    """Return the text of the button: exactly what would be done."""
    if plan.unfinished == "ranking":
        return "Finish predicting and ranking"
    begin, go_on = ("Train", "Go on training") if plan.is_first else (
        "Fine-tune", "Go on fine-tuning"
    )
    verb = go_on if plan.unfinished else begin
    parts = [f"{n} {KINDS.get(kind, kind)}" for kind, n in plan.counts.items()]
    return f"{verb} with {' + '.join(parts)}" if parts else verb


def _nothing(has_study: bool, not_judged: bool, busy: bool) -> NothingView:
    missing = NO_STUDY if not has_study else NOT_JUDGED if not_judged else NOT_RANKED
    says = RUNNING if has_study and busy else missing
    if missing == NOT_RANKED:
        return NothingView(says, "Go to step 3: Train", "train")
    return NothingView(says, "Go to step 1: Scans", "scans")


def _head(facts: ReviewFacts) -> HeadView:
    review, n = facts.review, len(facts.review.rows)
    states = review.states
    changed = ""
    if facts.changes and len(facts.changes) >= n:  # once all were compared
        changed = f"{sum(one.changed for one in facts.changes.values()) or 'none'} changed much"
    said = (_together(f"{states[state]} {SAID.get(state, state)}")
            for state in STATES if states[state])
    summary = _joined(f"<b>{_title(review)}</b>: {n} masks", *said, changed)
    has_truth = bool(facts.truth.dices or facts.truth.n_missing)
    return HeadView(
        summary, CHANGES_TIP if changed else "", has_truth, bool(review.round),
        review.scores.has_expected, review.scores.has_agreement, bool(review.programs),
        review.ranked_by,
    )


def _title(review: Review) -> str:
    if review.programs:
        return f"Masks of {_named(review.programs)}"
    return "First training" if not review.round else f"Fine-tuning {review.round}"


def _named(programs: Sequence[str]) -> str:
    """Names of folders, within rich text."""
    more = len(programs) - MAX_PROGRAMS
    shown = ", ".join(escape(printable(name)) for name in programs[:MAX_PROGRAMS])
    return f"{shown} and {more} more" if more > 0 else shown


def _together(part: str) -> str:
    """Keep a part on one line."""
    return part.replace(" ", "\u00a0")


def _joined(*parts: str) -> str:
    return " \u00b7 ".join(filter(None, parts))


def _unsaved(review: Review) -> str:
    n = review.n_unsaved
    if not n:
        return ""
    scans, they = ("1 scan has", "it is") if n == 1 else (f"{n} scans have", "they are")
    return f"{scans} unsaved changes: {they} not used until you press S."
