"""Running a command for a user at a terminal, or for a program that reads its events."""

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
from typing import TYPE_CHECKING, Literal

import typer

from napari_singlestrip.errors import CANCELLED, NOTHING_DONE, OK, SOME_FAILED, USER_MISTAKE
from napari_singlestrip.texts import printable

if TYPE_CHECKING:
    from napari_singlestrip.events import Event
    from napari_singlestrip.failures import Failure


def write_file(
    what: Literal["report", "export"],
    path: Path,
    write: Callable[[], Sequence[str] | None],
    events: bool,
) -> None:
    """Write one file, and report it to the user or a program; `write` returns problems.

    A scan is never overwritten.
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
    """Report inputs that are not scans after the job started; each counts as failed."""
    from napari_singlestrip.events import Finished

    with closing(events) as inner:  # type: ignore[type-var]
        for n, event in enumerate(inner):
            if isinstance(event, Finished):
                event = replace(event, n_failed=event.n_failed + len(problems))
            yield event
            for problem in problems if n == 0 else ():
                yield problem.note("")


def leave(n_done: int, n_failed: int) -> None:
    """Exit a command for which some or all scans failed (each was reported)."""
    if n_failed:
        raise typer.Exit(SOME_FAILED if n_done else NOTHING_DONE)


def say_anything() -> None:
    """Escape characters that the terminal cannot encode, instead of failing.

    File names may contain any characters, and invalid bytes.
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
    """Run a job for a program or for a user, and exit with its exit code.

    When it is done, `after` prints more to the user than events can hold.
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
    """Print what the user can do about `error`; re-raise it if it is a bug."""
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
    """Show the traceback of a bug, and where to report it; for ``sys.excepthook``."""
    traceback.print_exception(kind, error, trace)
    sys.stderr.write("This is a bug. Please report it with what `singlestrip doctor` prints.\n")


def speak_utf8() -> None:
    """Restart in Python's UTF-8 mode if the locale does not support all file names.

    Names of masks and studies must not depend on the locale; under ``LC_ALL=C`` Python could not
    write those with an umlaut.
    """
    encoding = sys.getfilesystemencoding().replace("-", "").lower()
    if os.name == "posix" and encoding != "utf8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def run_program(
    app: typer.Typer,
    name: str,
    arguments: list[str] | None,
    spread: Callable[[Sequence[str]], list[str]],
) -> int:
    """Run a command line and return its exit code, one of `errors`.

    A bug is raised: Python shows its traceback and exits with 1.

    Parameters
    ----------
    app : Typer
    name : str
        What the program is called.
    arguments : list of str, optional
        Instead of those of the process.
    spread : callable
        Lets options take several words.
    """
    if arguments is None:
        speak_utf8()
    say_anything()
    try:
        given = sys.argv[1:] if arguments is None else arguments
        app(args=spread(given), prog_name=name)
    except Exception as error:  # noqa: BLE001 - a bug is raised again there
        return say_failure(error)
    except KeyboardInterrupt:
        return CANCELLED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else OK
    finally:
        sys.excepthook = report_bug  # after typer, which sets its own
    return OK
