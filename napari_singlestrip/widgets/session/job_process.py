"""One job at a time, in a process of its own: a command, followed through its events.

The window never imports torch. It runs the same commands as a terminal, with ``--events``; a
launcher prefix (``ssh host``, ``srun``) runs the command elsewhere.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import psutil
from qtpy.QtCore import QByteArray, QObject, QProcess, QProcessEnvironment, Signal

from napari_singlestrip.events import (
    TERMINAL,
    Cancelled,
    Event,
    Failed,
    Note,
    Progress,
    Started,
    parse_event,
)
from napari_singlestrip.pipeline.worker import ended
from napari_singlestrip.vocabulary import StageName
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.session.process_end import ended_itself, kill

State = Literal["idle", "starting", "running", "paused", "stopping"]

KILL_AFTER_MS = 15_000  # a job that is asked to stop ends with its present step
KILL_EARLY_AFTER_MS = 2_500  # one that has not said anything has nothing to lose
END_AFTER_MS = 5_000  # a job that has said how it ended has only to leave
FOLLOW = "follow"  # the kind of a job that only watches others, which go on without it
NICENESS = 10  # the window goes first when every core works
LOWEST = 19  # of a job that nobody asked for: all else goes first
STDERR_TAIL = 8_000


@dataclass(frozen=True)
class JobStatus:
    """A snapshot of the job's state.

    Attributes
    ----------
    state : {"idle", "starting", "running", "paused", "stopping"}
    kind : str
        Kind of job: "run", "apply", ...
    stage : str
        The current stage.
    step, n_steps : int
        Progress of the stage; 0 of 0 before its first step.
    seconds_left : float or None
        Remaining time of the stage.
    device : str
        Description of the device.
    detail : str
        What the stage is processing.
    began : float
        `time.monotonic` of the start.
    end : Event or None
        How the last job ended.
    stages : tuple of str
        Stages of the job in order; empty if not known.
    by_itself : bool
        Whether nobody asked for it: it gives way to any job of a person.
    out : str
        Folder or file that the job writes for the person; empty if there is none.
    """

    state: State = "idle"
    kind: str = ""
    stage: StageName = ""
    step: int = 0
    n_steps: int = 0
    seconds_left: float | None = None
    device: str = ""
    detail: str = ""
    began: float = 0.0
    end: Event | None = None
    stages: tuple[StageName, ...] = ()
    by_itself: bool = False
    out: str = ""

    @property
    def busy(self) -> bool:
        """Whether a job is running."""
        return self.state != "idle"

    @property
    def blocks(self) -> bool:
        """Whether a job is running that another one has to wait for, or that is giving way."""
        return self.busy and (not self.by_itself or self.state == "stopping")

    @property
    def stage_number(self) -> int:
        """Index of the stage among `stages`, from 1; 0 if it is not one of them."""
        return self.stages.index(self.stage) + 1 if self.stage in self.stages else 0


def local_command() -> list[str]:
    """Return the command that runs our command line with this Python.

    With ``-P``, since ``-m`` would otherwise import from the working folder: a file queue.py there
    would shadow the standard library.
    """
    return [sys.executable, "-P", "-m", "napari_singlestrip"]


def worker_environment(launcher: Sequence[str] = ()) -> dict[str, str]:
    """Return environment variables that a job gets in addition to the window's."""
    everywhere = {"PYTHONUNBUFFERED": "1", **_python_path()}
    if launcher:  # some launchers pass it on to the other computer
        return everywhere
    return {
        **everywhere,
        "PYTHONSAFEPATH": "1",  # as ``-P``, for what the job starts itself
        # Spinning idle threads would slow down the window.
        "OMP_WAIT_POLICY": "PASSIVE",
        # One core is left for the window, as a delayed thread holds up all others.
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, cores() - 1))),
    }


def _python_path() -> dict[str, str]:
    """PYTHONPATH without empty entries, which stand for the working folder."""
    path = os.environ.get("PYTHONPATH")
    if path is None:
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, path.split(os.pathsep)))}


def job_process(parent: QObject, launcher: Sequence[str] = ()) -> QProcess:
    """Make a process for a command of ours that imports nothing from the working folder.

    Parameters
    ----------
    parent : QObject
    launcher : sequence of str
        Prefix that starts the command elsewhere.
    """
    process = QProcess(parent)
    environment = QProcessEnvironment.systemEnvironment()
    for name, value in worker_environment(launcher).items():
        environment.insert(name, value)
    process.setProcessEnvironment(environment)
    if not launcher:
        # Libraries such as matplotlib also read settings from there. This folder is writable only
        # by the owner of this Python. A launcher may need the user's own folder.
        process.setWorkingDirectory(sys.prefix)
    return process


def cores() -> int:
    """Number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def full_command(arguments: Sequence[str], launcher: Sequence[str] = ()) -> list[str]:
    """Return the command that runs ``singlestrip ARGUMENTS``, here or through a launcher."""
    if not launcher:
        return [*local_command(), *arguments]
    command = ["singlestrip", *arguments]
    if Path(launcher[0]).stem == "ssh":  # it passes one line to a remote shell
        command = [shlex.quote(word) for word in command]
    return [*launcher, *command]


class JobProcess(QObject):
    """Starts, monitors and stops the process of a job.

    Signals
    -------
    changed(JobStatus)
        After each change of the status.
    happened(Event)
        Each event of the job, with exactly one terminal event at the end.
    """

    changed = Signal(object)
    happened = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._status = JobStatus()
        self._process: QProcess | None = None
        self._end: Event | None = None
        self._line = b""
        self._stderr = b""
        self._kill_timer = single_shot(self, 0, self._kill)

    @property
    def status(self) -> JobStatus:
        """The current snapshot."""
        return self._status

    @property
    def pid(self) -> int:
        """Process id; 0 without a job."""
        return 0 if self._process is None else int(self._process.processId())

    def start(
        self, arguments: Sequence[str], kind: str, launcher: Sequence[str] = (),
        stages: Sequence[StageName] = (), by_itself: bool = False, out: str = "",
    ) -> None:
        """Run ``singlestrip ARGUMENTS --events``.

        Parameters
        ----------
        arguments : sequence of str
            Command and its arguments, such as ``["run", "my_study"]``.
        launcher : sequence of str
            Prefix that starts the command elsewhere, with ``singlestrip`` on the path.
        kind, stages, by_itself, out
            As in `JobStatus`.

        Raises
        ------
        RuntimeError
            If a job is running.
        """
        if self._process is not None:
            raise RuntimeError("a job is under way")
        program, *rest = full_command([*arguments, "--events"], launcher)
        self._end, self._line, self._stderr = None, b"", b""
        process = self._process = self._new_process(launcher)
        began = JobStatus("starting", kind, began=time.monotonic(), stages=tuple(stages))
        self._set(replace(began, by_itself=by_itself, out=out))
        process.start(program, rest)

    def cancel(self) -> None:
        """Ask the job to save and stop; kill it if it does not."""
        if self._process is None or self._status.state == "stopping":
            return
        self._say("cancel")
        early = self._status.state == "starting"
        self._set(replace(self._status, state="stopping"))
        self._kill_timer.start(KILL_EARLY_AFTER_MS if early else KILL_AFTER_MS)

    def pause(self) -> None:
        """Pause the job."""
        if self._status.state == "running":
            self._say("pause")
            self._set(replace(self._status, state="paused"))

    def resume(self) -> None:
        """Resume a paused job."""
        if self._status.state == "paused":
            self._say("resume")
            self._set(replace(self._status, state="running"))

    def close(self) -> None:
        """Stop when the window closes; the job has three seconds to save.

        Before its first event, a job has nothing to save and is still importing.
        """
        process, self._process = self._process, None
        self._kill_timer.stop()
        if process is None:
            return
        end = self._end or Cancelled(self._status.stage, self._status.step)
        process.blockSignals(True)
        with suppress(RuntimeError):
            # Whoever only follows must not be asked to end: that would stop what it follows.
            saves = self._status.state != "starting" and self._status.kind != FOLLOW
            if not saves or not ended_itself(process):
                kill(process)
        process.deleteLater()
        self._tell_end(end)

    # --- inside

    def _new_process(self, launcher: Sequence[str]) -> QProcess:
        process = job_process(self, launcher)
        process.started.connect(self._started)
        process.readyReadStandardOutput.connect(self._read_events)
        process.readyReadStandardError.connect(self._read_stderr)
        process.finished.connect(self._finished)
        process.errorOccurred.connect(self._failed_to_start)
        return process

    def _started(self) -> None:
        last = self._status.by_itself
        windows = f"{'IDLE' if last else 'BELOW_NORMAL'}_PRIORITY_CLASS"
        with suppress(psutil.Error):
            psutil.Process(self.pid).nice(getattr(psutil, windows, LOWEST if last else NICENESS))

    def _read_events(self) -> None:
        if self._process is None:
            return
        *lines, self._line = (self._line + _bytes(self._process.readAllStandardOutput())).split(
            b"\n"
        )
        for line in lines:
            self._read_line(line)

    def _read_line(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            event = parse_event(line.decode(errors="replace"))
        except (ValueError, TypeError):  # output of a launcher, or an incomplete line
            self._keep_stderr(line + b"\n")
            return
        self._handle(event)

    def _handle(self, event: Event) -> None:
        if self._process is None or self._end is not None:
            return  # closed meanwhile, or after the terminal event
        if isinstance(event, TERMINAL):
            self._end = event  # reported once the process has exited: only then may another start
            self._kill_timer.start(END_AFTER_MS)
            return
        self._set(self._after(event))
        self.happened.emit(event)

    def _after(self, event: Event) -> JobStatus:
        status = self._status
        if status.state == "starting":
            status = replace(status, state="running")
        if isinstance(event, Started):
            return replace(
                status, stage=event.stage, step=0, n_steps=0, seconds_left=None,
                device=event.device or status.device, detail=event.detail,
            )
        if isinstance(event, Progress):
            return replace(
                status, stage=event.stage, step=event.step, n_steps=event.n_steps,
                seconds_left=event.seconds_left,
            )
        if isinstance(event, Note) and event.state == "resumed" and status.state == "paused":
            return replace(status, state="running")
        return status

    def _read_stderr(self) -> None:
        if self._process is not None:
            self._keep_stderr(_bytes(self._process.readAllStandardError()))

    def _keep_stderr(self, content: bytes) -> None:
        self._stderr = (self._stderr + content)[-STDERR_TAIL:]

    def _finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._read_events()
        self._read_line(self._line)  # it ended without a newline
        self._read_stderr()
        crashed = status == QProcess.ExitStatus.CrashExit
        tail = self._stderr.decode(errors="replace")
        stopped = Cancelled(self._status.stage, self._status.step)
        missing = stopped if self._status.state == "stopping" else ended(
            -code if crashed else code, tail
        )
        self._done(self._end or missing)

    def _failed_to_start(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and self._process is not None:
            program = self._process.program()
            self._done(Failed(
                f"{program} could not be started: {self._process.errorString()}.",
                "Check the launcher in the settings of the training step.",
            ))

    def _done(self, end: Event) -> None:
        process, self._process = self._process, None
        self._kill_timer.stop()
        if process is not None:
            process.deleteLater()
        self._tell_end(end)

    def _tell_end(self, end: Event) -> None:
        done = replace(self._status, state="idle", seconds_left=None, detail="", began=0.0, end=end)
        self._set(done)
        self.happened.emit(end)

    def _say(self, word: str) -> None:
        if self._process is not None:
            self._process.write(f"{word}\n".encode())

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _set(self, status: JobStatus) -> None:
        if status != self._status:
            self._status = status
            self.changed.emit(status)


def _bytes(array: QByteArray | bytes) -> bytes:
    return bytes(array.data()) if isinstance(array, QByteArray) else bytes(array)
