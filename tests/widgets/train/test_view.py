"""The snapshot of the step "train", without a window."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.events import Crashed, Failed
from napari_singlestrip.vocabulary import FIRST_STAGES, LATER_STAGES
from napari_singlestrip.widgets.session.job_process import JobStatus
from napari_singlestrip.widgets.train.facts import Stage, TrainingFacts
from napari_singlestrip.widgets.train.view import train_view

IDLE = JobStatus()
SETTINGS = Settings()
NEW = TrainingFacts(
    painted=("a<b",), n_to_predict=3, stages=tuple(Stage(name, "to do") for name in FIRST_STAGES),
    begun=None, other_settings=(), device="", present=SETTINGS,
)
BEGUN = replace(NEW, begun=SETTINGS, stages=(Stage("train", "begun", 30, 60), *NEW.stages[1:]))
DONE = replace(
    BEGUN, stages=tuple(Stage(name, "done") for name in FIRST_STAGES), ranked=True
)
TRAINED = replace(
    BEGUN, stages=(*DONE.stages[:2], Stage("predict", "begun", 1, 3), Stage("rank", "to do"))
)


def busy(**more: Any) -> JobStatus:
    return JobStatus("running", "run", stage="train", **more)


def test_nothing_can_be_trained_without_a_mask() -> None:
    none, empty = train_view(False, None, IDLE), train_view(True, replace(NEW, painted=()), IDLE)
    assert "no study" in none.learns and "Nothing is painted" in empty.learns
    for view in (none, empty):
        assert not view.train.enabled and view.train.visible and not view.painted
        assert "Paint one brain" in view.train.tip
        assert not view.anew_visible and not view.review_visible and view.question is None
    assert none.stages == ()


def test_what_it_learns_from_is_named_and_no_markup() -> None:
    view = train_view(True, NEW, IDLE)
    assert "1 painted mask</b>: a&lt;b." in view.learns and "3 other scans" in view.learns
    many = train_view(True, replace(NEW, painted=tuple("abcd"), n_to_predict=1), IDLE)
    assert "4 painted masks" in many.learns and "a, b, c and others" in many.learns
    assert "1 other scan." in many.learns


def test_the_scans_that_it_learns_from_and_predicts_add_up() -> None:
    """Corrected masks are learned from, and predicted again."""
    facts = replace(NEW, painted=("a",), corrected=("b",), n_to_predict=11)  # of 12
    says = train_view(True, facts, IDLE).learns
    assert "1 painted and 1 corrected mask</b>: a, b." in says
    assert says.endswith("predicts and ranks the 11 scans that were not painted.")
    alone = train_view(True, replace(facts, painted=(), n_to_predict=12), IDLE)
    assert "1 corrected mask</b>: b." in alone.learns and "all 12 scans" in alone.learns
    assert alone.train.enabled


@pytest.mark.parametrize(("facts", "status", "text", "enabled", "visible"), [
    (NEW, IDLE, "Train", True, True),
    (BEGUN, IDLE, "Resume training (step 30 of 60)", True, True),
    (TRAINED, IDLE, "Resume: predict 2 scans", True, True),
    (BEGUN, busy(), "Training…", False, True),
    (BEGUN, JobStatus("running", "apply"), "Wait for the job below…", False, True),
    (DONE, IDLE, "Train", False, False),
    (DONE, busy(), "Training…", False, True),
    (BEGUN, busy(by_itself=True), "Resume training (step 30 of 60)", True, True),
    (DONE, busy(by_itself=True), "Train", False, False),
    (replace(BEGUN, other_settings=("training.steps",)), IDLE, "Resume training (step 30 of 60)",
     False, True),
])
def test_the_button_says_what_it_would_do(
    facts: TrainingFacts, status: JobStatus, text: str, enabled: bool, visible: bool
) -> None:
    made = train_view(True, facts, status).train
    assert (made.text, made.enabled, made.visible) == (text, enabled, visible)


def test_what_is_ranked_can_be_reviewed_and_begun_anew_but_not_during_a_job() -> None:
    idle, running = train_view(True, DONE, IDLE), train_view(True, DONE, busy())
    assert idle.review_visible and idle.anew_visible and idle.anew_enabled
    assert not running.review_visible and not running.anew_visible


def test_one_question_at_a_time_the_most_urgent_first() -> None:
    facts = replace(BEGUN, other_settings=tuple("vwxyz"), painted_since=("c",))
    full = JobStatus(kind="run", stage="train", end=Crashed(-9))
    asked = {
        "Start over?": train_view(True, facts, full, confirming=True),
        "not enough memory": train_view(True, facts, full),
        "(v, w, x, y and others)": train_view(True, facts, IDLE),
        "has not seen it": train_view(True, replace(facts, other_settings=()), IDLE),
    }
    for words, view in asked.items():
        assert view.question is not None and words in view.question.text
    assert train_view(True, facts, busy()).question is None
    assert train_view(True, BEGUN, IDLE).question is None


def test_a_smaller_job_is_offered_when_memory_ran_out() -> None:
    failed = JobStatus(kind="run", stage="autoencoder", end=Failed("There was not enough memory."))
    view = train_view(True, BEGUN, failed)
    assert view.less is not None and view.question is not None
    assert view.less.words in view.question.text
    assert [choice.action for choice in view.question.choices] == ["retry"]
    assert not view.less_is_anew  # only the autoencoder is trained again
    elsewhere = train_view(True, BEGUN, replace(failed, stage="train"))
    assert elsewhere.less_is_anew and "starts over" in (elsewhere.question or view.question).text
    assert not train_view(True, NEW, replace(failed, stage="train")).less_is_anew
    assert train_view(True, BEGUN, replace(failed, kind="apply")).less is None


def test_fine_tuning_shows_its_own_stages() -> None:
    view = train_view(True, DONE, JobStatus("running", "run", stage="predict", stages=LATER_STAGES))
    assert [(s.name, s.state) for s in view.stages] == [
        ("finetune", "done"), ("autoencoder", "done"), ("predict", "to do"), ("rank", "to do"),
    ]
