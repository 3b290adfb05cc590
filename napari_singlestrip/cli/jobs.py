"""Running a command for a person at a terminal, or for a program that reads its events."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import typer

from napari_singlestrip.errors import NOTHING_DONE, OK, SOME_FAILED, USER_MISTAKE
from napari_singlestrip.texts import printable

if TYPE_CHECKING:
    from napari_singlestrip.events import Event
    from napari_singlestrip.failures import Failure


def write_file(
    what: str, path: Path, write: Callable[[], Sequence[str] | None], events: bool
) -> None:
    """Write one file, and say so to a person or a program; `write` returns what it lacks.

    Never in the place of a scan.
    """
    from napari_singlestrip.engine.imaging.scan_files import check_file_name

    check_file_name(path)

    def job() -> Iterator[Event]:
        from napari_singlestrip.events import Finished, Note, Started, Wrote

        yield Started(what)
        problems = write() or ()
        for problem in problems:
            yield Note(problem, "warning")
        yield Wrote(str(path), what)
        yield Finished(n_done=1, n_failed=len(problems))

    if events:
        run_job(job, events, quiet=True)
    problems = write() or ()
    for problem in problems:
        typer.echo(printable(f"Warning: {problem}"), err=True)
    typer.echo(printable(f"Wrote {path}"))
    leave(1, len(problems))


def with_problems(problems: Sequence[Failure], events: Iterator[Event]) -> Iterator[Event]:
    """Tell of what was named and is no scan, once the job has begun; each counts as one failed."""
    from napari_singlestrip.events import Finished

    with closing(events) as inner:  # type: ignore[type-var]
        for n, event in enumerate(inner):
            if isinstance(event, Finished):
                event = replace(event, n_failed=event.n_failed + len(problems))
            yield event
            for problem in problems if n == 0 else ():
                yield problem.note("")


def leave(n_done: int, n_failed: int) -> None:
    """End a command of which some scans, or all, failed; each one was told."""
    if n_failed:
        raise typer.Exit(SOME_FAILED if n_done else NOTHING_DONE)


def say_anything() -> None:
    """Let whatever is printed be printed, whichever letters the terminal has: others are escaped.

    File names may hold any letters, and bytes that are none.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def run_job(
    job: Callable[[], Iterator[Event]],
    events: bool,
    quiet: bool,
    log_folder: Path | None = None,
    after: Callable[[], None] | None = None,
) -> None:
    """Run a job for a program or for a person, and leave with its exit code.

    When it is done, `after` tells a person more than events can.
    """
    from napari_singlestrip.pipeline.worker import drive, later, run_worker
    from napari_singlestrip.study.job_log import JobLog

    with ExitStack() as stack:
        log = stack.enter_context(closing(JobLog(log_folder))) if log_folder else None
        if events:
            raise typer.Exit(run_worker(job, log))
        from napari_singlestrip.cli.console import ConsoleSink

        show = stack.enter_context(closing(ConsoleSink(quiet)))

        def sink(event: Event) -> None:
            if log is not None:
                log(event)
            show(event)

        code = drive(later(job), sink)
        if after is not None and code in (OK, SOME_FAILED) and not quiet:
            after()
        raise typer.Exit(code)


def say_failure(error: Exception) -> int:
    """Say what a person can do about `error`; raise it again when it is a bug."""
    from napari_singlestrip.cli.console import show_failure
    from napari_singlestrip.pipeline.worker import failure

    failed = failure(error)
    if failed.traceback:
        raise error
    show_failure(failed)
    return USER_MISTAKE


def report_bug(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Show the traceback of a bug, and say where it belongs; for ``sys.excepthook``."""
    traceback.print_exception(kind, error, trace)
    sys.stderr.write("This is a bug. Please report it with what `singlestrip doctor` prints.\n")


def speak_utf8() -> None:
    """Start anew in Python's UTF-8 mode, where the locale would not let us name all files.

    Names of masks and studies are the same under every locale; under ``LC_ALL=C`` Python could not
    write those with an umlaut.
    """
    encoding = sys.getfilesystemencoding().replace("-", "").lower()
    if os.name == "posix" and encoding != "utf8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
