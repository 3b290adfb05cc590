"""Events survive the line between two processes."""

from __future__ import annotations

import json

import pytest

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
    Wrote,
    parse_event,
    seconds_left,
)

EXAMPLES = [
    Started("train", "cpu", "12 scans"),
    Progress("train", 3, 10, {"loss": 0.25, "dice": 0.5}, 12.5),
    Wrote("rounds/00/scores.csv", "scores"),
    Note("Grüße: 4D, the mean of 12 frames\nis used", "warning", "sub-01 [T1w]"),
    Finished(12.5, {"dice": 0.97}),
    Cancelled("train", 3),
    Failed("what", "hint", "Traceback\n  line"),
    Crashed(-11, "Segmentation fault"),
]


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_event_comes_back_as_it_was(event: Event) -> None:
    line = event.to_json()
    assert "\n" not in line
    assert parse_event(line) == event


def test_examples_hold_every_event() -> None:
    assert {type(event) for event in EXAMPLES} == set(Event.registry.values())


def test_terminal_events_are_those_that_end_a_job() -> None:
    ends = {Finished, Cancelled, Failed, Crashed}
    assert {type(event) for event in EXAMPLES if isinstance(event, TERMINAL)} == ends


def test_unknown_field_of_a_newer_worker_is_ignored() -> None:
    fields = {**json.loads(EXAMPLES[0].to_json()), "colour": "red"}
    assert parse_event(json.dumps(fields)) == EXAMPLES[0]


@pytest.mark.parametrize(
    "line", ["", "hello", "[]", "3", "null", "{}", '{"event": "Party"}', '{"event": ["a"]}']
)
def test_what_is_not_an_event_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not an event"):
        parse_event(line)


def test_missing_field_is_refused() -> None:
    with pytest.raises(ValueError, match="not an event"):
        parse_event('{"event": "Progress", "stage": "train"}')


def test_events_are_frozen() -> None:
    with pytest.raises(AttributeError):
        EXAMPLES[0].stage = "other"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("spent", "done", "total", "left"), [(10.0, 1, 4, 30.0), (10.0, 4, 4, 0.0), (6.0, 3, 5, 4.0)]
)
def test_the_rest_takes_as_long_for_each_piece_as_so_far(
    spent: float, done: int, total: int, left: float
) -> None:
    assert seconds_left(spent, done, total) == pytest.approx(left)
