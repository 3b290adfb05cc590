"""Running a command for a person at a terminal, or for a program that reads its events."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import typer

from napari_singlestrip.errors import OK, USER_MISTAKE, UserError
from napari_singlestrip.texts import printable

if TYPE_CHECKING:
    from napari_singlestrip.events import Event


def write_file(what: str, path: Path, write: Callable[[], None], events: bool) -> None:
    """Write one file, and say so to a person or a program; never in the place of a scan."""
    from napari_singlestrip.engine.scan_files import check_file_name

    check_file_name(path)
    if not events:
        write()
        typer.echo(printable(f"Wrote {path}"))
        return

    def job() -> Iterator[Event]:
        from napari_singlestrip.events import Started, Wrote

        yield Started(what)
        write()
        yield Wrote(str(path), what)

    run_job(job, events, quiet=True)


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
    from contextlib import ExitStack, closing

    from napari_singlestrip.job_log import JobLog
    from napari_singlestrip.worker import drive, later, run_worker

    with ExitStack() as stack:
        log = stack.enter_context(closing(JobLog(log_folder))) if log_folder else None
        if events:
            raise typer.Exit(run_worker(job, log))
        from napari_singlestrip.console import ConsoleSink

        show = stack.enter_context(closing(ConsoleSink(quiet)))

        def sink(event: Event) -> None:
            if log is not None:
                log(event)
            show(event)

        code = drive(later(job), sink)
        if after is not None and code == OK and not quiet:
            after()
        raise typer.Exit(code)


def say_failure(error: UserError | MemoryError | OSError) -> int:
    """Say what a person can do about `error`; raise it again when it is a bug."""
    from napari_singlestrip.console import show_failure
    from napari_singlestrip.worker import failure

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
    write those with an umlaut. What a terminal cannot show, it shows as its escape.
    """
    encoding = sys.getfilesystemencoding().replace("-", "").lower()
    if os.name == "posix" and encoding != "utf8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
