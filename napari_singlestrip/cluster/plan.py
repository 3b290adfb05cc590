"""Which processes a submission has, and which of them waits for which.

Each is a command that one could give by hand. All of them resume: a task that is started again
does what is missing, and the last one of each kind does what killed workers left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_singlestrip.study.submission import Plan, PlannedTask

FINISH, APPLY, FINISH_APPLYING = "finish", "apply", "finish_applying"


@dataclass(frozen=True)
class Wanted:
    """What is to be done.

    Attributes
    ----------
    study : Path
    workers : int
        Processes among which the scans are shared out.
    rounds : int or None
        Rounds of self-training; None when the study is not to be trained.
    options : tuple of str
        Options of ``singlestrip run``.
    apply_to : tuple of Path
        Scans that the trained model is applied to.
    out : Path, optional
        Folder for their masks.
    apply_options : tuple of str
        Options of ``singlestrip apply``.
    gpus : int
        Graphics cards; with several, as many processes train together.
    """

    study: Path
    workers: int
    rounds: int | None = None
    options: tuple[str, ...] = ()
    apply_to: tuple[Path, ...] = ()
    out: Path | None = None
    apply_options: tuple[str, ...] = ()
    gpus: int = 0


def make_plan(wanted: Wanted, scheduler: str) -> Plan:
    """Plan the tasks of a submission."""
    tasks = [] if wanted.rounds is None else _of_training(wanted, wanted.rounds)
    if wanted.apply_to:
        tasks += _of_applying(wanted, [task.name for task in tasks if task.name == FINISH])
    return Plan(scheduler, tuple(tasks))


def _of_training(wanted: Wanted, rounds: int) -> list[PlannedTask]:
    run = ("run", str(wanted.study), *wanted.options)
    tasks: list[PlannedTask] = []
    together = max(1, wanted.gpus)
    learned = ""  # the task of the round before
    shares: tuple[str, ...] = ()
    for round_ in range(rounds + 1) if wanted.workers > 1 else ():
        name = f"learn_{round_}"
        tasks.append(PlannedTask(
            name, name, (*run, "--rounds", str(round_), "--learn-only"),
            (learned,) if learned else (), shares, together,
        ))
        new = _shares(f"scans_{round_}", wanted.workers, run, (name,))
        tasks += new
        learned, shares = name, tuple(task.name for task in new)
    whole = (*run, "--rounds", str(rounds))
    tasks.append(PlannedTask(
        FINISH, FINISH, whole, (learned,) if learned else (), shares,
        1 if learned else together,  # else it trains, too
    ))
    return tasks


def _of_applying(wanted: Wanted, after: Sequence[str]) -> list[PlannedTask]:
    apply = (
        "apply", str(wanted.study), *map(str, wanted.apply_to), "--out", str(wanted.out),
        *wanted.apply_options,
    )
    shares = _shares(APPLY, wanted.workers, apply, tuple(after)) if wanted.workers > 1 else []
    ends = tuple(task.name for task in shares)
    # Masks that are there stay as they are: only what is missing is done.
    again = tuple(word for word in apply if word != "--overwrite" or not shares)
    return [*shares, PlannedTask(FINISH_APPLYING, FINISH_APPLYING, again, tuple(after), ends)]


def _shares(
    step: str, n: int, command: tuple[str, ...], after: tuple[str, ...]
) -> list[PlannedTask]:
    return [
        PlannedTask(f"{step}_{k}_of_{n}", step, (*command, "--part", f"{k}/{n}"), after)
        for k in range(1, n + 1)
    ]
