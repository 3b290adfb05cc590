"""The output of the command line: progress bars, notes, tables, and the outcome of a job."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from napari_singlestrip.events import Cancelled, Event, Failed, Finished, Note, Progress, Started
from napari_singlestrip.texts import duration, printable

WIDTH_OF_FILES = 200  # tables in a log file or a pipe are not broken to 80 columns
SECONDS_BETWEEN_LINES = 30.0


def make_console(*, stderr: bool = False) -> Console:
    """Return the console for output."""
    console = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = WIDTH_OF_FILES
    return console


class ConsoleSink:
    """Shows the events of a job.

    In a terminal each stage has a progress bar; to a log file or a pipe, lines are written at
    intervals.

    Parameters
    ----------
    quiet : bool
        Show warnings and failures only.
    console : Console, optional
        Output; standard output by default.
    """

    def __init__(self, quiet: bool = False, console: Console | None = None) -> None:
        self.console = console or make_console()
        self._quiet = quiet
        self._stage = ""
        self._task: TaskID | None = None
        self._last_line = -math.inf
        self._bars: Bars | None = None

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Note):
            self._note(event)
        elif isinstance(event, Failed):
            self.close()
            show_failure(event)
        elif isinstance(event, Cancelled):
            self.close()
            self._say("Stopped. Repeat the same command to resume.", "yellow", True)
        elif isinstance(event, Finished):
            self.close()
            self._finished(event)
        elif self._quiet:
            return
        elif isinstance(event, Progress):
            self._progress(event)
        elif isinstance(event, Started):
            self._started(event)

    def close(self) -> None:
        """Stop updating the bars, leaving them on screen."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def _say(self, text: str, style: str = "", always: bool = False) -> None:
        if always or not self._quiet:
            # Text, not markup: file names may hold [brackets].
            self.console.print(Text(printable(text), style=style))

    def _note(self, note: Note) -> None:
        warning = note.level == "warning"
        text = (
            f"{note.scan}: {note.text}" if note.scan and note.scan not in note.text else note.text
        )
        if note.traceback:
            show_traceback(note.traceback)
        self._say(f"Warning: {text}" if warning else text, "yellow" if warning else "", warning)

    def _started(self, event: Started) -> None:
        self._last_line = -math.inf
        text = " ".join(
            part for part in (event.detail, event.device and f"on {event.device}") if part
        )
        if not self.console.is_terminal or not event.stage:
            self._say(": ".join(part for part in (event.stage, text) if part))

    def _progress(self, event: Progress) -> None:
        if not self.console.is_terminal:
            self._progress_line(event)
            return
        if self._bars is None:
            self._bars = _make_bars(self.console)
            self._bars.start()
        if self._task is None or event.stage != self._stage:
            self._stage = event.stage
            self._task = self._bars.add_task(event.stage, total=event.n_steps, left="", metrics="")
        self._bars.update(
            self._task,
            completed=event.step,
            total=event.n_steps,
            left=_left(event),
            metrics=_metrics(event),
        )

    def _progress_line(self, event: Progress) -> None:
        if event.stage != self._stage:
            self._stage, self._last_line = event.stage, -math.inf
        done = event.step >= event.n_steps
        if done or time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            parts = [f"{event.stage} {event.step}/{event.n_steps}", _metrics(event), _left(event)]
            self._say("  ".join(part for part in parts if part))

    def _finished(self, event: Finished) -> None:
        for name, value in event.summary.items():
            self._say(f"  {name}: {format_cell(value)}")
        if event.n_failed:
            self._say(how_it_went(event.n_done, event.n_failed), "yellow", True)
        elif event.seconds > 0:
            self._say(f"Done in {duration(event.seconds)}.", "green")


def how_it_went(n_done: int, n_failed: int) -> str:
    """Summarise how many scans failed (each was reported before)."""
    scans = "1 scan" if n_failed == 1 else f"{n_failed} scans"
    if n_done:
        return f"Done, but {scans} failed."
    return f"Nothing was done: {scans} failed."


def show_traceback(text: str) -> None:
    """Print the traceback of a bug to stderr."""
    console = make_console(stderr=True)
    for line in text.rstrip().splitlines():
        console.print(Text(printable(line)))


def show_failure(event: Failed) -> None:
    """Print to stderr what went wrong and what to do; for a bug, its traceback first."""
    console = make_console(stderr=True)
    if event.traceback:
        show_traceback(event.traceback)
    console.print(Text(printable(event.what), style="bold red"))
    if event.hint:
        console.print(Text(printable(event.hint)))


def show_table(console: Console, rows: Sequence[Mapping[str, object]], title: str = "") -> None:
    """Print rows (column name to value) as a table; numbers are right-aligned."""
    if not rows:
        return
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for name in rows[0]:
        is_number = any(isinstance(row[name], (int, float)) for row in rows)
        table.add_column(name.replace("_", " "), justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*(Text(printable(format_cell(value))) for value in row.values()))
    console.print(table)


def format_cell(value: object) -> str:
    """Format a value: three decimals, and a dash if unknown."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)


def _make_bars(console: Console) -> Bars:
    return Bars(
        TextColumn("{task.description:12s}", markup=False),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
        TextColumn("{task.fields[metrics]}", markup=False),
        console=console,
    )


def _left(event: Progress) -> str:
    if event.seconds_left is None or event.step >= event.n_steps:
        return ""
    return f"{duration(event.seconds_left)} left"


def _metrics(event: Progress) -> str:
    return "  ".join(f"{name} {value:.3g}" for name, value in list(event.metrics.items())[:3])
