"""Learning while one reviews: a job that nobody asked for, and a screen that stays as it is."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from gui_fixtures import child, click, press_key, process_events, wait_until
from qtpy.QtCore import QPoint, Qt

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_mask
from napari_singlestrip.events import Crashed
from napari_singlestrip.study.finetuning_plan import FinetuningPlan
from napari_singlestrip.study.lock import StudyLock
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.review import meanwhile
from napari_singlestrip.widgets.review.meanwhile import Meanwhile
from napari_singlestrip.widgets.session import job_process as job_module

if TYPE_CHECKING:
    from napari_singlestrip.widgets.dock.main_widget import StripWidget
    from napari_singlestrip.widgets.review.panel import ReviewPanel

pytest_plugins = ("gui_fixtures",)
REST_MS = 60
# A worker that needs no package: it fine-tunes until there is a file "ranked" in the study.
WORKER = """
import json, os, select, sys, time
def say(kind, **fields):
    os.write(1, (json.dumps({"event": kind, **fields}) + "\\n").encode())
say("Started", stage="finetune", device="CPU")
say("Note", text=" ".join(sys.argv[1:]))
while True:
    if os.path.exists(os.path.join(sys.argv[2], "taken")):
        say("Failed", what="Another job is working on the study.", in_use=True)
        sys.exit(2)
    if os.path.exists(os.path.join(sys.argv[2], "broken")):
        sys.exit(3)
    if os.path.exists(os.path.join(sys.argv[2], "ranked")):
        say("Wrote", path="rounds/01/scores.csv", what="scores")
        say("Finished", seconds=1.0)
        sys.exit(0)
    if select.select([0], [], [], 0.01)[0]:
        say("Cancelled", stage="finetune", step=7)
        sys.exit(130)
"""


@pytest.fixture
def panel(
    window: StripWidget, ranked_study: Study, monkeypatch: pytest.MonkeyPatch
) -> ReviewPanel:
    """The review step, where two decisions are enough to learn from."""
    monkeypatch.setattr(job_module, "local_command", lambda: [sys.executable, "-S", "-c", WORKER])
    ranked_study.set_settings({"finetuning.min_reviewed_masks": 2})
    found: Any = window.panels["review"]
    found.finetune.meanwhile._rest.setInterval(REST_MS)
    window.session.take_study(ranked_study)
    window.session.step_requested.emit("review")
    process_events()
    return found


def key(panel: ReviewPanel, *keys: Qt.Key) -> None:
    for one in keys:
        press_key(panel.session.viewer, one)


def in_bar(panel: ReviewPanel, name: str) -> Any:
    """A widget of the bar at the bottom of the dock."""
    window = panel.window()
    assert window is not None
    return child(window, name)


def rest(panel: ReviewPanel) -> None:
    """Wait until it was looked whether there is enough to learn from."""
    process_events()
    wait_until(lambda: not panel.finetune.meanwhile._rest.isActive(), "the hand to rest")


def until_running(panel: ReviewPanel) -> None:
    wait_until(lambda: panel.session.job.status.state == "running", "a job that nobody asked for")


def begin(panel: ReviewPanel) -> None:
    """Accept two masks, and wait for the job."""
    key(panel, Qt.Key.Key_A, Qt.Key.Key_A)
    until_running(panel)


def next_round(study: Study) -> None:
    """Write what a round leaves: other masks, in another order."""
    for row in study.rounds.scores(0):
        scan = open_scan(study.scans.path(row.scan))
        mask = load_mask(study.rounds.pseudo_label_path(0, row.scan), like=scan)
        mask[: int(np.flatnonzero(mask.any(axis=(1, 2)))[0]) + 3] = False
        save_mask(study.rounds.pseudo_label_path(1, row.scan), mask, like=scan)
    rows = study.rounds.scores(0)
    ranks = [row.rank for row in rows][::-1]
    study.rounds.save_scores(
        1, [replace(row, rank=rank) for row, rank in zip(rows, ranks, strict=True)]
    )


def finish(panel: ReviewPanel) -> None:
    """Let the job end with a new round."""
    study = panel.session.need_study()
    next_round(Study.open(study.folder))  # as another process does
    (study.folder / "ranked").touch()
    wait_until(lambda: not panel.session.job.status.busy, "the end of the job")
    process_events()


def seen(panel: ReviewPanel) -> tuple[Any, ...]:
    """What a person has before them."""
    mask = panel.session.layers.editing.mask_on_scan()
    assert mask is not None
    summary = child(panel, "review_summary").text().split("</b>")[0]
    return panel.session.scan, mask.tobytes(), panel.table.filter.names(), summary


def accepted(panel: ReviewPanel) -> dict[str, int | None]:
    """The round of each accepted mask, as it is on disk."""
    study = Study.open(panel.session.need_study().folder)
    assert study.decisions.stale() == {}
    return {n: d.round for n, d in study.decisions.all().items() if d.state == "accepted"}


# --- when it begins


def test_learning_begins_once_enough_is_decided(panel: ReviewPanel) -> None:
    assert panel.finetune.meanwhile.on.isChecked()  # the study is a quick one
    key(panel, Qt.Key.Key_A)
    rest(panel)
    assert not panel.session.job.status.busy
    said: list[Any] = []
    panel.session.job_event.connect(said.append)
    key(panel, Qt.Key.Key_A)
    until_running(panel)
    status = panel.session.job.status
    assert status.by_itself and not status.blocks
    wait_until(lambda: len(said) > 1)
    folder = panel.session.need_study().folder
    assert said[1].text == (
        f"run {folder} --stages finetune,autoencoder,predict,rank --events"
    )
    if sys.platform != "win32":
        assert psutil.Process(panel.session.job.pid).nice() == job_module.LOWEST
    label = in_bar(panel, "job_label").text()
    assert label.startswith("By itself: fine-tuning")


def test_what_was_decided_before_the_study_was_opened_starts_nothing(panel: ReviewPanel) -> None:
    panel.finetune.meanwhile.on.setChecked(False)
    key(panel, Qt.Key.Key_A, Qt.Key.Key_A)
    panel.session.open_study(panel.session.need_study().folder)
    assert panel.finetune.meanwhile.on.isChecked()
    rest(panel)
    assert not panel.session.job.status.busy


def test_switched_off_nothing_begins_and_that_is_kept(panel: ReviewPanel) -> None:
    session, meanwhile = panel.session, panel.finetune.meanwhile
    meanwhile.on.click()
    key(panel, Qt.Key.Key_A, Qt.Key.Key_A)
    rest(panel)
    assert not session.job.status.busy
    session.open_study(session.need_study().folder)
    assert not meanwhile.on.isChecked()
    meanwhile.on.click()  # there is enough to learn from
    until_running(panel)


def test_only_quick_studies_learn_on_by_default(panel: ReviewPanel) -> None:
    panel.session.need_study().set_settings(effort="standard")
    assert not panel.finetune.meanwhile.on.isChecked()


# --- what is on screen


def test_the_screen_stays_until_newer_masks_are_taken(panel: ReviewPanel) -> None:
    begin(panel)
    before = seen(panel)
    mark = child(panel, "show_newer")
    finish(panel)
    wait_until(mark.isVisible, "the mark")
    assert seen(panel) == before
    assert in_bar(panel, "message").text() == ""

    click(mark)

    after = seen(panel)
    assert not mark.isVisible() and "Fine-tuning 1" in after[3]
    assert after[0] == before[0] and after[1] != before[1] and after[2] == before[2][::-1]
    assert set(accepted(panel).values()) == {0}  # they stay accepted
    states = {row.name: row.in_words for row in panel.review.rows}
    assert sorted(states.values()) == ["accepted before", "accepted before", "to review"]


def test_a_mask_is_accepted_as_it_was_seen(panel: ReviewPanel) -> None:
    begin(panel)
    finish(panel)
    study, name = panel.session.need_study(), panel.session.scan
    shown = panel.session.layers.editing.mask_on_scan()
    key(panel, Qt.Key.Key_A)
    assert accepted(panel)[name] == 0
    path = study.decisions.labelled_path(name)
    assert path is not None and shown is not None
    scan = open_scan(study.scans.path(name))
    assert np.array_equal(load_mask(path, like=scan, check=False), shown != 0)
    click(child(panel, "show_newer"))
    assert accepted(panel)[name] == 0  # and learned from as such, whatever is shown now
    assert Study.open(study.folder).decisions.labelled().accepted.count(name) == 1


def test_another_step_and_back_changes_nothing(window: StripWidget, panel: ReviewPanel) -> None:
    begin(panel)
    last = panel.table.filter.names()[0]
    panel.session.show_scan(last)
    before = seen(panel)
    click(window.step_buttons["scans"])
    finish(panel)
    click(window.step_buttons["review"])
    assert seen(panel) == before
    assert child(panel, "show_newer").isVisible()


def test_only_one_round_is_made_ahead(panel: ReviewPanel) -> None:
    begin(panel)
    finish(panel)
    key(panel, Qt.Key.Key_A)
    panel.session.need_study().set_settings({"finetuning.min_reviewed_masks": 1})
    rest(panel)
    assert not panel.session.job.status.busy
    (panel.session.need_study().folder / "ranked").unlink()
    click(child(panel, "show_newer"))
    until_running(panel)  # there is a mask that round 1 has not learned from


@pytest.mark.parametrize(("n_new", "fewest", "begins"), [
    (4, None, False), (5, None, True), (2, 2, True), (1, 2, False),
])
def test_a_round_begins_after_five_new_decisions(
    panel: ReviewPanel, monkeypatch: pytest.MonkeyPatch,
    n_new: int, fewest: int | None, begins: bool,
) -> None:
    study = panel.session.need_study()
    study.set_settings({} if fewest is None else {"finetuning.min_reviewed_masks": fewest})
    monkeypatch.setattr(meanwhile, "finetuning_plan", lambda *_: FinetuningPlan(n_new=n_new))
    assert panel.finetune.meanwhile._is_due(study) == begins


# --- stop, resume, precedence


def test_stop_waits_for_the_next_decision(panel: ReviewPanel) -> None:
    begin(panel)
    click(in_bar(panel, "stop"))
    wait_until(lambda: not panel.session.job.status.busy, "the end of the job")
    rest(panel)
    assert not panel.session.job.status.busy
    key(panel, Qt.Key.Key_R)
    panel.session.need_study().set_settings({"finetuning.min_reviewed_masks": 1})
    until_running(panel)


def test_a_stopped_round_is_resumed_with_the_ranked_one_on_screen(panel: ReviewPanel) -> None:
    """As after the window was closed, or killed, while the new masks were predicted."""
    study = panel.session.need_study()
    next_round(study)
    study.rounds.scores_path(1).unlink()
    panel.session.open_study(study.folder)
    panel.session.step_requested.emit("review")
    assert "First training" in child(panel, "review_summary").text()
    name = panel.session.scan
    key(panel, Qt.Key.Key_A)
    assert accepted(panel) == {name: 0}
    until_running(panel)  # one decision is enough to go on


def test_fine_tuning_by_hand_goes_first(panel: ReviewPanel) -> None:
    begin(panel)
    first = panel.session.job.pid
    button = child(panel, "finetune")
    told: list[job_module.JobStatus] = []
    panel.session.job.changed.connect(told.append)
    click(button)
    wait_until(lambda: panel.session.job.pid not in (0, None, first), "the job of the person")
    assert not psutil.pid_exists(first)
    status = panel.session.job.status
    assert status.busy and not status.by_itself and not button.isEnabled()
    # It saves in its own time, and the window does not stand still.
    assert [s.state for s in told if s.by_itself] == ["stopping", "idle"]
    before = seen(panel)
    finish(panel)
    assert seen(panel)[3] != before[3] and "Fine-tuning 1" in seen(panel)[3]  # it was asked for
    assert not child(panel, "show_newer").isVisible()


def test_a_failure_switches_it_off(panel: ReviewPanel) -> None:
    begin(panel)
    ends: list[Any] = []
    panel.session.job_event.connect(ends.append)
    (panel.session.need_study().folder / "broken").touch()
    wait_until(lambda: not panel.session.job.status.busy, "the end of the job")
    assert isinstance(ends[-1], Crashed)
    assert not panel.finetune.meanwhile.on.isChecked()
    assert "ended unexpectedly" in in_bar(panel, "message").text()


def test_of_two_windows_that_begin_at_once_one_leaves_it_to_the_other(panel: ReviewPanel) -> None:
    """Nobody asked for it: it says nothing, stays on, and the next decision tries again."""
    begin(panel)
    told: list[str] = []
    panel.session.told.connect(lambda text, _level: told.append(text))
    taken = panel.session.need_study().folder / "taken"
    taken.touch()
    wait_until(lambda: not panel.session.job.status.busy, "the end of the job")
    process_events()
    assert not told and not in_bar(panel, "message").isVisible()
    assert panel.finetune.meanwhile.on.isChecked()
    rest(panel)
    assert not panel.session.job.status.busy
    taken.unlink()
    key(panel, Qt.Key.Key_A)
    until_running(panel)


def test_it_waits_until_the_decided_masks_are_read(
    panel: ReviewPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(panel.session.decided), "reading", True)
    key(panel, Qt.Key.Key_A, Qt.Key.Key_A)
    looks: list[None] = []
    panel.finetune.meanwhile._rest.timeout.connect(lambda: looks.append(None))
    wait_until(lambda: len(looks) > 2, "some looks")
    assert not panel.session.job.status.busy
    monkeypatch.undo()
    monkeypatch.setattr(job_module, "local_command", lambda: [sys.executable, "-S", "-c", WORKER])
    until_running(panel)


def test_it_does_not_run_elsewhere(panel: ReviewPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(panel.session), "launcher", ["ssh", "gpu-box"])
    said: list[Any] = []
    panel.session.job_changed.connect(said.append)
    key(panel, Qt.Key.Key_A, Qt.Key.Key_A)
    rest(panel)
    process_events()
    assert said == []


def test_it_waits_while_a_job_elsewhere_works_on_the_study(panel: ReviewPanel) -> None:
    said: list[Any] = []
    panel.session.told.connect(lambda text, level: said.append(level))
    with StudyLock(panel.session.need_study().folder):
        key(panel, Qt.Key.Key_A, Qt.Key.Key_A)
        rest(panel)
        process_events()
        assert not panel.session.job.status.busy and "error" not in said


def test_closing_asks_nothing_about_it(panel: ReviewPanel) -> None:
    begin(panel)
    assert not panel.session._closing._said.get("job")


def test_it_is_a_widget_of_the_review(panel: ReviewPanel) -> None:
    assert isinstance(child(panel, "meanwhile"), Meanwhile)
    steady = panel.decisions.buttons["accept"], panel.layers.doubt, panel.finetune.finetune
    wait_until(lambda: panel.doubts.found is not None, "the places to check")
    process_events()
    before = [made.mapTo(panel, QPoint()) for made in steady]
    begin(panel)
    finish(panel)
    wait_until(child(panel, "show_newer").isVisible, "the mark")
    process_events()
    assert [made.mapTo(panel, QPoint()) for made in steady] == before  # nothing moves
