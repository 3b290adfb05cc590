"""Many tasks are shown as one job: progress, time left, failures, one end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pytest

from napari_singlestrip.cluster import follow as module
from napari_singlestrip.cluster.follow import Follower, Worker, progress_of
from napari_singlestrip.events import (
    Cancelled,
    Crashed,
    Event,
    Failed,
    Finished,
    Note,
    Progress,
    Started,
    Wrote,
)
from napari_singlestrip.study.lock import FolderLock
from napari_singlestrip.study.submission import (
    Plan,
    PlannedTask,
    Submission,
    TaskEvents,
    new_submission,
)

SHARES = ("share_1", "share_2", "share_3")
TASKS = (
    PlannedTask("learn", "learn", ()),
    *(PlannedTask(name, "share", (), ("learn",)) for name in SHARES),
    PlannedTask("finish", "finish", (), ("learn",), SHARES),
)


class Tasks:
    """Tasks as the test wants them."""

    def __init__(self, submission: Submission) -> None:
        self.submission = submission
        self.locks: dict[str, FolderLock] = {}
        self.queued: bool | None = True
        self.asked: list[tuple[str, ...]] = []
        self._follower = Follower(submission, self._in_queue)
        self._events: Iterator[Event] = self._follower.follow()

    def say(self, task: str, *events: Event) -> None:
        """Let a task say something; it runs until it says its end or is killed."""
        if task not in self.locks:
            self.locks[task] = self.submission.lock(task)
            assert self.locks[task].take()
        with self.submission.writing(task) as write:
            for event in events:
                write(event)
        if isinstance(events[-1], (Finished, Failed, Cancelled, Crashed)):
            self.kill(task)

    def kill(self, task: str) -> None:
        """Let its process go."""
        self.locks.pop(task).give_back()

    def seen(self, n: int = 12) -> list[Event]:
        """What is shown next: up to so many events."""
        return list(islice(self._events, n))

    def _in_queue(self, ids: Sequence[str]) -> bool | None:
        self.asked.append(tuple(ids))
        return self.queued


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tasks]:
    """A submission to a SLURM that is not there."""
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LOOKS", 0.0)
    monkeypatch.setattr(module, "SECONDS_BETWEEN_QUESTIONS", 0.0)
    submission = new_submission(tmp_path, Plan("slurm", TASKS))
    submission.note_ids({task.name: str(n) for n, task in enumerate(TASKS)})
    made = Tasks(submission)
    yield made
    for name in list(made.locks):
        made.kill(name)


def at(stage: str, step: int, n_steps: int, left: float | None = None) -> Progress:
    return Progress(stage, step, n_steps, {}, left)  # type: ignore[arg-type]


def worker(tmp_path: Path, *progress: Progress, begun: bool = True, end: bool = False) -> Worker:
    events = TaskEvents(Submission(tmp_path), "x")
    events.begun = begun
    made = Worker(events, progress[-1].stage if progress else "queue", {
        part.stage: part for part in progress
    })  # fmt: skip
    made.end = Finished() if end else None
    return made


def test_steps_are_added_up_and_time_is_that_of_all_workers(tmp_path: Path) -> None:
    first = worker(tmp_path, at("predict", 10, 20, 10.0))  # one in a second
    second = worker(tmp_path, at("predict", 5, 20, 30.0))  # one in two seconds
    assert progress_of([first, second]) == at("predict", 15, 40, 30.0)
    # A third is still in the queue: its share will be done at the pace of the two.
    waiting = worker(tmp_path, begun=False)
    found = progress_of([first, second, waiting])
    assert found == at("predict", 15, 60, 45 / 1.5)


def test_the_stage_is_the_earliest_that_is_not_done(tmp_path: Path) -> None:
    first = worker(tmp_path, at("predict", 20, 20), at("rank", 4, 20, 8.0))
    second = worker(tmp_path, at("predict", 5, 20, 30.0))
    assert progress_of([first, second]) == at("predict", 25, 40, 30.0)
    second = worker(tmp_path, at("predict", 20, 20), at("rank", 1, 20, 9.5), end=True)
    found = progress_of([first, second])
    assert found is not None and (found.stage, found.step, found.n_steps) == ("rank", 5, 40)
    assert progress_of([worker(tmp_path)]) is None


def test_queue_then_work_then_the_end(tasks: Tasks) -> None:
    first = tasks.seen(2)
    assert first == [Started("queue", "SLURM, 0 of 1 at work", "learn"), at("queue", 0, 5)]
    tasks.say("learn", Started("train", "CPU"), Progress("train", 3, 60, {"loss": 0.5}, 9.0))
    assert tasks.seen(2) == [
        Started("train", "SLURM, 1 of 1 at work", "learn"),
        Progress("train", 3, 60, {"loss": 0.5}, 9.0),
    ]
    tasks.say("learn", Wrote("rounds/00/segmenter.pt", "segmenter"), Finished())
    assert tasks.seen(1) == [Wrote("rounds/00/segmenter.pt", "segmenter")]
    for name in SHARES[:2]:
        tasks.say(name, Started("predict"), at("predict", 1, 4))
    tasks.seen(4)  # the look that was under way
    assert at("predict", 2, 12) in tasks.seen()
    for name in SHARES:
        tasks.say(name, Finished(n_done=4))
    tasks.say("finish", Finished(summary={"x": 1.0}, n_done=11, n_failed=1))
    end = tasks.seen(50)[-1]
    assert isinstance(end, Finished)
    assert (end.n_done, end.n_failed, end.summary) == (11, 1, {"x": 1.0})
    assert tasks.submission.is_over


def test_a_bad_scan_is_told_once(tasks: Tasks) -> None:
    bad = Note("s: it cannot be read", "warning", "s", "mistake")
    tasks.say("learn", Finished())
    tasks.say("share_1", bad, Finished(n_done=3, n_failed=1))
    tasks.say("share_2", Finished(n_done=3))
    tasks.say("share_3", Finished(n_done=3))
    tasks.say("finish", bad, Finished(n_done=9, n_failed=1))
    seen = tasks.seen(50)
    assert seen.count(bad) == 1
    assert isinstance(seen[-1], Finished) and seen[-1].n_failed == 1


def test_a_failed_training_ends_it_all(tasks: Tasks) -> None:
    tasks.say("learn", Failed("There was not enough memory.", "Ask for more."))
    assert tasks.seen(50)[-1] == Failed("There was not enough memory.", "Ask for more.")


def test_a_killed_share_is_told_and_the_rest_goes_on(tasks: Tasks) -> None:
    tasks.say("learn", Finished())
    tasks.say("share_1", Started("predict"), at("predict", 1, 4))
    tasks.kill("share_1")
    tasks.say("share_2", Crashed(-9, ""))
    tasks.say("share_3", Started("predict"), at("predict", 1, 4))
    told = [event for event in tasks.seen(20) if isinstance(event, Note)]
    assert [note.text for note in told] == [
        "share_2: its process ended unexpectedly. What it left is done at the end."
    ]
    tasks.queued = False  # SLURM does not start the other one again
    told = [event for event in tasks.seen(20) if isinstance(event, Note)]
    assert [note.text.split(":")[0] for note in told] == ["share_1"]
    tasks.queued = True
    tasks.say("share_3", Finished(n_done=4))
    tasks.say("finish", Finished(n_done=12))
    end = tasks.seen(50)[-1]
    assert isinstance(end, Finished) and end.n_done == 12


def test_a_task_that_is_queued_again_is_not_lost(tasks: Tasks) -> None:
    tasks.say("learn", Started("train"), at("train", 1, 60))
    tasks.kill("learn")
    assert not any(isinstance(event, (Failed, Crashed)) for event in tasks.seen(20))
    assert ("0",) in tasks.asked
    tasks.say("learn", Started("train"), at("train", 2, 60))
    assert at("train", 2, 60) in tasks.seen(20)


def test_jobs_that_left_the_queue_are_missed(tasks: Tasks) -> None:
    tasks.queued = None  # it cannot be asked
    assert not any(isinstance(event, Failed) for event in tasks.seen(20))
    tasks.queued = False
    end = tasks.seen(50)[-1]
    assert isinstance(end, Failed) and "none of the jobs any more" in end.what


def test_stopped_jobs_end_once_all_have_saved(tasks: Tasks) -> None:
    tasks.say("learn", Started("train"), at("train", 7, 60))
    tasks.submission.stop()
    assert not any(isinstance(event, Cancelled) for event in tasks.seen(20))
    tasks.say("learn", Cancelled("train", 8))
    assert tasks.seen(50)[-1] == Cancelled("train")
