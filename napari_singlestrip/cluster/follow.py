"""Following a submission: the events of many tasks as those of one job.

Everything comes from files in the study, so that any number of windows and terminals may follow,
come and go, and close, without the scheduler or the tasks noticing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

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
)
from napari_singlestrip.study.submission import Submission, TaskEvents, failed, is_over
from napari_singlestrip.vocabulary import StageName

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_BETWEEN_QUESTIONS = 30.0  # to the scheduler
NAMES = {"slurm": "SLURM", "local": "this computer"}


@dataclass
class Worker:
    """How far one task is.

    Attributes
    ----------
    events : TaskEvents
    stage : str
        The one it is in.
    progress : dict
        The newest of each stage.
    end : Event or None
        Also when it was killed.
    """

    events: TaskEvents
    stage: StageName = ""
    progress: dict[StageName, Progress] = field(default_factory=dict)
    end: Event | None = None

    @property
    def is_at_work(self) -> bool:
        """Whether it began and has not ended."""
        return self.events.begun and self.end is None and self.stage != "queue"

    def look(self) -> list[Event]:
        """Return what it said since the last look, and take note of it."""
        new = self.events.new()
        for event in new:
            if isinstance(event, Started):
                self.stage = event.stage
            elif isinstance(event, Progress):
                self.stage, self.progress[event.stage] = event.stage, event
        if new:
            self.end = self.events.end
        return new


def progress_of(workers: Iterable[Worker]) -> Progress | None:
    """Add up how far the workers of one step are, in the earliest stage that some are still in.

    The time left is that of all that is left, at the pace of those that are at work; and never
    less than the slowest of them needs. None as long as none of them says anything.
    """
    workers = list(workers)
    stages = list(dict.fromkeys(stage for worker in workers for stage in worker.progress))
    for stage in stages:
        parts = [worker.progress.get(stage) for worker in workers]
        known = [part for part in parts if part is not None]
        waiting = [w for w in workers if stage not in w.progress and w.end is None
                   and w.stage in ("", "queue", *stages[: stages.index(stage)])]
        share = sum(part.n_steps for part in known) / len(known)
        total = sum(part.n_steps for part in known) + round(share * len(waiting))
        done = sum(part.step for part in known)
        if done < total or stage == stages[-1]:
            at_work = [w.progress[stage] for w in workers if stage in w.progress and w.is_at_work]
            metrics = known[0].metrics if len(workers) == 1 else {}
            return Progress(stage, done, total, metrics, _left(at_work, total - done))
    return None


def _left(at_work: Iterable[Progress], steps: int) -> float | None:
    known = [
        (part.n_steps - part.step, part.seconds_left) for part in at_work
        if part.seconds_left is not None and part.step < part.n_steps
    ]
    pace = sum(left / max(seconds, 1e-3) for left, seconds in known)
    if not pace:
        return None
    return max(steps / pace, *(seconds for _, seconds in known))


class Follower:
    """Follows one submission.

    Parameters
    ----------
    submission : Submission
    in_queue : callable
        Whether the scheduler still has some of these jobs; None where it cannot be asked.
    """

    def __init__(
        self, submission: Submission, in_queue: Callable[[Sequence[str]], bool | None]
    ) -> None:
        self._submission, self._in_queue = submission, in_queue
        self._plan = submission.plan()
        self._workers = {
            task.name: Worker(TaskEvents(submission, task.name)) for task in self._plan.tasks
        }
        self._told: set[object] = set()
        self._shown: object = None
        self._began = time.monotonic()
        self._answers: dict[str, tuple[float, bool]] = {}  # by task: when asked, and the answer

    def follow(self) -> Iterator[Event]:
        """Yield what happens until all has ended; the last event is how."""
        while True:
            for worker in self._workers.values():
                for event in worker.look():
                    yield from self._passed_on(worker, event)
                yield from self._lost(worker)
            yield from self._status()
            if (end := self._end()) is not None:
                self._submission.note_over()
                yield end
                return
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _passed_on(self, worker: Worker, event: Event) -> Iterator[Event]:
        """Pass on what concerns a person; a scan that fails again is told once."""
        if isinstance(event, Wrote) or (isinstance(event, Note) and self._is_new(event)):
            yield event
        elif isinstance(event, TERMINAL) and failed(event) and self._is_share(worker):
            if isinstance(event, Cancelled) and self._submission.is_stopped:
                return
            why = event.what if isinstance(event, Failed) else "its process ended unexpectedly"
            yield Note(
                f"{worker.events.name}: {why}. What it left is done at the end.", "warning"
            )

    def _is_new(self, note: Note) -> bool:
        key = (note.scan, note.text)
        is_new = key not in self._told
        self._told.add(key)
        return is_new

    def _is_share(self, worker: Worker) -> bool:
        """Whether others do what it leaves."""
        task = next(t for t in self._plan.tasks if t.name == worker.events.name)
        return len(self._plan.of_step(task.step)) > 1

    def _lost(self, worker: Worker) -> Iterator[Event]:
        """Take note of a task that was killed, unless the scheduler starts it again."""
        if worker.events.begun and worker.end is None and not worker.events.is_running:
            end = worker.events.ended()
            if isinstance(end, Crashed) and not self._is_queued([worker.events.name]):
                worker.end = end
                yield from self._passed_on(worker, end)

    def _status(self) -> Iterator[Event]:
        """Say how far the first step is that has not ended."""
        step = next((s for s in self._plan.steps if not self._is_over(s)), self._plan.steps[-1])
        workers = [self._workers[task.name] for task in self._plan.of_step(step)]
        at_work = sum(worker.is_at_work for worker in workers)
        where = NAMES.get(self._plan.scheduler, self._plan.scheduler)
        where = f"{where}, {at_work} of {len(workers)} at work"
        progress = progress_of(workers)
        if progress is None and at_work:  # they load the model
            yield Started("", where, step)
            return
        if progress is None:
            ended = sum(worker.end is not None for worker in self._workers.values())
            progress = Progress("queue", ended, len(self._workers))
        if (step, progress.stage, at_work) != self._shown:
            self._shown = step, progress.stage, at_work
            yield Started(progress.stage, where, step)
        yield progress

    def _is_over(self, step: str) -> bool:
        return all(self._workers[t.name].end is not None for t in self._plan.of_step(step))

    def _end(self) -> Event | None:
        ends = {name: worker.end for name, worker in self._workers.items()}
        if self._submission.is_stopped:
            if any(worker.events.is_running for worker in self._workers.values()):
                return None
            return self._submission.refusal or Cancelled(self._newest_stage())
        if is_over(self._plan, ends):
            return self._outcome()
        if self._has_left_the_queue():
            return Failed(
                "The scheduler has none of the jobs any more, and they are not done.",
                f"Its logs are in {self._submission.logs}. Submit again: it goes on from there.",
            )
        return None

    def _outcome(self) -> Event:
        """How it all ended: the first failure that others wait for, or the last step's counts."""
        for task in self._plan.tasks:
            end = self._workers[task.name].end
            if end is not None and failed(end) and len(self._plan.of_step(task.step)) == 1:
                return end
        ends = [self._workers[task.name].end for task in self._plan.of_step(self._plan.steps[-1])]
        counts = [end for end in ends if isinstance(end, Finished)]
        return Finished(
            time.monotonic() - self._began, counts[0].summary if len(counts) == 1 else {},
            sum(end.n_done for end in counts), sum(end.n_failed for end in counts),
        )

    def _newest_stage(self) -> StageName:
        return next((w.stage for w in self._workers.values() if w.stage not in ("", "queue")), "")

    def _has_left_the_queue(self) -> bool:
        """Whether nothing runs and the scheduler has nothing any more: a person cancelled it."""
        if any(worker.events.is_running for worker in self._workers.values()):
            return False
        if time.monotonic() - self._began < SECONDS_BETWEEN_QUESTIONS:
            return False
        return not self._is_queued([n for n, w in self._workers.items() if w.end is None])

    def _is_queued(self, tasks: Sequence[str]) -> bool:
        """Whether the scheduler has some of these tasks, or cannot tell; asked now and then."""
        if self._plan.scheduler == "local":
            return False
        asked, answer = self._answers.get(tasks[0], (-math.inf, True))
        if time.monotonic() - asked >= SECONDS_BETWEEN_QUESTIONS:
            ids = self._submission.ids()
            answer = self._in_queue([ids[name] for name in tasks if name in ids]) is not False
            self._answers[tasks[0]] = time.monotonic(), answer
        return answer
