"""Handing tasks to a scheduler, taking them back, and asking for them. Uses submitit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_singlestrip.cluster.task import Task
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.submission import Plan, PlannedTask, Submission

if TYPE_CHECKING:
    import submitit

SCHEDULERS = ("slurm", "local")
SECONDS_TO_ANSWER = 20.0
SIGNAL_SECONDS = 120  # before the time is up, to save and be queued again


@dataclass(frozen=True)
class Resources:
    """What each task is given.

    Attributes
    ----------
    minutes : int
        After that, a task is queued again, and goes on.
    cores : int
    gpus : int
        Of a task whose processes train together as many as it has processes, of any other one.
    memory_gb : float or None
        None leaves it to the scheduler.
    partition : str
        Empty leaves it to the scheduler.
    more : mapping of str to str
        Other options of sbatch, such as ``{"account": "lab"}``.
    """

    minutes: int
    cores: int
    gpus: int = 0
    memory_gb: float | None = None
    partition: str = ""
    more: Mapping[str, str] = field(default_factory=dict)


def check_scheduler(name: str) -> None:
    """Say what is missing to use a scheduler.

    Raises
    ------
    UserError
        If submitit is not installed, or there is no SLURM here.
    """
    try:
        import submitit  # noqa: F401
    except ImportError as error:
        raise UserError(
            "Submitting needs the package submitit, which is not installed.",
            'Install it with: pip install "napari-singlestrip[cluster]"',
        ) from error
    if name == "slurm" and shutil.which("sbatch") is None:
        raise UserError(
            "There is no SLURM on this computer: the command sbatch was not found.",
            "Submit from a login node of the cluster, or use --scheduler local to run the same "
            "processes here.",
        )


def hand_over(submission: Submission, plan: Plan, resources: Resources) -> dict[str, str]:
    """Hand all tasks of a plan to its scheduler; return its numbers of them.

    Raises
    ------
    UserError
        If it refuses one; those before it are taken back.
    """
    ids: dict[str, str] = {}
    with _started_here() if plan.scheduler == "local" else nullcontext():
        for step in plan.steps:
            tasks = plan.of_step(step)
            executor = _executor(submission, plan, resources, tasks[0], ids)
            try:
                with executor.batch():
                    jobs = [executor.submit(_task(submission, plan, t, resources)) for t in tasks]
            except (RuntimeError, OSError, ValueError) as error:  # sbatch said no, or is not there
                refusal = _refused(error)
                take_back(submission, plan, ids, refusal)
                raise refusal from error
            ids |= {task.name: str(job.job_id) for task, job in zip(tasks, jobs, strict=True)}
            submission.note_ids(ids)
    return ids


def take_back(
    submission: Submission, plan: Plan, ids: Mapping[str, str] | None = None,
    refusal: UserError | None = None,
) -> None:
    """Stop all tasks: those that run save what they have, those that wait do not begin."""
    submission.stop(refusal)
    numbers = (submission.ids() if ids is None else ids).values()
    if plan.scheduler == "slurm" and numbers:
        # Those that run obey the file that was written above, or this signal, whichever is first.
        _ask(["scancel", *sorted({number.split("_")[0] for number in numbers})])


def in_queue(ids: Sequence[str]) -> bool | None:
    """Whether SLURM still has some of these jobs; None where it cannot be asked."""
    if not ids:
        return None
    done = _ask(["squeue", "--noheader", "--format=%i", f"--jobs={','.join(ids)}"])
    if done is None:
        return None
    if done.returncode:
        return False if "Invalid job id" in done.stderr else None
    return bool(done.stdout.strip())


def _task(submission: Submission, plan: Plan, task: PlannedTask, resources: Resources) -> Task:
    threads = resources.cores
    if plan.scheduler == "local":  # no scheduler shares the processors out
        threads = max(1, (os.cpu_count() or 1) // len(plan.of_step(task.step)))
    return Task(str(submission.path), task, threads, waits=plan.scheduler == "local")


def _executor(
    submission: Submission, plan: Plan, resources: Resources, task: PlannedTask,
    ids: Mapping[str, str],
) -> submitit.AutoExecutor:
    import submitit

    executor = submitit.AutoExecutor(
        submission.logs, cluster=plan.scheduler, slurm_max_num_timeout=20
    )
    executor.update_parameters(
        name=f"singlestrip_{task.step}", timeout_min=resources.minutes,
        gpus_per_node=min(resources.gpus, task.processes),
    )
    if plan.scheduler == "slurm":
        executor.update_parameters(
            cpus_per_task=resources.cores, slurm_signal_delay_s=SIGNAL_SECONDS,
            # Since SLURM 22.05, srun does not take it from the job.
            slurm_srun_args=[f"--cpus-per-task={resources.cores}"],
            slurm_additional_parameters=_of_sbatch(resources, task, ids),
            **_given(mem_gb=resources.memory_gb, slurm_partition=resources.partition),
        )
    return executor


def _of_sbatch(
    resources: Resources, task: PlannedTask, ids: Mapping[str, str]
) -> dict[str, str]:
    """Options of sbatch that submitit has no name for; arrays are waited for as a whole."""
    waits = [f"{kind}:{':'.join(sorted({ids[name].split('_')[0] for name in names}))}"
             for kind, names in (("afterok", task.after_success), ("afterany", task.after_end))
             if names]
    found = {name.lstrip("-").replace("-", "_"): value for name, value in resources.more.items()}
    if waits:
        found |= {"dependency": ",".join(waits), "kill_on_invalid_dep": "yes"}
    return found


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


@contextmanager
def _started_here() -> Iterator[None]:
    """Start processes that stay when the terminal is closed, and hold none of its streams."""
    hangup = getattr(signal, "SIGHUP", None)
    before = None if hangup is None else signal.signal(hangup, signal.SIG_IGN)
    saved = [os.dup(number) for number in (0, 1, 2)]
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        yield
    finally:
        for number, old in enumerate(saved):
            os.dup2(old, number)
            os.close(old)
        os.close(nothing)
        if hangup is not None:
            signal.signal(hangup, before)


def _refused(error: Exception) -> UserError:
    words = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    said = [line for line in words if "error" in line.lower()] or words
    return UserError(
        f"The scheduler refused: {said[-1].strip()}",
        "Check --partition, --time, --memory, --gpus and --sbatch.",
    )


def _ask(command: list[str]) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=SECONDS_TO_ANSWER
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
