"""What was handed to a scheduler, and how far it is: files in the study, which every host sees.

``submissions/001/`` holds the plan (which tasks there are, and which wait for which), one file of
events for each task, a lock while the task runs, and the scheduler's own logs. Whoever follows
needs these files only: no scheduler, no connection, no process that stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_singlestrip.errors import UserError
from napari_singlestrip.events import TERMINAL, Cancelled, Crashed, Event, Failed, parse_event
from napari_singlestrip.files.atomic import (
    open_regular,
    open_to_append,
    read_json,
    read_text,
    refuse_links,
    write_json_atomic,
    write_text_atomic,
)
from napari_singlestrip.study.lock import FolderLock

FOLDER = "submissions"
PLAN, IDS, STOP, OVER, LOGS = "plan.json", "ids.json", "stop", "over", "log"
MAX_READ = 4 * 2**20  # bytes of one task's events at a time


@dataclass(frozen=True)
class PlannedTask:
    """One process that the scheduler starts.

    Attributes
    ----------
    name : str
        Also of its files.
    step : str
        What it belongs to; the tasks of one step run at the same time.
    arguments : tuple of str
        Of the command line.
    after_success, after_end : tuple of str
        Tasks that must have succeeded, or just ended, before it begins.
    processes : int
        That train together, each on a graphics card of its own (torchrun).
    """

    name: str
    step: str
    arguments: tuple[str, ...]
    after_success: tuple[str, ...] = ()
    after_end: tuple[str, ...] = ()
    processes: int = 1


@dataclass(frozen=True)
class Plan:
    """Tasks in the order in which they begin, and the scheduler that has them."""

    scheduler: str
    tasks: tuple[PlannedTask, ...]

    @property
    def steps(self) -> tuple[str, ...]:
        """Names of the steps, in order."""
        return tuple(dict.fromkeys(task.step for task in self.tasks))

    def of_step(self, step: str) -> tuple[PlannedTask, ...]:
        """Tasks of one step."""
        return tuple(task for task in self.tasks if task.step == step)


@dataclass(frozen=True)
class Submission:
    """The folder of one submission."""

    path: Path

    @property
    def name(self) -> str:
        """Its number, as its folder is called."""
        return self.path.name

    @property
    def study(self) -> Path:
        """Folder of the study."""
        return self.path.parent.parent

    @property
    def logs(self) -> Path:
        """Folder of what the scheduler writes."""
        return self.path / LOGS

    def events(self, task: str) -> Path:
        """What a task says, one event a line."""
        return self.path / f"{task}.jsonl"

    def lock(self, task: str) -> FolderLock:
        """The lock that a task holds while it runs."""
        return FolderLock(self.path / f"{task}.lock")

    def plan(self) -> Plan:
        """Read the plan.

        Raises
        ------
        UserError
            If it is damaged.
        """
        try:
            content = read_json(self.path / PLAN)
            tasks = tuple(_task_of(task) for task in content["tasks"])
            return Plan(str(content["scheduler"]), tasks)
        except (LookupError, TypeError, ValueError, OSError) as error:
            raise UserError(
                f"{self.path / PLAN} is damaged.", f"Delete {self.path} and submit again."
            ) from error

    def ids(self) -> dict[str, str]:
        """The scheduler's numbers of the tasks, as far as it took them."""
        with suppress(OSError, UserError):
            content = read_json(self.path / IDS)
            if isinstance(content, dict):
                return {str(name): str(number) for name, number in content.items()}
        return {}

    def note_ids(self, ids: Mapping[str, str]) -> None:
        """Keep the scheduler's numbers."""
        write_json_atomic(self.path / IDS, dict(ids))

    @property
    def is_stopped(self) -> bool:
        """Whether a person stopped it, or the scheduler refused a part of it."""
        return (self.path / STOP).exists()

    @property
    def refusal(self) -> Failed | None:
        """What the scheduler refused it with; None where a person stopped it."""
        with suppress(OSError, UserError):
            what, _, hint = read_text(self.path / STOP).partition("\n")
            return Failed(what, hint) if what else None
        return None

    def stop(self, refusal: UserError | None = None) -> None:
        """Ask all tasks to stop: those that run save what they have, the others end at once.

        Parameters
        ----------
        refusal : UserError, optional
            Why the scheduler does not take it.
        """
        why = () if refusal is None else (refusal.what, refusal.hint)
        write_text_atomic(self.path / STOP, "\n".join(" ".join(text.split()) for text in why))

    @property
    def is_over(self) -> bool:
        """Whether somebody who followed it has seen its end."""
        return (self.path / OVER).exists()

    def note_over(self) -> None:
        """Note that there is nothing left to follow."""
        write_text_atomic(self.path / OVER, "")

    @contextmanager
    def writing(self, task: str) -> Iterator[EventFile]:
        """Open the file of events of a task, to add to it."""
        file = open_to_append(self.events(task))
        with file:
            yield EventFile(file.fileno())


class EventFile:
    """A sink that adds events to an open file, each in one piece."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, event: Event) -> None:
        """Add one event."""
        # After a kill the last line may be half: it stays one of its own.
        os.write(self._descriptor, f"\n{event.to_json()}\n".encode())


class TaskEvents:
    """Reads what a task says, as it grows.

    Parameters
    ----------
    submission : Submission
    name : str
        Of the task.

    Attributes
    ----------
    end : Event or None
        How the task ended; None while it has not, or once it was started again.
    begun : bool
    """

    def __init__(self, submission: Submission, name: str) -> None:
        self.name = name
        self._path, self._lock = submission.events(name), submission.lock(name)
        self._read = 0
        self._rest = b""
        self.begun = False
        self.end: Event | None = None

    @property
    def is_running(self) -> bool:
        """Whether its process is there, as far as can be seen from here."""
        return self._lock.seems_held()

    def ended(self) -> Event | None:
        """Return how the task ended, also if it was killed; None while it has not."""
        is_free = not self.is_running  # first: a task writes its end, then lets go of the lock
        while self.new():
            pass
        if self.begun and self.end is None and is_free:
            return Crashed(-9, f"{self.name} was killed")
        return self.end

    def new(self) -> list[Event]:
        """Return what was said since the last look."""
        with suppress(OSError, UserError):
            if self._path.stat().st_size > self._read:
                with open_regular(self._path) as file:
                    file.seek(self._read)
                    data = file.read(MAX_READ)
                self._read += len(data)
                return self._parsed(data)
        return []

    def _parsed(self, data: bytes) -> list[Event]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        events = []
        for line in lines:
            with suppress(ValueError, TypeError):  # half a line
                events.append(parse_event(line.decode(errors="replace")))
        for event in events:
            self.begun = True
            self.end = event if isinstance(event, TERMINAL) else None
        return events


def new_submission(study: Path, plan: Plan) -> Submission:
    """Make the folder of a submission, with its plan.

    Raises
    ------
    UserError
        If one is under way.
    """
    newest = newest_submission(study)
    if newest is not None and is_under_way(newest):
        raise UserError(
            f"The study {study.name} is with the scheduler already (submission {newest.name}).",
            f"Watch it with `singlestrip follow {study}`, or stop it with --stop.",
        )
    number = 1 + (int(newest.name) if newest is not None else 0)
    path = study / FOLDER / f"{number:03d}"
    refuse_links(path.parent, study)
    path.mkdir(parents=True)
    content = {"scheduler": plan.scheduler, "tasks": [asdict(task) for task in plan.tasks]}
    write_json_atomic(path / PLAN, content)
    return Submission(path)


def newest_submission(study: Path) -> Submission | None:
    """Return the newest submission of a study; None without one."""
    folders = [path for path in (study / FOLDER).glob("*") if path.name.isdecimal()]
    for path in sorted(folders, key=lambda path: int(path.name), reverse=True):
        if (path / PLAN).is_file():
            return Submission(path)
    return None


def is_under_way(submission: Submission) -> bool:
    """Whether there is still something to follow (a look, no promise)."""
    if submission.is_over:
        return False
    try:
        plan = submission.plan()
    except UserError:
        return False
    watched = [TaskEvents(submission, task.name) for task in plan.tasks]
    if submission.is_stopped:
        return any(events.is_running for events in watched)
    return not is_over(plan, {events.name: events.ended() for events in watched})


def is_over(plan: Plan, ends: Mapping[str, Event | None]) -> bool:
    """Whether all tasks ended or wait for one that failed."""
    stuck: set[str] = set()
    for task in plan.tasks:
        if any(name in stuck or failed(ends.get(name)) for name in task.after_success):
            stuck.add(task.name)
    return all(ends.get(task.name) is not None or task.name in stuck for task in plan.tasks)


def failed(end: Event | None) -> bool:
    """Whether a task ended without having done what others need."""
    return isinstance(end, (Failed, Cancelled, Crashed))


def _task_of(content: Mapping[str, Any]) -> PlannedTask:
    def words(name: str) -> tuple[str, ...]:
        found: Sequence[Any] = content.get(name, ())
        return tuple(map(str, found))

    return PlannedTask(
        str(content["name"]), str(content["step"]), words("arguments"), words("after_success"),
        words("after_end"), max(1, int(content.get("processes", 1))),
    )
