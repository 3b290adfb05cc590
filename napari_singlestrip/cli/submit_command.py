"""Commands for work on a scheduler: handing it over, following it, stopping it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_singlestrip.cli.options import (
    DeviceOption,
    EffortOption,
    EventsOption,
    QuietOption,
    RoundsOption,
    SeedOption,
    SetOption,
    StudyFolder,
)
from napari_singlestrip.errors import UserError
from napari_singlestrip.texts import counted, printable

if TYPE_CHECKING:
    from napari_singlestrip.cluster.plan import Wanted
    from napari_singlestrip.cluster.scheduler import Resources
    from napari_singlestrip.events import Event
    from napari_singlestrip.study.study import Study
    from napari_singlestrip.study.submission import Plan, PlannedTask, Submission

_MINUTES = re.compile(r"\d{1,6}")
_CLOCK = re.compile(r"(?:(?P<d>\d{1,3})-)?(?P<h>\d{1,3}):(?P<m>\d{2})(?::(?P<s>\d{2}))?")


def submit(
    study: StudyFolder,
    workers: Annotated[
        int, typer.Option("--workers", "-n", min=1, max=1000, help="Processes that share the "
                          "scans to predict, rank and apply.")
    ] = 4,
    rounds: RoundsOption = None,
    effort: EffortOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    settings: SetOption = None,
    apply_to: Annotated[
        list[Path] | None,
        typer.Option("--apply", metavar="SCAN", help="Strip these scans, too: files, or folders "
                     "of them; give it as often as you like. Needs --out."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for the masks of --apply.")
    ] = None,
    brain: Annotated[
        bool, typer.Option("--brain", help="With --apply, also write the scans without skull.")
    ] = False,
    scheduler: Annotated[
        str, typer.Option("--scheduler", help="slurm, or local: the same processes on this "
                          "computer.")
    ] = "slurm",
    partition: Annotated[
        str, typer.Option("--partition", "-p", help="Partition of the cluster.")
    ] = "",
    time: Annotated[
        str, typer.Option("--time", "-t", help="Longest time of each job, in minutes or as "
                          "HH:MM:SS; one that needs more is queued again, and goes on.")
    ] = "4:00:00",
    cores: Annotated[int, typer.Option("--cores", min=1, help="Processors of each job.")] = 4,
    memory: Annotated[
        float | None, typer.Option("--memory", min=0.1, metavar="GB", help="Of each job.")
    ] = None,
    gpus: Annotated[
        int, typer.Option("--gpus", min=0, max=64, help="Graphics cards of one node: with several, "
                          "as many processes train together; each other job has one.")
    ] = 0,
    sbatch: Annotated[
        list[str] | None,
        typer.Option("--sbatch", metavar="NAME=VALUE", help="Any other option of sbatch, such as "
                     "account=lab; give it as often as you like."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be submitted, and do nothing.")
    ] = False,
) -> None:
    """Hand the work on a study to a scheduler (SLURM), and return.

    One job trains, then as many as --workers predict and rank the scans, for each round; a last
    one does what killed jobs left. All wait for each other. The window that has the study open
    shows how far it is; so does `singlestrip follow`. Closing them stops nothing.

    A study that is trained already is only applied when --apply is given.

    \b
    Examples:
      singlestrip submit my_study --workers 20 --partition gpu --gpus 1 --time 2:00:00
      singlestrip submit my_study --workers 20 --gpus 4        train on four cards of a node
      singlestrip submit my_study --dry-run
      singlestrip submit my_study --apply new_scans/ --out masks/ --workers 50
      singlestrip submit my_study --scheduler local --workers 2
    """
    from napari_singlestrip.cluster.plan import make_plan
    from napari_singlestrip.engine.overrides import parse_assignments
    from napari_singlestrip.study.study import Study

    opened = Study.open(study)
    opened.settings(effort, parse_assignments(settings or []), seed)  # mistakes are said now
    choice = _Choice(opened, workers, rounds, effort, device, seed, tuple(settings or ()), gpus)
    wanted = choice.wanted(apply_to or [], out, brain)
    resources = _resources(time, cores, gpus, memory, partition, sbatch or [])
    plan = make_plan(wanted, _known(scheduler))
    if dry_run:
        _show(plan, resources)
        return
    _hand_over(opened, plan, resources)


def follow(
    study: StudyFolder,
    stop: Annotated[
        bool, typer.Option("--stop", help="Stop the jobs; what they reached is kept.")
    ] = False,
    events: EventsOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show how far the submitted jobs of a study are.

    Ctrl+C leaves: the jobs go on.

    \b
    Examples:
      singlestrip follow my_study
      singlestrip follow my_study --stop
    """
    from napari_singlestrip.cluster.scheduler import take_back
    from napari_singlestrip.study.study import Study

    submission = _submission(Study.open(study))
    plan = submission.plan()
    if stop:
        take_back(submission, plan)
    elif events:
        _follow_for_a_program(submission, plan)
    _follow_for_a_person(submission, quiet, stop)


def _follow_for_a_program(submission: Submission, plan: Plan) -> None:
    from napari_singlestrip.cluster.scheduler import take_back
    from napari_singlestrip.pipeline.worker import run_worker

    raise typer.Exit(run_worker(lambda: _followed(submission), stop=lambda: take_back(
        submission, plan
    )))  # fmt: skip


def _follow_for_a_person(submission: Submission, quiet: bool, is_stopped: bool) -> None:
    from napari_singlestrip.cli.console import ConsoleSink
    from napari_singlestrip.events import Cancelled
    from napari_singlestrip.pipeline.worker import drive

    with closing(ConsoleSink(quiet)) as show:
        shown: Event | None = None

        def sink(event: Event) -> None:
            nonlocal shown
            if isinstance(event, Cancelled) and not is_stopped and not submission.is_stopped:
                show.close()
                typer.echo("The jobs go on. To stop them, give the same command with --stop.")
            elif event != shown:  # it says every second where it is, changed or not
                show(event)
            shown = event

        raise typer.Exit(drive(_followed(submission), sink))


def _followed(submission: Submission) -> Iterator[Event]:
    from napari_singlestrip.cluster.follow import Follower
    from napari_singlestrip.cluster.scheduler import in_queue

    yield from Follower(submission, in_queue).follow()


def _submission(study: Study) -> Submission:
    from napari_singlestrip.study.submission import newest_submission

    found = newest_submission(study.folder)
    if found is None:
        raise UserError(
            f"Nothing of the study {study.name} was submitted.",
            f"Submit it with `singlestrip submit {study.folder}`.",
        )
    return found


@dataclass(frozen=True)
class _Choice:
    """What a person wants of the training."""

    study: Study
    workers: int
    rounds: int | None
    effort: str | None
    device: str
    seed: int | None
    settings: tuple[str, ...]
    gpus: int

    def wanted(self, apply_to: list[Path], out: Path | None, brain: bool) -> Wanted:
        from napari_singlestrip.cluster.plan import Wanted
        from napari_singlestrip.study.round_facts import is_trained

        if bool(apply_to) != (out is not None):
            raise UserError("--apply and --out go together.", "Give both, or none.")
        rounds: int | None = self._rounds()
        if apply_to and self.rounds is None and is_trained(self.study, 0):
            rounds = None  # it is applied as it is
        else:
            self._check()
        device = () if self.device == "auto" else ("--device", self.device)
        return Wanted(
            self.study.folder, self.workers, rounds, (*device, *self._options()),
            tuple(Path(os.path.abspath(path.expanduser())) for path in apply_to),
            None if out is None else Path(os.path.abspath(out.expanduser())),
            (*device, *(("--brain",) if brain else ())),
            self.gpus,
        )

    def _rounds(self) -> int:
        if self.rounds is not None:
            return self.rounds
        from napari_singlestrip.engine.overrides import parse_assignments

        settings = self.study.settings(
            self.effort, parse_assignments(list(self.settings)), self.seed
        )
        return settings.finetuning.rounds

    def _check(self) -> None:
        """Say now, and not after hours in a queue, that there is nothing to learn from."""
        from napari_singlestrip.study.training_set import masks_by_hand

        masks_by_hand(self.study)

    def _options(self) -> tuple[str, ...]:
        pairs: list[tuple[str, Any]] = [("--effort", self.effort), ("--seed", self.seed)]
        pairs += [("--set", text) for text in self.settings]
        return tuple(word for name, value in pairs if value is not None
                     for word in (name, str(value)))


def _known(scheduler: str) -> str:
    from napari_singlestrip.cluster.scheduler import SCHEDULERS

    if scheduler not in SCHEDULERS:
        raise UserError(f"Unknown scheduler {scheduler!r}.", f"Known are {', '.join(SCHEDULERS)}.")
    return scheduler


def _resources(
    time: str, cores: int, gpus: int, memory: float | None, partition: str, sbatch: list[str]
) -> Resources:
    from napari_singlestrip.cluster.scheduler import Resources

    more = {}
    for text in sbatch:
        name, equals, value = text.partition("=")
        if not equals or not name.strip("-"):
            raise UserError(f"Cannot read --sbatch {text!r}.", "Write it as NAME=VALUE.")
        more[name] = value
    return Resources(minutes_of(time), cores, gpus, memory, partition, more)


def minutes_of(text: str) -> int:
    """Read "90", "1:30:00" or "2-00:00:00" as minutes.

    Raises
    ------
    UserError
        If it is no time, or less than five minutes.
    """
    minutes = 0
    if _MINUTES.fullmatch(text.strip()):
        minutes = int(text)
    elif found := _CLOCK.fullmatch(text.strip()):
        parts = {name: int(value or 0) for name, value in found.groupdict().items()}
        minutes = 1440 * parts["d"] + 60 * parts["h"] + parts["m"] + (parts["s"] > 0)
    if minutes < 5:
        raise UserError(
            f"Cannot read --time {text!r}.",
            "Write minutes, at least 5, or HH:MM:SS, or D-HH:MM:SS.",
        )
    return minutes


def _hand_over(study: Study, plan: Plan, resources: Resources) -> None:
    from napari_singlestrip.cluster.scheduler import check_scheduler, hand_over
    from napari_singlestrip.study.submission import new_submission

    check_scheduler(plan.scheduler)
    submission = new_submission(study.folder, plan)
    ids = hand_over(submission, plan, resources)
    numbers = dict.fromkeys(number.split("_")[0] for number in ids.values())
    what = "processes" if plan.scheduler == "local" else "jobs"
    typer.echo(f"Submitted {counted(len(plan.tasks), 'task')} ({what} {', '.join(numbers)}).")
    typer.echo(printable(f"Watch them with: singlestrip follow {study.folder}"))


def _show(plan: Plan, resources: Resources) -> None:
    """Print what would be submitted."""
    if plan.scheduler == "slurm":
        typer.echo(printable(_in_words(resources)))
    for step in plan.steps:
        tasks = plan.of_step(step)
        typer.echo()
        typer.echo(printable(f"{step}: {counted(len(tasks), 'job')}{_waits(plan, tasks[0])}"))
        command = " ".join(map(shlex.quote, (*_program(tasks[0]), *tasks[0].arguments)))
        typer.echo(printable(f"  {command}"))
        if len(tasks) > 1:
            typer.echo(f"  ... to --part {len(tasks)}/{len(tasks)}")


def _program(task: PlannedTask) -> tuple[str, ...]:
    from napari_singlestrip.cluster.task import together

    if task.processes == 1:
        return ("singlestrip",)
    return ("torchrun", *together(task.processes)[2:], "-m", "napari_singlestrip")


def _waits(plan: Plan, task: PlannedTask) -> str:
    names = {other.name: other.step for other in plan.tasks}
    needs = dict.fromkeys(names[name] for name in task.after_success)
    ends = dict.fromkeys(names[name] for name in task.after_end)
    words = [f"after {name} succeeded" for name in needs]
    words += [f"after all of {name} ended" for name in ends]
    return f", {' and '.join(words)}" if words else ""


def _in_words(resources: Resources) -> str:
    parts = [counted(resources.cores, "processor"), f"{resources.minutes} minutes"]
    if resources.memory_gb:
        parts.append(f"{resources.memory_gb:g} GB")
    if resources.gpus == 1:
        parts.append("1 graphics card")
    elif resources.gpus:
        parts.append(f"1 graphics card ({resources.gpus} for one that trains)")
    if resources.partition:
        parts.append(f"partition {resources.partition}")
    parts += [f"{name} {value}" for name, value in resources.more.items()]
    return f"Each job: {', '.join(parts)}."
