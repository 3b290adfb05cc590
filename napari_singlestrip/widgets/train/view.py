"""The view of the step "train": a snapshot made from the study's state and the job."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Literal

from napari_singlestrip.events import Crashed, Failed
from napari_singlestrip.texts import counted, printable
from napari_singlestrip.vocabulary import LEARNING_STAGES
from napari_singlestrip.widgets.train.facts import (
    Smaller,
    Stage,
    TrainingFacts,
    out_of_memory,
    smaller,
)

if TYPE_CHECKING:
    from napari_singlestrip.widgets.session.job_process import JobStatus

Action = Literal["restart", "leave", "keep settings", "retry"]
SET_ASIDE = "Set the rounds aside and train from the beginning"


@dataclass(frozen=True)
class ButtonView:
    """State of a button."""

    text: str
    tip: str
    enabled: bool
    visible: bool


@dataclass(frozen=True)
class Choice:
    """A button of a question: text, tooltip and action."""

    text: str
    tip: str
    action: Action


@dataclass(frozen=True)
class Question:
    """A question to the user, within the page."""

    text: str
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True)
class TrainView:
    """Everything the step shows that depends on study and job.

    Attributes
    ----------
    learns : str
        What training uses.
    train : ButtonView
    review_visible : bool
        Whether there are ranked masks to review.
    anew_visible, anew_enabled : bool
        Of the button that starts over.
    question : Question or None
    stages : tuple of Stage
    painted : bool
        Whether there is a mask to train on.
    less : Smaller or None
        The smaller job that the question offers.
    less_is_anew : bool
        Whether that sets the existing training aside.
    """

    learns: str
    train: ButtonView
    review_visible: bool
    anew_visible: bool
    anew_enabled: bool
    question: Question | None
    stages: tuple[Stage, ...]
    painted: bool
    less: Smaller | None = None
    less_is_anew: bool = False


def train_view(
    has_study: bool, facts: TrainingFacts | None, status: JobStatus, confirming: bool = False
) -> TrainView:
    """Make the snapshot.

    Parameters
    ----------
    has_study : bool
        Whether a study is open.
    facts : TrainingFacts or None
        None without a study, or if its folder cannot be read.
    status : JobStatus
    confirming : bool
        Whether starting over awaits confirmation.
    """
    painted = facts is not None and bool(facts.by_hand)
    less = _less(facts, status)
    anew = less is not None and less.anew and facts is not None and facts.begun is not None
    return TrainView(
        _learns(has_study, facts),
        _train_button(facts, status, painted),
        review_visible=facts is not None and facts.ranked and not status.blocks,
        anew_visible=facts is not None and facts.begun is not None and not status.blocks,
        anew_enabled=painted,
        question=_question(facts, status, confirming, less, anew),
        stages=stages_of(facts, status),
        painted=painted,
        less=less,
        less_is_anew=anew,
    )


def stages_of(facts: TrainingFacts | None, status: JobStatus) -> tuple[Stage, ...]:
    """Return the stages up to the first ranking, or of the running fine-tuning."""
    if status.busy and "finetune" in status.stages:
        passed = status.stages[: max(0, status.stage_number - 1)]
        return tuple(Stage(n, "done" if n in passed else "to do") for n in status.stages)
    return () if facts is None else facts.stages


def _learns(has_study: bool, facts: TrainingFacts | None) -> str:
    if not has_study:
        return "There is no study yet. <a href='scans'>Add scans in step 1</a>."
    if facts is None or not facts.by_hand:
        return (
            "Nothing is painted yet. <a href='paint'>Paint the brain of one scan in step 2"
            "</a>, or load a mask there: one is enough."
        )
    if facts.judged:
        return _learns_from_judged(facts)
    more = " and others" if len(facts.by_hand) > 3 else ""
    return (
        f"Trains on <b>{_masks_by_hand(facts)}</b>: {_named(facts.by_hand)}{more}. Then it "
        f"predicts and ranks {_to_predict(facts)}."
    )


def _masks_by_hand(facts: TrainingFacts) -> str:
    n_painted, n_corrected = len(facts.painted), len(facts.corrected)
    if not n_corrected:
        return counted(n_painted, "painted mask")
    corrected = counted(n_corrected, "corrected mask")
    return f"{n_painted} painted and {corrected}" if n_painted else corrected


def _to_predict(facts: TrainingFacts) -> str:
    """Say how many scans are predicted: with the painted ones, all that the study has."""
    if not facts.corrected:
        return counted(facts.n_to_predict, "other scan")
    if not facts.painted:
        return f"all {facts.n_to_predict} scans"
    scans = counted(facts.n_to_predict, "scan")
    return f"the {scans} that {'was' if facts.n_to_predict == 1 else 'were'} not painted"


def _learns_from_judged(facts: TrainingFacts) -> str:
    masks = " + ".join(
        f"{n} {'top-ranked' if kind == 'selected' else kind}"
        for kind, n in facts.learns_from.items()
    )
    return (
        f"The masks of {_named(facts.judged)} are ranked in <a href='review'>step 4</a>; no "
        f"network is trained yet. It would learn from <b>{masks}</b>, then predict and rank "
        f"{counted(facts.n_to_predict, 'scan')}: the more masks you accept or correct first, the "
        "better."
    )


def _train_button(facts: TrainingFacts | None, status: JobStatus, painted: bool) -> ButtonView:
    done = facts is not None and facts.done
    other = facts is not None and bool(facts.other_settings)
    return ButtonView(
        _train_words(facts, status),
        "A job is running: see below" if status.blocks
        else "First choose which settings to use: see below" if other
        else "Trains, predicts and ranks; can be stopped and resumed at any time" if painted
        else "Paint one brain first, in step 2",
        enabled=painted and not status.blocks and not done and not other,
        visible=not done or status.blocks,
    )


def _train_words(facts: TrainingFacts | None, status: JobStatus) -> str:
    if status.blocks:
        return "Training…" if status.kind in ("run", "follow") else "Wait for the job below…"
    left = facts.unfinished if facts is not None else None
    if left is None:
        return "Train"
    if left.name in LEARNING_STAGES:
        what = "training" if left.name == "train" else "the autoencoder"
        return f"Resume {what} (step {left.step} of {left.n_steps})"
    return f"Resume: {left.name} {counted(left.n_steps - left.step, 'scan')}"


def _question(
    facts: TrainingFacts | None,
    status: JobStatus,
    confirming: bool,
    less: Smaller | None,
    anew: bool,
) -> Question | None:
    if status.blocks or facts is None or not facts.by_hand:
        return None
    if confirming:
        return Question(
            "Start over? The rounds so far, their models and rankings, are set aside in the "
            "study's folder; nothing is deleted. Masks and decisions stay.",
            (Choice("Start over", SET_ASIDE, "restart"),
             Choice("Cancel", "Leave everything as it is", "leave")),
        )
    if ran_out_of_memory(status):
        return _smaller_job(less, anew)
    if facts.other_settings:
        return _other_settings(facts.other_settings)
    if facts.painted_since:
        return Question(
            f"The mask of {_named(facts.painted_since)} was painted after training began. The "
            "current model has not seen it: start over to include it. Fine-tuning will use it "
            "anyway.",
            (Choice("Start over", SET_ASIDE, "restart"),),
        )
    return None


def _other_settings(names: tuple[str, ...]) -> Question:
    named = ", ".join(names[:4]) + (" and others" if len(names) > 4 else "")
    return Question(
        f"This study was trained with other settings ({named}). The new ones need training from "
        "the beginning; the existing training is set aside, not deleted.",
        (Choice("Start over with the new settings", "Set the rounds aside and train again",
                "restart"),
         Choice("Keep the old settings", "Go back to the settings it was trained with",
                "keep settings")),
    )


def _smaller_job(less: Smaller | None, anew: bool) -> Question:
    if less is None:
        return Question(
            "There was not enough memory, and the job is as small as it can be: close other "
            "programs and try again, or use a computer with more memory."
        )
    after = " Training starts over; the existing one is set aside." if anew else ""
    return Question(
        f"There was not enough memory. A smaller job may fit: {less.words}.{after}",
        (Choice("Retry smaller", f"Try again with {less.words}", "retry"),),
    )


def _less(facts: TrainingFacts | None, status: JobStatus) -> Smaller | None:
    if facts is None or not ran_out_of_memory(status):
        return None
    return smaller(facts.present, status.stage)


def ran_out_of_memory(status: JobStatus) -> bool:
    """Whether the last training ran out of memory."""
    if status.kind != "run":
        return False
    if isinstance(status.end, Failed):
        return out_of_memory(status.end.what, None)
    return isinstance(status.end, Crashed) and out_of_memory("", status.end.exit_code)


def _named(scans: tuple[str, ...]) -> str:
    """Names of scans, escaped for rich text."""
    return ", ".join(escape(printable(scan)) for scan in scans[:3])
