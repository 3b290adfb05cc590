"""The snapshot of the step "apply", without a window."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from napari_singlestrip.study.volumes_table import AppliedRow
from napari_singlestrip.widgets.apply.model_list import ModelChoice
from napari_singlestrip.widgets.apply.view import (
    NO_RESULTS,
    ApplyFacts,
    LayerFacts,
    ResultsFacts,
    apply_view,
    results_view,
)
from napari_singlestrip.widgets.session.job_process import JobStatus

IDLE, BUSY = JobStatus(), JobStatus("running", "apply")
FOLDER = Path("study", "applied", "2026-01-02_round-00")
GOOD = AppliedRow("a", mask="a.nii.gz", file="/data/a.nii.gz")
ODD = AppliedRow("b", mask="b.nii.gz", file="/data/b.nii.gz", flag="volume 3 mL is outside")
FAILED = AppliedRow("c", file="/data/c.nii.gz", flag="no brain was found")
READY = ApplyFacts(
    has_study=True, has_masks=True, has_report=True, n_models=2,
    model=ModelChoice(Path("study"), 0), n_scans=3, out=FOLDER,
)


def test_nothing_can_be_applied_without_a_model() -> None:
    view = apply_view(replace(READY, n_models=0, model=None), IDLE)
    assert not view.any_model and not view.apply_enabled and not view.export.model
    assert view.export.masks and view.export.report


@pytest.mark.parametrize(("n_scans", "text", "enabled"), [
    (0, "Apply", False), (1, "Apply to 1 scan", True), (3, "Apply to 3 scans", True),
])
def test_button_says_how_many_scans(n_scans: int, text: str, enabled: bool) -> None:
    view = apply_view(replace(READY, n_scans=n_scans), IDLE)
    assert (view.apply_text, view.apply_enabled) == (text, enabled)


def test_nothing_is_chosen_or_begun_while_a_job_runs() -> None:
    free, busy = apply_view(READY, IDLE), apply_view(READY, BUSY)
    assert free.study_enabled and free.files_enabled and free.results.earlier_enabled
    assert not busy.apply_enabled and not busy.study_enabled and not busy.files_enabled
    assert not busy.results.earlier_enabled
    assert not (busy.export.masks or busy.export.model or busy.export.report)
    assert busy.export.open_report  # only looks


def test_scans_of_the_study_need_one() -> None:
    view = apply_view(replace(READY, has_study=False), IDLE)
    assert view.files_enabled and not view.study_enabled and not view.export.report


@pytest.mark.parametrize(("used", "status", "said"), [
    (True, IDLE, True), (False, IDLE, False), (True, BUSY, False),
])
def test_folder_that_has_results_is_told(used: bool, status: JobStatus, said: bool) -> None:
    """But not of the job's own, while it writes them."""
    view = apply_view(replace(READY, out_is_used=used), status)
    assert view.out_is_used is said
    assert view.out_hint == "applied/2026-01-02_round-00 (new)"
    assert apply_view(replace(READY, out=None), IDLE).out_hint == ""


def test_only_models_of_the_study_are_written_to_a_file() -> None:
    model = ModelChoice(Path("model.pt"))
    assert not apply_view(replace(READY, model=model), IDLE).export.model


def test_layer_is_named_and_no_markup() -> None:
    view = apply_view(replace(READY, layer=LayerFacts("a<b")), IDLE).layer
    assert view is not None and view.strip_enabled and view.back_enabled
    assert "a&lt;b" in view.text and view.button == "Strip a<b" and "orientation" not in view.text
    other = apply_view(replace(READY, layer=LayerFacts("x" * 40, knows_up=False)), IDLE).layer
    assert other is not None and "orientation of this head" in other.text and len(other.button) < 40
    assert apply_view(READY, IDLE).layer is None


@pytest.mark.parametrize(("facts", "status", "strip", "back"), [
    (READY, BUSY, False, True), (replace(READY, model=None), IDLE, False, True),
])
def test_layer_waits_for_job_and_model(
    facts: ApplyFacts, status: JobStatus, strip: bool, back: bool
) -> None:
    view = apply_view(replace(facts, layer=LayerFacts("a")), status).layer
    assert view is not None and (view.strip_enabled, view.back_enabled) == (strip, back)


def test_layer_that_is_stripped_says_what_became_of_it() -> None:
    busy = apply_view(replace(READY, layer=LayerFacts("a", busy=True)), IDLE).layer
    assert busy is not None and not busy.strip_enabled and not busy.back_enabled
    done = apply_view(replace(READY, layer=LayerFacts("a", said="It is done.")), IDLE).layer
    assert done is not None and done.text == "It is done."


@pytest.mark.parametrize(("facts", "says", "table"), [
    (ResultsFacts(), NO_RESULTS, False),
    (ResultsFacts(FOLDER, n_asked=3), f"Results go to {FOLDER.parent.name}/{FOLDER.name}", True),
    (ResultsFacts(FOLDER, (GOOD,), 3, True), "1 of 3 masks in applied/2026-01-02_round-00.", True),
    (ResultsFacts(FOLDER, (GOOD, ODD, FAILED), 0, True),
     "2 of 3 masks in applied/2026-01-02_round-00, 1 to inspect, 1 failed.", True),
])
def test_results_in_a_sentence(facts: ResultsFacts, says: str, table: bool) -> None:
    view = results_view(facts, has_study=True, busy=False)
    assert (view.summary, view.table_visible) == (says, table)


@pytest.mark.parametrize(("selected", "on_screen", "see", "in_3d", "correct"), [
    (None, False, False, False, False), (None, True, False, True, False),
    (GOOD, False, True, True, True), (FAILED, False, True, True, False),
    (AppliedRow("d", flag="..."), False, False, False, False),  # not done yet
])
def test_what_can_be_done_with_a_result(
    selected: AppliedRow | None, on_screen: bool, see: bool, in_3d: bool, correct: bool
) -> None:
    facts = ResultsFacts(FOLDER, (GOOD,), selected=selected, on_screen=on_screen, n_earlier=2)
    view = results_view(facts, has_study=True, busy=False)
    assert (view.see_enabled, view.in_3d_enabled, view.correct_enabled) == (see, in_3d, correct)
    assert view.earlier_visible
    assert not results_view(facts, has_study=False, busy=False).correct_enabled
