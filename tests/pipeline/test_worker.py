"""A job and its watcher: real processes, real pipes, and exactly one end."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from napari_singlestrip.errors import UserError
from napari_singlestrip.events import (
    TERMINAL,
    Cancelled,
    Event,
    Failed,
    Finished,
    Note,
    Progress,
    Started,
    Wrote,
    parse_event,
)
from napari_singlestrip.pipeline import signals, worker
from napari_singlestrip.pipeline.signals import CANCELLING_SIGNALS
from napari_singlestrip.pipeline.worker import Control, Throttle, drive, failure, later

PREAMBLE = """
import os, signal, sys, time
from pathlib import Path
if hasattr(signal, "SIGHUP"):  # ignored, and rightly so, where the tests run under nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import *
from napari_singlestrip.pipeline.worker import run_worker

def train(n=2000, seconds=0.01):
    yield Started("train")
    try:
        for step in range(1, n + 1):
            time.sleep(seconds)
            yield Progress("train", step, n)
    finally:
        if len(sys.argv) > 1:
            Path(sys.argv[1]).write_text("saved")
"""


class Worker:
    """A worker process that runs `body`, which defines the generator `job`."""

    def __init__(self, body: str, *arguments: str) -> None:
        script = PREAMBLE + textwrap.dedent(body) + "\nsys.exit(run_worker(job))\n"
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, *arguments], stdin=pipe, stdout=pipe, stderr=pipe
        )
        self.events: list[Event] = []

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def read(self) -> Event | None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            return None
        self.events.append(parse_event(line.decode()))
        return self.events[-1]

    def read_until(self, wanted: Callable[[Event], bool]) -> Event:
        while (event := self.read()) is not None:
            if wanted(event):
                return event
        raise AssertionError(f"the stream ended without it: {self.events[-3:]}")

    def finish(self) -> int:
        """Read to the end, check that there is exactly one end, and return the exit code."""
        while self.read() is not None:
            pass
        code = self.process.wait(timeout=10)
        ends = [event for event in self.events if isinstance(event, TERMINAL)]
        assert len(ends) == 1
        assert self.events[-1] is ends[0]
        return code

    def stderr(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()


@pytest.fixture
def start() -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def make(body: str = "job = train", *arguments: str) -> Worker:
        workers.append(Worker(body, *arguments))
        return workers[-1]

    yield make
    for made in workers:
        made.process.kill()
        made.process.wait()
        for stream in (made.process.stdin, made.process.stdout, made.process.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):  # closing flushes
                    stream.close()


def is_progress(event: Event) -> bool:
    return isinstance(event, Progress)


# --- processes


def test_job_runs_to_its_end(start: Callable[..., Worker]) -> None:
    job = start("job = lambda: train(20, 0.001)")
    assert job.finish() == 0
    assert isinstance(job.events[-1], Finished)
    assert job.events[0] == Started("train")
    assert job.events[-2] == Progress("train", 20, 20)


def test_cancel_saves_and_ends(start: Callable[..., Worker], tmp_path: Path) -> None:
    job = start("job = train", str(tmp_path / "checkpoint"))
    job.read_until(is_progress)
    began = time.monotonic()
    job.say("cancel")
    assert job.finish() == 130
    assert time.monotonic() - began < 3
    end = job.events[-1]
    assert isinstance(end, Cancelled)
    assert end.stage == "train"
    assert 0 < end.step < 2000
    assert (tmp_path / "checkpoint").read_text() == "saved"


def test_pause_and_resume(start: Callable[..., Worker]) -> None:
    job = start()
    job.read_until(is_progress)
    job.say("pause")
    job.read_until(lambda event: event == Note("Paused.", state="paused"))
    heard: list[Event | None] = []
    listener = threading.Thread(target=lambda: heard.append(job.read()))
    listener.start()
    time.sleep(0.5)
    assert heard == []  # nothing continues
    job.say("resume")
    listener.join(timeout=10)
    assert heard == [Note("Resumed.", state="resumed")]
    job.read_until(is_progress)
    job.say("pause")
    job.read_until(lambda event: event == Note("Paused.", state="paused"))
    job.say("cancel")  # while it waits
    assert job.finish() == 130


def test_end_of_stdin_stops_the_worker(start: Callable[..., Worker], tmp_path: Path) -> None:
    job = start("job = train", str(tmp_path / "checkpoint"))
    job.read_until(is_progress)
    assert job.process.stdin is not None
    job.process.stdin.close()
    assert job.finish() == 130
    assert isinstance(job.events[-1], Cancelled)
    assert (tmp_path / "checkpoint").exists()


PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
child.stdout.readline()  # "train" is inside its try only after its first event
print(child.pid, flush=True)
time.sleep(60)
"""


def test_worker_stops_when_its_parent_is_killed(tmp_path: Path) -> None:
    script = PREAMBLE + "\nsys.exit(run_worker(train))\n"
    checkpoint = tmp_path / "checkpoint"
    command = [sys.executable, "-c", PARENT, script, str(checkpoint)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert checkpoint.exists(), f"process {pid} goes on without its parent"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
@pytest.mark.parametrize("number", CANCELLING_SIGNALS)
def test_signal_cancels(
    start: Callable[..., Worker], tmp_path: Path, number: signal.Signals
) -> None:
    job = start("job = train", str(tmp_path / "checkpoint"))
    job.read_until(is_progress)
    job.process.send_signal(number)
    assert job.finish() == 130
    assert isinstance(job.events[-1], Cancelled)
    assert (tmp_path / "checkpoint").exists()


STUCK = {
    "Python that takes no for an answer": """
        def job():
            yield Note("begins")
            while True:
                try:
                    time.sleep(0.1)
                except KeyboardInterrupt:
                    pass
        """,
    "a library that lets Python's threads run": """
        import hashlib
        def job():
            yield Note("begins")
            hashlib.pbkdf2_hmac("sha512", b"a", b"b", 10**9)
        """,
    "a library that keeps all of Python waiting": """
        import itertools
        def job():
            yield Note("begins")
            sum(itertools.repeat(0))
        """,
}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not help")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("where", STUCK)
def test_second_signal_ends_a_job_that_is_stuck(
    start: Callable[..., Worker], where: str, number: signal.Signals
) -> None:
    job = start(STUCK[where])
    job.read_until(lambda event: event == Note("begins"))
    for _ in range(2):
        time.sleep(0.5)
        job.process.send_signal(number)
    assert job.process.wait(timeout=signals.GRACE_SECONDS + 5) in (130, -number)


def test_watcher_that_stops_reading_ends_the_job_quietly(
    start: Callable[..., Worker], tmp_path: Path
) -> None:
    job = start("job = train", str(tmp_path / "checkpoint"))
    job.read_until(is_progress)
    assert job.process.stdout is not None
    job.process.stdout.close()
    assert job.process.wait(timeout=10) == 130
    assert job.stderr() == ""
    assert (tmp_path / "checkpoint").exists()


def test_stray_prints_do_not_spoil_the_stream(start: Callable[..., Worker]) -> None:
    job = start(
        """
        def job():
            print("stray print")
            os.write(1, b"stray bytes\\n")
            os.system("echo stray child")
            sys.__stdout__.write("stray original\\n")
            yield Note("said")
        """
    )
    assert job.finish() == 0
    assert job.events[0] == Note("said")
    said = job.stderr()
    for stray in ("print", "bytes", "child", "original"):
        assert f"stray {stray}" in said


def test_at_most_ten_lines_a_second(start: Callable[..., Worker]) -> None:
    job = start("job = lambda: train(1000, 0.001)")
    assert job.finish() == 0
    end = job.events[-1]
    assert isinstance(end, Finished)
    n_lines = sum(is_progress(event) for event in job.events)
    assert 2 <= n_lines <= 10 * end.seconds + 2
    assert job.events[-2] == Progress("train", 1000, 1000)


@pytest.mark.parametrize(
    ("line", "code", "what", "is_bug"),
    [
        ("raise UserError('a.nii is empty.', 'Leave it out.')", 2, "a.nii is empty.", False),
        ("1 / 0", 1, "ZeroDivisionError", True),
        ("raise MemoryError", 2, "not enough memory", False),
        ("import no_such_module", 1, "no_such_module", True),
    ],
)
def test_failures(
    start: Callable[..., Worker], line: str, code: int, what: str, is_bug: bool
) -> None:
    job = start(f"def job():\n    {line}\n    yield")
    assert job.finish() == code
    end = job.events[-1]
    assert isinstance(end, Failed)
    assert what in end.what
    assert end.hint
    assert bool(end.traceback) == is_bug


def test_job_that_cannot_be_made(start: Callable[..., Worker]) -> None:
    job = start("def job():\n    raise UserError('no study', 'make one')")
    assert job.finish() == 2
    assert job.events == [Failed("no study", "make one")]


# --- in this process


def collect(events: Iterator[Event], control: Control | None = None) -> tuple[int, list[Event]]:
    seen: list[Event] = []
    code = drive(events, seen.append, control)
    return code, seen


def test_end_of_the_job_itself_is_the_only_one() -> None:
    end = Finished(3.0, {"dice": 0.9})
    code, seen = collect(iter([Started("train"), end, Note("too late")]))
    assert (code, seen) == (0, [Started("train"), end])


@pytest.mark.parametrize(
    ("n_done", "n_failed", "expected"), [(0, 0, 0), (3, 0, 0), (3, 1, 3), (0, 2, 4)]
)
def test_exit_code_says_whether_scans_failed(n_done: int, n_failed: int, expected: int) -> None:
    assert collect(iter([Finished(1.0, {}, n_done, n_failed)]))[0] == expected


def test_failure_while_saving_is_told() -> None:
    def job() -> Iterator[Event]:
        try:
            yield Started("train")
            yield Started("rank")
        finally:
            raise UserError("The disk is full.", "Free some space.")

    control = Control()
    control.cancel()
    code, seen = collect(job(), control)
    assert code == 2
    assert seen == [Started("train"), Failed("The disk is full.", "Free some space.")]


def test_second_interrupt_does_not_wait_for_the_next_event() -> None:
    def job() -> Iterator[Event]:
        yield Progress("train", 4, 10)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("goes on")

    before = signal.getsignal(signal.SIGINT)
    code, seen = collect(job())
    assert (code, seen[-1]) == (130, Cancelled("train", 4))
    assert signal.getsignal(signal.SIGINT) is before


def test_ignored_signal_stays_ignored() -> None:
    def job() -> Iterator[Event]:
        yield Note("begins")
        signal.raise_signal(signal.SIGTERM)
        yield Note("goes on")

    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        code, seen = collect(job())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (code, seen[1]) == (0, Note("goes on"))


def test_broken_pipe_inside_the_job_is_a_bug() -> None:
    def job() -> Iterator[Event]:
        yield Note("begins")
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    code, seen = collect(job())
    assert code == 1
    assert isinstance(seen[-1], Failed)
    assert "BrokenPipeError" in seen[-1].traceback


def test_drive_works_in_a_thread() -> None:
    results: list[tuple[int, list[Event]]] = []
    thread = threading.Thread(target=lambda: results.append(collect(iter([Note("hello")]))))
    thread.start()
    thread.join()
    assert results[0][0] == 0


def test_later_closes_the_job_within() -> None:
    closed = []

    def job() -> Iterator[Event]:
        try:
            yield Note("one")
            yield Note("two")
        finally:
            closed.append(True)

    control = Control()
    control.cancel()
    assert collect(later(job), control)[0] == 130
    assert closed == [True]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "conform.spacing_mm"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "training.batch_size"),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "training.batch_size"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.nii"), "Free some space"),
        (RuntimeError("could not create a primitive"), "training.batch_size"),
        (RuntimeError("can't start new thread"), "training.batch_size"),
        (ImportError("x.so: failed to map segment from shared object"), "training.batch_size"),
        (SystemError("error return without exception set"), "training.batch_size"),
        (OSError(errno.EFBIG, os.strerror(errno.EFBIG), "x.nii"), "Free some space"),
    ],
)
def test_what_a_person_can_do_something_about_is_no_bug(error: Exception, words: str) -> None:
    failed = failure(error)
    assert words in failed.hint
    assert failed.traceback == ""


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_throttle_keeps_the_latest_and_never_loses_the_last() -> None:
    seen: list[Event] = []
    clock = Clock()
    throttle = Throttle(seen.append, clock)
    first, second, third = (Progress("train", step, 9) for step in (1, 2, 3))
    throttle(first)
    throttle(second)
    throttle(third)
    assert seen == [first]
    throttle(Wrote("a"))
    assert seen == [first, Wrote("a")]
    throttle(Started("rank"))
    assert seen == [first, Wrote("a"), third, Started("rank")]
    clock.seconds += worker.SECONDS_BETWEEN_PROGRESS
    throttle(Progress("rank", 1, 2))
    throttle(Progress("rank", 2, 2))
    throttle(Finished())
    assert seen[4:] == [Progress("rank", 1, 2), Progress("rank", 2, 2), Finished()]


def test_throttle_limits_stages_that_alternate() -> None:
    seen: list[Event] = []
    throttle = Throttle(seen.append, Clock())
    for step in range(50):
        throttle(Progress("train", step, 50))
        throttle(Progress("prepare", step, 50))
    assert len(seen) == 1
    throttle(Finished())
    assert seen[1:] == [Progress("train", 49, 50), Progress("prepare", 49, 50), Finished()]
