"""Running a job: from a generator of events to a watcher, with exactly one terminal event.

The console uses `drive`; `run_worker` adds the pipes between a window (or a cluster's launcher) and
this process: events go out on stdout, one JSON line each, and "cancel", "pause" and "resume" come
in on stdin. The end of stdin means that the watcher is gone, and cancels.
"""

from __future__ import annotations

import errno
import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from napari_singlestrip.errors import (
    BUG,
    CANCELLED,
    NOTHING_DONE,
    OK,
    SOME_FAILED,
    USER_MISTAKE,
    InUse,
)
from napari_singlestrip.events import (
    TERMINAL,
    Cancelled,
    Crashed,
    Event,
    Failed,
    Finished,
    Note,
    Progress,
    Started,
)
from napari_singlestrip.failures import MEMORY_HINT, NO_MEMORY, describe
from napari_singlestrip.pipeline.signals import signals_cancel

SECONDS_BETWEEN_PROGRESS = 0.11
Sink = Callable[[Event], None]


class WatcherGone(Exception):
    """Raised by a sink when its reader is gone."""


class Control:
    """The watcher's requests to a job: run, pause or cancel. Thread-safe."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._paused = False
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether the job should stop."""
        return self._cancelled

    @property
    def paused(self) -> bool:
        """Whether the job should wait."""
        return self._paused and not self._cancelled

    def cancel(self) -> None:
        """Ask the job to stop at its next event (without a lock: signal handlers call this)."""
        self._cancelled = True

    def pause(self) -> None:
        """Ask the job to wait at its next event."""
        with self._condition:
            self._paused = True

    def resume(self) -> None:
        """Let a paused job continue."""
        with self._condition:
            self._paused = False
            self._condition.notify_all()

    def wait(self) -> None:
        """Return when the job may continue or is cancelled."""
        while self.paused:
            with self._condition:
                self._condition.wait(timeout=0.1)  # since a signal handler cannot notify


class Throttle:
    """A sink that passes on at most about nine `Progress` events a second.

    The latest one of each stage is always passed on when the stage or the job ends.

    Parameters
    ----------
    sink : callable
        Where events go.
    clock : callable
        Seconds.
    seconds : float
        Between two events that are passed on.
    """

    def __init__(
        self, sink: Sink, clock: Callable[[], float] = time.monotonic,
        seconds: float = SECONDS_BETWEEN_PROGRESS,
    ) -> None:
        self._sink = sink
        self._clock = clock
        self._seconds = seconds
        self._last = -seconds
        self._kept: dict[str, Progress] = {}

    def __call__(self, event: Event) -> None:
        """Pass on `event`, now or later."""
        if isinstance(event, Progress):
            self._progress(event)
            return
        if isinstance(event, (Started, *TERMINAL)):
            kept, self._kept = self._kept, {}
            for progress in kept.values():
                self._sink(progress)
        self._sink(event)

    def _progress(self, event: Progress) -> None:
        self._kept.pop(event.stage, None)  # keeps the order: the latest is passed on last
        self._kept[event.stage] = event
        if self._clock() - self._last >= self._seconds:
            self._last = self._clock()
            self._sink(self._kept.pop(event.stage))


def drive(events: Iterator[Event], sink: Sink, control: Control | None = None) -> int:
    """Run a job to its terminal event, and return the exit code.

    Parameters
    ----------
    events : iterator of Event
        The job. Closing it cancels it; it may yield its own terminal event, or none.
    sink : callable
        Receives every event, with exactly one terminal event at the end.
    control : Control, optional
        Asks the job to pause or cancel. SIGINT, SIGTERM and SIGHUP cancel, too.

    Returns
    -------
    int
        0 finished, 3 finished but some scans failed, 4 finished but none was done, 130 cancelled,
        2 a person's mistake, 1 a bug.
    """
    control = control or Control()
    throttled = Throttle(sink)
    try:
        with signals_cancel(control):
            end = _run(events, throttled, control)
        throttled(end)
    except WatcherGone:
        return CANCELLED
    return exit_code(end)


def exit_code(end: Event) -> int:
    """Return the exit code for a terminal event."""
    if isinstance(end, Finished):
        if not end.n_failed:
            return OK
        return SOME_FAILED if end.n_done else NOTHING_DONE
    if isinstance(end, Cancelled):
        return CANCELLED
    return USER_MISTAKE if isinstance(end, Failed) and not end.traceback else BUG


def run_worker(
    make_events: Callable[[], Iterator[Event]], log: Sink | None = None,
    stop: Callable[[], None] | None = None,
) -> int:
    """Run a job for a watcher at the other end of stdin and stdout.

    Parameters
    ----------
    make_events : callable
        Makes the job; called once stdout is protected, as imports may print.
    log : callable, optional
        Receives every event before it is sent.
    stop : callable, optional
        Obeys "cancel" in the place of cancelling: the job ends when what it watches has ended. The
        end of stdin cancels all the same.

    Returns
    -------
    int
        As `drive`.
    """
    faulthandler.enable()  # a crash in C code leaves its trace on stderr
    channel = _claim_stdout()
    control = Control()
    threading.Thread(
        target=_listen, args=(control, stop or control.cancel), name="listener", daemon=True
    ).start()

    def send(event: Event) -> None:
        if log is not None:
            log(event)
        _write_line(channel, event.to_json())

    return drive(later(make_events), send, control)


def later(make_events: Callable[[], Iterator[Event]]) -> Iterator[Event]:
    """Return the events of `make_events`, which is called lazily."""
    yield from make_events()


def failure(error: BaseException) -> Failed:
    """Describe the error that stopped a job, in plain words if the user can do something."""
    found = describe(error)
    return Failed(found.what, found.hint, found.traceback, isinstance(error, InUse))


def ended(exit_code: int, stderr_tail: str) -> Failed | Crashed:
    """Describe the end of a process that sent no terminal event.

    Parameters
    ----------
    exit_code : int
        Negative for a signal.
    stderr_tail : str
        Its last output. OpenBLAS, for example, terminates the process if memory runs out.
    """
    if exit_code > 0 and NO_MEMORY.search(stderr_tail):
        return Failed("There was not enough memory.", MEMORY_HINT)
    return Crashed(exit_code, stderr_tail)


def _run(events: Iterator[Event], sink: Sink, control: Control) -> Event:
    """Pass on events until the job ends, fails or is cancelled; return the terminal event."""
    began = time.monotonic()
    place = Progress("", 0, 0)
    try:
        try:
            for event in events:
                if isinstance(event, TERMINAL):
                    return event
                sink(event)
                if isinstance(event, Progress):
                    place = event
                _pause(control, sink)
                if control.cancelled:
                    return Cancelled(place.stage, place.step)
        finally:
            _close(events)  # here a job saves its state
    except KeyboardInterrupt:  # Ctrl+C a second time, or without a handler
        return Cancelled(place.stage, place.step)
    except WatcherGone:
        raise
    except Exception as error:  # the only place where an error becomes an event
        failed = failure(error)
        if not failed.traceback:  # otherwise the event takes it to the log
            logging.getLogger(__name__).info("The job stopped here:", exc_info=error)
        return failed
    return Finished(time.monotonic() - began)


def _pause(control: Control, sink: Sink) -> None:
    if control.paused:
        sink(Note("Paused.", state="paused"))
        control.wait()
        if not control.cancelled:
            sink(Note("Resumed.", state="resumed"))


def _close(events: Iterator[Event]) -> None:
    close = getattr(events, "close", None)
    if close is not None:
        close()


def _claim_stdout() -> int:
    """Return a private descriptor of stdout, and redirect all other output to stderr.

    Descriptor 1 itself is redirected, so that not even a C library can corrupt the stream.
    """
    sys.stdout.flush()
    channel = os.dup(1)
    os.dup2(2, 1)
    return channel


def _write_line(channel: int, line: str) -> None:
    data = memoryview(line.encode() + b"\n")
    try:
        while data:
            data = data[os.write(channel, data) :]
    except OSError as error:
        if error.errno in (errno.EPIPE, errno.EINVAL, errno.ECONNRESET):  # EINVAL on Windows
            raise WatcherGone from error
        raise


def _listen(control: Control, stop: Callable[[], None]) -> None:
    """Handle the requests on stdin until it ends.

    The descriptor is read directly: a thread that waits inside `sys.stdin` would hold its lock
    when the interpreter shuts down.
    """
    commands = {b"cancel": stop, b"pause": control.pause, b"resume": control.resume}
    rest = b""
    with suppress(OSError):  # closed by another thread: same as its end
        while data := os.read(0, 4096):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                commands.get(line.strip(), lambda: None)()
    control.cancel()
