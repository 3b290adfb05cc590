"""The process that a scheduler starts: it runs one command and writes down what that says.

The command is a process of its own, as it is for the window: whatever ends it (a crash in a
library, too little memory) is known, and told.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from napari_singlestrip.errors import OK
from napari_singlestrip.events import TERMINAL, Cancelled, Event, Failed, Started, parse_event
from napari_singlestrip.pipeline.worker import Sink, Throttle, ended, exit_code
from napari_singlestrip.study.submission import PlannedTask, Submission, TaskEvents, failed

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_BETWEEN_BEATS = 20.0
SECONDS_BETWEEN_PROGRESS = 2.0  # in the file of events, which is read over the network
SECONDS_TO_BEGIN = 300.0  # for another task that was started together with this one
SECONDS_TO_SAVE = 60.0  # for a command whose task is ended
STDERR_TAIL = 8_000
PARTLY_DONE = (3, 4)  # some scans failed, each of which was told: others go on from there


class NotDone(RuntimeError):
    """Raised at the end of a task, for the scheduler: what waits for it must not begin."""


@dataclass(frozen=True)
class Task:
    """What the scheduler calls.

    Attributes
    ----------
    submission : str
        Folder of the submission.
    planned : PlannedTask
    threads : int
        Of the numerical libraries; 0 leaves it to them.
    waits : bool
        Whether it has to wait itself for the tasks before it: the scheduler does not.
    """

    submission: str
    planned: PlannedTask
    threads: int = 0
    waits: bool = False

    def __call__(self) -> int:
        """Run the command; return its exit code.

        Raises
        ------
        NotDone
            If it did not go to its end.
        """
        submission, name = Submission(Path(self.submission)), self.planned.name
        lock = submission.lock(name)
        if not lock.take():
            raise NotDone(f"another process works on {name}")
        try:
            with submission.writing(name) as write:
                write(Started("queue"))  # from now on, whether it is alive can be seen
                return self._run(submission, lock.beat, write)
        finally:
            lock.give_back()

    def checkpoint(self) -> Any:
        """Say what is to be done when the scheduler starts it again: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _run(self, submission: Submission, beat: Any, write: Sink) -> int:
        watch = _Watch(submission, beat)
        with watch.looking():
            if self.waits and not _may_begin(submission, self.planned, watch.stopped):
                watch.stopped.set()
            if submission.is_stopped or watch.stopped.is_set():
                write(Cancelled())
                raise NotDone("stopped before it began")
            thinned = Throttle(write, seconds=SECONDS_BETWEEN_PROGRESS)
            end = self._watched(submission, watch, thinned)
        code = exit_code(end)
        if code == OK or code in PARTLY_DONE:
            return code
        raise NotDone(f"{type(end).__name__}: {getattr(end, 'what', '')}")

    def _watched(self, submission: Submission, watch: _Watch, write: Sink) -> Event:
        """Run the command and pass on its events; return the last one."""
        said = submission.path / f"{self.planned.name}.stderr"
        with said.open("wb") as stderr, _running(self._command(), self._environment(), stderr) as (
            process
        ):
            watch.process = process
            assert process.stdout is not None
            end: Event | None = None
            for line in process.stdout:
                with suppress(ValueError, TypeError):  # whatever a library prints
                    event = parse_event(line.decode(errors="replace"))
                    end = event if isinstance(event, TERMINAL) else end
                    write(event)
            code = process.wait()
        if end is None:
            end = ended(code, said.read_bytes()[-STDERR_TAIL:].decode(errors="replace"))
            write(end)
        return end

    def _command(self) -> list[str]:
        return [sys.executable, "-P", *together(self.planned.processes), "-m",
                "napari_singlestrip", *self.planned.arguments, "--events"]

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}
        if self.threads:
            threads = max(1, self.threads // self.planned.processes)
            environment["OMP_NUM_THREADS"] = str(threads)
        return environment


def together(processes: int) -> tuple[str, ...]:
    """Return what lets Python start a module as several processes that train together.

    All are on one computer: at a free port, so that two trainings may share it, and at its own
    address, as looking up its name may take minutes where a name server does not answer.
    """
    if processes == 1:
        return ()
    return ("-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1",
            "--nproc-per-node", str(processes))


class _Watch:
    """A thread that says that the task is alive, and stops the command when a person wants it."""

    def __init__(self, submission: Submission, beat: Any) -> None:
        self._submission, self._beat = submission, beat
        self._over = threading.Event()
        self.stopped = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def looking(self) -> Iterator[None]:
        thread = threading.Thread(target=self._look, name="task-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _look(self) -> None:
        beaten, told = time.monotonic(), False
        while not self._over.wait(SECONDS_BETWEEN_LOOKS):
            if time.monotonic() - beaten >= SECONDS_BETWEEN_BEATS:
                self._beat()
                beaten = time.monotonic()
            if self._submission.is_stopped:
                self.stopped.set()
                told = told or _say_cancel(self.process)


def _say_cancel(process: subprocess.Popen[bytes] | None) -> bool:
    if process is None or process.stdin is None:
        return False
    with suppress(OSError, ValueError):  # it has ended
        process.stdin.write(b"cancel\n")
        process.stdin.flush()
    return True


@contextmanager
def _running(
    command: list[str], environment: dict[str, str], stderr: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command; whatever ends us ends its standard input, upon which it saves and ends."""
    with _not_for_the_command():
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
            env=environment, cwd=sys.prefix,
        )
    try:
        yield process
    finally:
        assert process.stdin is not None and process.stdout is not None
        with suppress(OSError):
            process.stdin.close()
        process.stdout.close()
        try:
            process.wait(timeout=SECONDS_TO_SAVE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _not_for_the_command() -> Iterator[None]:
    """Let the command ignore the signal by which the scheduler says that time is nearly up.

    SLURM sends it to every process of a job, and it would end the command before it can save.
    """
    number = getattr(signal, "SIGUSR2", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


def _may_begin(submission: Submission, task: PlannedTask, stopped: threading.Event) -> bool:
    """Wait for the tasks before; say whether those that must succeed did."""
    for name in (*task.after_success, *task.after_end):
        end = _wait_for(submission, name, stopped)
        if end is None or (name in task.after_success and failed(end)):
            return False
    return True


def _wait_for(submission: Submission, name: str, stopped: threading.Event) -> Event | None:
    """Return how a task ended; None when a person stopped all of them meanwhile."""
    task, since = TaskEvents(submission, name), time.monotonic()
    while not stopped.wait(SECONDS_BETWEEN_LOOKS):
        if (end := task.ended()) is not None:
            return end
        if not task.begun and time.monotonic() - since > SECONDS_TO_BEGIN:
            return Failed(f"{name} did not begin.")
    return None
