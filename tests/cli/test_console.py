"""What a person sees of a job in a terminal and in a log file."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console

from napari_singlestrip.cli.console import ConsoleSink, format_cell, show_table
from napari_singlestrip.events import Event, Finished, Note, Progress, Started


def shown(events: list[Event], *, terminal: bool) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=120, color_system=None)
    sink = ConsoleSink(console=console)
    for event in events:
        sink(event)
    sink.close()
    return file.getvalue()


def test_terminal_shows_bars_with_time_left() -> None:
    text = shown(
        [
            Started("train", "cpu"),
            Progress("train", 5, 10, {"loss": 0.5}, 200.0),
            Note("Careful.", "warning"),
            Started("predict"),
            Progress("predict", 1, 4, {}, 9.0),
        ],
        terminal=True,
    )
    for words in ("train", "5/10", "3 min left", "loss 0.5", "Warning: Careful.", "1/4"):
        assert words in text


def test_log_file_gets_few_lines() -> None:
    steps: list[Event] = [Progress("train", step, 500) for step in range(1, 501)]
    lines = shown([Started("train", "cpu"), *steps, Finished(8.0)], terminal=False).splitlines()
    assert lines == ["train: on cpu", "train 1/500", "train 500/500", "Done in 8 s."]


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "-"), (math.nan, "-"), (0.97123, "0.971"), (1432.7, "1433"), (True, "yes"),
     (False, ""), (3, "3"), ("x", "x")],
)  # fmt: skip
def test_cells(value: object, words: str) -> None:
    assert format_cell(value) == words


def test_names_with_brackets_are_shown_as_they_are() -> None:
    file = io.StringIO()
    show_table(Console(file=file, width=80), [{"scan": "sub-[red]01", "dice": 0.5}])
    assert "sub-[red]01" in file.getvalue()
