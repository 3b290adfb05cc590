"""Submitted jobs are shown in the job bar of whichever window has the study open."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from gui_fixtures import process_events, wait_until

from napari_singlestrip.events import Cancelled, Finished, Progress, Started
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.submission import Plan, PlannedTask, Submission, new_submission

pytest_plugins = ("gui_fixtures",)
SHARES = ("scans_0_1_of_2", "scans_0_2_of_2")
PLAN = Plan("slurm", (
    *(PlannedTask(name, "scans_0", ("run",)) for name in SHARES),
    PlannedTask("finish", "finish", ("run",), (), SHARES),
))  # fmt: skip


@pytest.fixture
def submission(ranked_study: Study) -> Iterator[Submission]:
    """Two workers at work, and one job that waits."""
    made = new_submission(ranked_study.folder, PLAN)
    locks = [made.lock(name) for name in SHARES]
    for name, lock in zip(SHARES, locks, strict=True):
        assert lock.take()
        with made.writing(name) as write:
            write(Started("predict"))
            write(Progress("predict", 10, 50, {}, 80.0))
    yield made
    for lock in locks:
        lock.give_back()


def wait_for_label(window: Any, text: str) -> None:
    wait_until(lambda: text in window.job_bar.label.text(), text, seconds=60)


def test_the_bar_follows_and_closing_stops_nothing(
    window: Any, ranked_study: Study, submission: Submission
) -> None:
    window.session.take_study(ranked_study)
    wait_for_label(window, "Predicting masks")
    words = window.job_bar.label.text()
    assert "20 of 100" in words and "80 s left" in words
    assert window.job_bar.pause.isHidden() and not window.job_bar.stop.isHidden()
    assert "SLURM, 2 of 2 at work" in window.job_bar.label.toolTip()
    closing = window.session._closing
    assert closing._said.get("job", "") == ""  # napari's question on closing need not warn
    window.session.close_study()
    assert not window.session.job.status.busy
    time.sleep(0.3)
    assert not submission.is_stopped and not submission.is_over
    # Opened again, it goes on from there.
    window.session.take_study(Study.open(ranked_study.folder))
    wait_for_label(window, "20 of 100")


def test_stop_in_the_bar_stops_the_jobs(
    window: Any, ranked_study: Study, submission: Submission
) -> None:
    window.session.take_study(ranked_study)
    wait_for_label(window, "20 of 100")
    window.job_bar.stop.click()
    wait_until(lambda: submission.is_stopped, "the jobs were asked to stop", 60)
    for name in SHARES:
        with submission.writing(name) as write:
            write(Cancelled("predict", 11))
        submission.lock(name).path.unlink()
    wait_until(lambda: not window.session.job.status.busy, "it ended", 60)
    assert isinstance(window.session.job.status.end, Cancelled)


def test_what_is_submitted_elsewhere_meanwhile_is_seen(
    window: Any, ranked_study: Study
) -> None:
    window.session.take_study(ranked_study)
    process_events()
    assert not window.session.job.status.busy
    made = new_submission(ranked_study.folder, PLAN)
    for task in PLAN.tasks:
        with made.writing(task.name) as write:
            write(Finished(n_done=3, n_failed=task.name == "finish"))
    window.session._follower.look()
    wait_until(lambda: window.session.job.status.end is not None, "it was followed", 60)
    assert "1 scan failed" in window.job_bar.message.text()
    window.session._follower.look()  # once is enough
    assert not window.session.job.status.busy
