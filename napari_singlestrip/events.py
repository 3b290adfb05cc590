"""The events between a job and its watcher: small frozen objects, one JSON line each.

A job sends `Started`, then any number of `Progress`, `Wrote` and `Note`, then exactly one terminal
event: `Finished`, `Cancelled` or `Failed`. The window adds `Crashed` if the process ends without
one.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from napari_singlestrip.vocabulary import StageName, Written

# Causes of a failure: the user can fix it, it exceeds this computer's resources, or it is a bug.
FailureKind = Literal["mistake", "limit", "bug"]


@dataclass(frozen=True)
class Event:
    """Base of all events; the class name is the JSON line's "event" field."""

    registry: ClassVar[dict[str, type[Event]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Event.registry[cls.__name__] = cls

    def to_json(self) -> str:
        """One line of JSON without newlines."""
        return json.dumps({"event": type(self).__name__, **dataclasses.asdict(self)})


@dataclass(frozen=True)
class Started(Event):
    """A job (``stage`` empty) or a stage begins."""

    stage: StageName = ""
    device: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Progress(Event):
    """Progress of a stage: ``step`` of ``n_steps``, with metrics to plot."""

    stage: StageName
    step: int
    n_steps: int
    metrics: dict[str, float] = field(default_factory=dict)
    seconds_left: float | None = None


def seconds_left(spent: float, done: int, total: int) -> float:
    """Estimate the remaining time from the mean time per item so far.

    Parameters
    ----------
    spent : float
        Seconds that the finished items took.
    done, total : int
        Items, at least one of them done.
    """
    return spent / done * (total - done)


@dataclass(frozen=True)
class Wrote(Event):
    """A file of the study was written (``path`` relative to the study folder)."""

    path: str
    what: Written = ""


@dataclass(frozen=True)
class Note(Event):
    """A remark for the user that does not stop the job.

    If a scan failed, ``kind`` is the cause, and a bug has a ``traceback``. A job reports that it
    was paused or resumed by ``state``.
    """

    text: str
    level: str = "info"  # "info" or "warning"
    scan: str = ""
    kind: FailureKind | Literal[""] = ""
    traceback: str = ""
    state: Literal["", "paused", "resumed"] = ""


@dataclass(frozen=True)
class Finished(Event):
    """Terminal: the job is complete, with the numbers of scans that are done and that failed.

    A scan also counts as done if it was done before; each failure was reported in a `Note`.
    """

    seconds: float = 0.0
    summary: dict[str, float] = field(default_factory=dict)
    n_done: int = 0
    n_failed: int = 0


@dataclass(frozen=True)
class Cancelled(Event):
    """Terminal: stopped on request; the same command resumes."""

    stage: StageName = ""
    step: int = 0


@dataclass(frozen=True)
class Failed(Event):
    """Terminal: what went wrong, what to do, and for a bug its traceback.

    `in_use` tells that nothing was begun, since another job works on the study.
    """

    what: str
    hint: str = ""
    traceback: str = ""
    in_use: bool = False


@dataclass(frozen=True)
class Crashed(Event):
    """Added by the watcher when the process ended without a terminal event."""

    exit_code: int
    stderr_tail: str = ""


TERMINAL = (Finished, Cancelled, Failed, Crashed)


def parse_event(line: str) -> Event:
    """Read one JSON line written by `Event.to_json`.

    Unknown fields and words are let through, so that a newer worker can speak to an older window; a
    discriminated union of pydantic would refuse an event whose stage or kind is new.

    Raises
    ------
    ValueError
        If the line is not one of our events.
    """
    try:
        fields = json.loads(line)
        cls = Event.registry[fields.pop("event")]
    except (json.JSONDecodeError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"not an event: {line[:200]!r}") from error
    known = {f.name for f in dataclasses.fields(cls)}
    try:
        return cls(**{name: value for name, value in fields.items() if name in known})
    except TypeError as error:  # a field is missing
        raise ValueError(f"not an event: {line[:200]!r}") from error

