"""The process of a task: its command is watched, stopped, and its end always written down."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from napari_singlestrip.cluster import task as module
from napari_singlestrip.cluster.task import NotDone, Task
from napari_singlestrip.events import (
    Cancelled,
    Crashed,
    Event,
    Failed,
    Finished,
    Note,
    Progress,
    Started,
)
from napari_singlestrip.study.submission import (
    Plan,
    PlannedTask,
    Submission,
    TaskEvents,
    new_submission,
)

BEFORE, ONE = PlannedTask("before", "before", ()), PlannedTask("one", "one", ())
WAITING = PlannedTask("one", "one", (), ("before",))
SAY = """
import sys, json, time, os, signal
def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)
"""


@pytest.fixture
def submission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Submission:
    """A submission of two tasks; looks are frequent."""
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LOOKS", 0.02)
    return new_submission(tmp_path, Plan("local", (BEFORE, ONE)))


def run(
    submission: Submission, monkeypatch: pytest.MonkeyPatch, script: str, planned: PlannedTask = ONE
) -> int:
    """Run a task whose command is a small script."""
    monkeypatch.setattr(Task, "_command", lambda _: [sys.executable, "-c", SAY + script])
    return Task(str(submission.path), planned, threads=3, waits=True)()


def said(submission: Submission) -> list[Event]:
    return TaskEvents(submission, "one").new()


def test_what_the_command_says_is_written_down(
    submission: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """
print("a library's greeting")
say("Started", stage="predict", detail=os.environ["OMP_NUM_THREADS"])
for n in range(1, 101): say("Progress", stage="predict", step=n, n_steps=100)
say("Note", text="odd", scan="s")
say("Finished", n_done=3)
"""
    assert run(submission, monkeypatch, script) == 0
    events = said(submission)
    assert events[:2] == [Started("queue"), Started("predict", detail="3")]
    assert events[-1] == Finished(n_done=3) and Note("odd", scan="s") in events
    steps = [event.step for event in events if isinstance(event, Progress)]
    assert steps[-1] == 100 and len(steps) < 10
    assert not submission.lock("one").seems_held()


def test_some_failed_scans_do_not_stop_what_comes_after(
    submission: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(submission, monkeypatch, 'say("Finished", n_done=3, n_failed=1); exit(3)') == 3


def test_a_mistake_is_written_down_and_stops_what_comes_after(
    submission: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotDone, match="no mask"):
        run(submission, monkeypatch, 'say("Failed", what="no mask"); exit(2)')
    assert said(submission)[-1] == Failed("no mask")


def test_a_command_that_is_killed_is_told(
    submission: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = 'sys.stderr.write("last words"); sys.stderr.flush(); os.kill(os.getpid(), 9)'
    with pytest.raises(NotDone, match="Crashed"):
        run(submission, monkeypatch, script)
    assert said(submission)[-1] == Crashed(-9, "last words")


def test_stopping_lets_the_command_save(
    submission: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """
say("Started", stage="train")
assert sys.stdin.readline() == "cancel\\n"
say("Cancelled", stage="train", step=5)
exit(130)
"""

    def stop() -> None:
        while not any(isinstance(e, Started) and e.stage == "train" for e in watched.new()):
            time.sleep(0.02)
        submission.stop()

    watched = TaskEvents(submission, "one")
    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(NotDone, match="Cancelled"):
        run(submission, monkeypatch, script)
    thread.join()
    assert said(submission)[-1] == Cancelled("train", 5)


def test_a_stopped_task_does_not_begin(
    submission: Submission, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    submission.stop()
    with pytest.raises(NotDone, match="before it began"):
        run(submission, monkeypatch, f"open({str(tmp_path / 'begun')!r}, 'w')")
    assert said(submission) == [Started("queue"), Cancelled()]
    assert not (tmp_path / "begun").exists()


@pytest.mark.parametrize(("end", "begins"), (
    (Finished(), True), (Failed("no mask"), False), (Cancelled(), False), (None, False),
))  # fmt: skip
def test_a_task_waits_for_the_one_before(
    submission: Submission, monkeypatch: pytest.MonkeyPatch, end: Event | None, begins: bool
) -> None:
    """None: it was killed."""
    lock = submission.lock("before")
    assert lock.take()
    with submission.writing("before") as write:
        write(Started("train"))

    def finish() -> None:
        time.sleep(0.3)
        if end is not None:
            with submission.writing("before") as write:
                write(end)
        lock.give_back()

    thread, began = threading.Thread(target=finish), time.monotonic()
    thread.start()
    if begins:
        assert run(submission, monkeypatch, 'say("Finished")', WAITING) == 0
    else:
        with pytest.raises(NotDone):
            run(submission, monkeypatch, 'say("Finished")', WAITING)
    assert time.monotonic() - began > 0.3
    thread.join()


def test_the_end_of_others_is_enough_where_success_is_not_needed(
    submission: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    with submission.writing("before") as write:
        write(Crashed(-9))
    planned = PlannedTask("one", "one", (), (), ("before",))
    assert run(submission, monkeypatch, 'say("Finished")', planned) == 0


@pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="no such signal here")
def test_the_signal_that_time_is_nearly_up_does_not_end_the_command(
    submission: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = 'os.kill(os.getpid(), signal.SIGUSR2); say("Finished")'
    before = signal.getsignal(signal.SIGUSR2)
    assert run(submission, monkeypatch, script) == 0
    assert signal.getsignal(signal.SIGUSR2) is before


def test_the_same_task_does_not_run_twice(
    submission: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = submission.lock("one")
    assert lock.take()
    with pytest.raises(NotDone, match="another process"):
        run(submission, monkeypatch, 'say("Finished")')
    lock.give_back()


def test_a_task_can_be_sent_and_be_queued_again(submission: Submission) -> None:
    pytest.importorskip("submitit")
    task = Task(str(submission.path), ONE)
    assert pickle.loads(pickle.dumps(task)) == task
    assert task.checkpoint().function == task
    assert os.fspath(task.submission) == str(submission.path)


def test_processes_that_train_together_share_the_processors(submission: Submission) -> None:
    planned = replace(ONE, arguments=("run", "s"), processes=3)
    task = Task(str(submission.path), planned, threads=7)
    command = task._command()
    assert command[:4] == [sys.executable, "-P", "-m", "torch.distributed.run"]
    assert command[-7:] == ["--nproc-per-node", "3", "-m", "napari_singlestrip", "run", "s",
                            "--events"]
    assert task._environment()["OMP_NUM_THREADS"] == "2"
    assert "torch.distributed.run" not in Task(str(submission.path), ONE)._command()
