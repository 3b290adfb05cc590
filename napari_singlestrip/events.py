"""The vocabulary between a job and whoever watches it: small frozen events, one JSON line each.

A job says `Started`, then any number of `Progress`, `Wrote` and `Note`, then exactly one terminal
event: `Finished`, `Cancelled` or `Failed`. A window adds `Crashed` when the process ends without
one.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

# What can be wrong with one scan: a person can put it right, it is too much for this computer, or
# the program is at fault.
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

    stage: str = ""
    device: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Progress(Event):
    """Where a stage is: ``step`` of ``n_steps``, with the metrics worth plotting."""

    stage: str
    step: int
    n_steps: int
    metrics: dict[str, float] = field(default_factory=dict)
    seconds_left: float | None = None


@dataclass(frozen=True)
class Wrote(Event):
    """A file of the study was written (``path`` relative to the study folder)."""

    path: str
    what: str = ""


@dataclass(frozen=True)
class Note(Event):
    """Something a person should know that does not stop the job.

    Where work on a scan failed, ``kind`` says why, and a bug has its ``traceback``.
    """

    text: str
    level: str = "info"  # "info" or "warning"
    scan: str = ""
    kind: FailureKind | Literal[""] = ""
    traceback: str = ""


@dataclass(frozen=True)
class Finished(Event):
    """Terminal: the job went to its end, with so many scans done and so many that failed.

    A scan is done also if that was so before; each one that failed was told in a `Note`.
    """

    seconds: float = 0.0
    summary: dict[str, float] = field(default_factory=dict)
    n_done: int = 0
    n_failed: int = 0


@dataclass(frozen=True)
class Cancelled(Event):
    """Terminal: stopped on request; the same command resumes."""

    stage: str = ""
    step: int = 0


@dataclass(frozen=True)
class Failed(Event):
    """Terminal: what went wrong, what to do, and for a bug its traceback."""

    what: str
    hint: str = ""
    traceback: str = ""


@dataclass(frozen=True)
class Crashed(Event):
    """Added by the watcher when the process ended without a terminal event."""

    exit_code: int
    stderr_tail: str = ""


TERMINAL = (Finished, Cancelled, Failed, Crashed)


def parse_event(line: str) -> Event:
    """Read one JSON line written by `Event.to_json`.

    Unknown fields are ignored, so that a newer worker can speak to an older window.

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


STAGE_WORDS = {
    "": "Starting",
    "prepare": "Preparing the scans",
    "train": "Training the segmenter",
    "autoencoder": "Training the autoencoder",
    "predict": "Predicting masks",
    "rank": "Ranking masks",
    "finetune": "Fine-tuning",
    "apply": "Applying the model",
    "estimate": "Timing a few steps",
    "heads": "Making sample heads",
    "report": "Writing the report",
    "export": "Writing the model",
    "masks": "Writing the masks",
}
