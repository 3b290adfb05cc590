"""What is known of submitted tasks, from their files alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Cancelled, Crashed, Failed, Finished, Note, Started
from napari_singlestrip.study.submission import (
    Plan,
    PlannedTask,
    Submission,
    TaskEvents,
    is_under_way,
    new_submission,
    newest_submission,
)

PLAN = Plan("local", (
    PlannedTask("learn", "learn", ("run", "s")),
    PlannedTask("share_1", "share", ("run", "s"), ("learn",)),
    PlannedTask("share_2", "share", ("run", "s"), ("learn",)),
    PlannedTask("finish", "finish", ("run", "s"), ("learn",), ("share_1", "share_2")),
))  # fmt: skip


def say(submission: Submission, task: str, *events: Started | Note | Finished | Failed) -> None:
    with submission.writing(task) as write:
        for event in events:
            write(event)


def test_plan_and_numbers_come_back(tmp_path: Path) -> None:
    made = new_submission(tmp_path, PLAN)
    assert made.name == "001" and made.study == tmp_path
    assert made.plan() == PLAN
    assert made.ids() == {}
    made.note_ids({"learn": "12"})
    assert made.ids() == {"learn": "12"}
    assert newest_submission(tmp_path) == made


def test_only_one_at_a_time(tmp_path: Path) -> None:
    made = new_submission(tmp_path, PLAN)
    with pytest.raises(UserError, match="with the scheduler already"):
        new_submission(tmp_path, PLAN)
    for task in PLAN.tasks:
        say(made, task.name, Started("train"), Finished())
    assert not is_under_way(made)
    assert new_submission(tmp_path, PLAN).name == "002"
    found = newest_submission(tmp_path)
    assert found is not None and found.name == "002"


def test_what_waits_for_a_failure_is_over_too(tmp_path: Path) -> None:
    made = new_submission(tmp_path, PLAN)
    assert is_under_way(made)
    say(made, "learn", Started("train"), Failed("no mask"))
    assert not is_under_way(made)


def test_a_stopped_one_is_under_way_while_a_task_runs(tmp_path: Path) -> None:
    made = new_submission(tmp_path, PLAN)
    lock = made.lock("learn")
    assert lock.take()
    made.stop()
    assert made.is_stopped and is_under_way(made)
    lock.give_back()
    assert not is_under_way(made)


def test_a_task_that_was_killed_has_ended(tmp_path: Path) -> None:
    made = new_submission(tmp_path, PLAN)
    events, lock = TaskEvents(made, "learn"), made.lock("learn")
    assert events.ended() is None
    assert lock.take()
    say(made, "learn", Started("train"))
    assert events.ended() is None and events.begun
    lock.give_back()
    assert isinstance(events.ended(), Crashed)
    say(made, "learn", Started("train"), Finished(n_done=2))  # it was started again
    assert events.ended() == Finished(n_done=2)


def test_an_end_is_taken_back_when_the_task_starts_again(tmp_path: Path) -> None:
    made = new_submission(tmp_path, PLAN)
    events = TaskEvents(made, "learn")
    with made.writing("learn") as write:
        write(Cancelled("train", 3))
    assert events.new() == [Cancelled("train", 3)]
    assert events.end == Cancelled("train", 3)
    say(made, "learn", Started("train"))
    events.new()
    assert events.end is None


def test_half_a_line_is_no_event(tmp_path: Path) -> None:
    made = new_submission(tmp_path, PLAN)
    made.events("learn").write_bytes(Started("train").to_json().encode()[:20])
    events = TaskEvents(made, "learn")
    assert events.new() == []
    say(made, "learn", Note("x"))
    assert events.new() == [Note("x")]


def test_a_folder_in_the_place_of_events_says_nothing(tmp_path: Path) -> None:
    made = new_submission(tmp_path, PLAN)
    made.events("learn").mkdir()
    assert TaskEvents(made, "learn").new() == []


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text("{}")
    other = tmp_path.with_name(tmp_path.name + "-other")
    other.mkdir()
    (tmp_path / "submissions").symlink_to(other)
    with pytest.raises(UserError, match="is a link"):
        new_submission(tmp_path, PLAN)
    assert list(other.iterdir()) == []


@pytest.mark.parametrize("content", ("", "[]", "{}", '{"scheduler": "slurm", "tasks": [{}]}'))
def test_a_damaged_plan_is_told(tmp_path: Path, content: str) -> None:
    made = new_submission(tmp_path, PLAN)
    (made.path / "plan.json").write_text(content)
    with pytest.raises(UserError):
        made.plan()
    assert not is_under_way(made)
