"""The snapshot of the step "review", without a window."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from napari_singlestrip.engine.masks.mask_change import MaskChange
from napari_singlestrip.study.finetuning_plan import FinetuningPlan
from napari_singlestrip.study.review import Review, ReviewRow
from napari_singlestrip.study.tables import Decision, ScoreRow
from napari_singlestrip.study.training_set import TrainingMask
from napari_singlestrip.widgets.review.facts_reader import NOTHING
from napari_singlestrip.widgets.review.reference_dice import Truth
from napari_singlestrip.widgets.review.table_model import STATE_COLOURS
from napari_singlestrip.widgets.review.view import (
    STATES,
    ReviewFacts,
    decision_view,
    plan_in_words,
    review_view,
    with_unsaved,
)
from napari_singlestrip.widgets.session.job_process import JobStatus

IDLE, BUSY = JobStatus(), JobStatus("running", "run")
ROWS = (
    ReviewRow(ScoreRow("a", 0.02, 0.97, 1400, 1, True), Decision("a", "accepted")),
    ReviewRow(ScoreRow("b", 0.03, 0.95, 1400, 2, True)),
    ReviewRow(ScoreRow("c", 0.04, 0.94, 1400, 3), Decision("c", "corrected")),
    ReviewRow(ScoreRow("d", 0.09, 0.70, 700, 4), unsaved=True),
)
PLAN = FinetuningPlan((
    TrainingMask("p", "painted", "masks/p.nii.gz", 1.0),
    TrainingMask("b", "selected", "b.nii.gz", 1.0, 0),
))
RANKED = ReviewFacts(Review(0, ROWS), Truth({}), {}, PLAN)


def changed(*names: str) -> dict[str, MaskChange]:
    return {
        row.name: MaskChange(1.0, 0.0, "left", "", 0.5 if row.name in names else 1.0)
        for row in ROWS
    }


def test_states_are_those_that_have_a_colour() -> None:
    assert list(STATES) == list(STATE_COLOURS)


def test_masks_of_other_programs_wait_to_be_judged_in_step_1() -> None:
    view = review_view(True, replace(NOTHING, not_judged=True), IDLE)
    assert view.nothing is not None
    assert "other programs" in view.nothing.says and view.nothing.step == "scans"


def test_masks_of_other_programs_are_named_and_no_markup() -> None:
    review = Review(0, ROWS, ("a<b", "c", "d", "e"))
    head = review_view(True, replace(RANKED, review=review), IDLE).head
    assert head.summary.startswith("<b>Masks of a&lt;b, c, d and 1 more</b>: 4 masks")
    assert head.by_programs and head.has_agreement
    assert not head.is_expected
    row = ReviewRow(ScoreRow("a", 0.1, expected_dice=0.9))
    known = replace(RANKED, review=Review(0, (*ROWS, row)))
    assert review_view(True, known, IDLE).head.is_expected
    alone = Review(0, (ReviewRow(ScoreRow("a", 0.1)),), ("x",))
    assert not review_view(True, replace(RANKED, review=alone), IDLE).head.has_agreement


@pytest.mark.parametrize(("has_study", "status", "says", "step"), [
    (False, IDLE, "open a study", "scans"),
    (True, IDLE, "Train first", "train"),
    (True, BUSY, "A job is running", "train"),
])
def test_what_is_missing_before_a_ranking(
    has_study: bool, status: JobStatus, says: str, step: str
) -> None:
    view = review_view(has_study, NOTHING, status)
    assert view.nothing is not None
    assert says in view.nothing.says and view.nothing.step == step
    assert step.capitalize() in view.nothing.button
    assert view.decision.row is None and not view.decision.undo_enabled


def test_summary_counts_the_states_and_later_the_changes() -> None:
    head = review_view(True, RANKED, IDLE).head
    assert head.summary.replace("\u00a0", " ") == (
        "<b>First training</b>: 4 masks · 1 to review · 1 accepted · 1 corrected · "
        "1 with unsaved changes"
    )
    assert "1\u00a0corrected" in head.summary  # a line ends between counts
    assert not head.is_later and not head.has_truth
    later = replace(RANKED, review=Review(2, ROWS), changes=changed("a", "b"))
    head = review_view(True, later, IDLE).head
    assert head.summary.startswith("<b>Fine-tuning 2</b>") and head.is_later
    assert head.summary.endswith(" \u00b7 2 changed much")
    assert "more than 3% (1 - overlap with the mask of the previous round" in head.tip
    some = dict(list(changed("a").items())[:3])  # the others are still compared
    head = review_view(True, replace(later, changes=some), IDLE).head
    assert "changed" not in head.summary and not head.tip


@pytest.mark.parametrize(("truth", "there"), [
    (Truth({}), False), (Truth({"a": 0.9}), True), (Truth({}, 3), True),
])
def test_true_dice_has_a_column_where_there_are_references(truth: Truth, there: bool) -> None:
    assert review_view(True, replace(RANKED, truth=truth), IDLE).head.has_truth is there


@pytest.mark.parametrize(("scan", "enabled"), [
    ("a", False), ("b", False), ("c", True), ("d", True), ("p", False),
])
def test_what_can_be_thrown_away(scan: str, enabled: bool) -> None:
    """A correction that was kept, and changes that were not."""
    view = review_view(True, RANKED, IDLE, scan).decision
    assert (view.row is None) == (scan == "p")
    assert view.discard_enabled is enabled


def test_what_can_be_taken_back_is_named() -> None:
    none, some = decision_view(None, ""), decision_view(ROWS[0], "accept a")
    assert not none.undo_enabled and none.undo_tip == "Nothing to take back yet"
    assert some.undo_enabled and some.undo_tip == "Take back: accept a"


def test_finetuning_says_what_it_learns_from_and_what_not() -> None:
    view = review_view(True, RANKED, IDLE).finetune
    assert view.text == "Fine-tune with 1 painted + 1 top-ranked" and view.enabled
    assert view.top_ranked_visible and view.top_ranked_used
    assert (view.n_ranks, view.first_rank) == (4, 2)
    assert view.why == "1 scan has unsaved changes: it is not used until you press S."


@pytest.mark.parametrize(("plan", "status", "why", "enabled"), [
    (PLAN, BUSY, "A job is running", False),
    (PLAN, replace(BUSY, by_itself=True), "", True),
    (replace(PLAN, problem="Nothing new to learn from yet"), IDLE, "Nothing new", False),
    (replace(PLAN, unfinished="ranking"), IDLE, "Ranking was stopped", True),
    (replace(PLAN, unfinished="fine-tuning"), IDLE, "", True),
])
def test_why_finetuning_waits(
    plan: FinetuningPlan, status: JobStatus, why: str, enabled: bool
) -> None:
    facts = replace(RANKED, review=Review(0, ROWS[:3]), plan=plan)
    view = review_view(True, facts, status).finetune
    assert view.enabled is enabled and view.why.startswith(why) and bool(view.why) == bool(why)
    assert view.top_ranked_visible == (plan.unfinished != "ranking")


@pytest.mark.parametrize(("changes", "text"), [
    ({"unfinished": "ranking"}, "Finish predicting and ranking"),
    ({"unfinished": "fine-tuning"}, "Go on fine-tuning with 1 painted + 1 top-ranked"),
    ({"masks": ()}, "Fine-tune"),
    ({"is_first": True}, "Train with 1 painted + 1 top-ranked"),
    ({"is_first": True, "unfinished": "fine-tuning"}, "Go on training with 1 painted + 1 "
     "top-ranked"),
])
def test_button_says_what_it_would_do(changes: dict[str, Any], text: str) -> None:
    assert plan_in_words(replace(PLAN, **changes)) == text


def test_changes_that_could_not_be_written_are_unsaved_too() -> None:
    found = with_unsaved(RANKED.review, ["b", "elsewhere"])
    assert [row.name for row in found.rows if row.unsaved] == ["b", "d"]
    assert with_unsaved(found, ["b"]) is found
