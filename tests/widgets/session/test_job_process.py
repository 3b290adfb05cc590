"""A job's process: its events in order, exactly one end, and whatever a process may do wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from gui_fixtures import process_events, wait_until
from qtpy.QtCore import QProcess
from qtpy.QtTest import QTest

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
)
from napari_singlestrip.vocabulary import StageName
from napari_singlestrip.widgets.session import job_process as job_module
from napari_singlestrip.widgets.session import process_end
from napari_singlestrip.widgets.session.job_process import JobProcess, JobStatus, full_command
from napari_singlestrip.widgets.train import device_probe
from napari_singlestrip.widgets.train.device_probe import DeviceProbe

pytest_plugins = ("gui_fixtures",)

# A worker in a few lines that needs no package: what it says is what the real one says.
PREAMBLE = """
import json, os, signal, sys, time

def say(kind, **fields):
    line = json.dumps({"event": kind, **fields}) + "\\n"
    os.write(1, line.encode())

def obey():
    line = sys.stdin.readline()
    return line.strip() if line else "end"
"""
STEPS = """
import select
say("Started", stage="train", device="CPU, 2 threads")
for step in range(1, 2000):
    if select.select([0], [], [], 0.01)[0]:
        word = obey()
        while word == "pause":
            say("Note", text="Paused.")
            word = obey()
            if word == "resume":
                say("Note", text="It goes on.", state="resumed")
        if word in ("cancel", "end"):
            say("Cancelled", stage="train", step=step)
            sys.exit(130)
    say("Progress", stage="train", step=step, n_steps=2000, metrics={"loss": 1 / step})
"""


class Watched:
    """A job and all it said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.job = JobProcess()
        self.monkeypatch = monkeypatch
        self.events: list[Event] = []
        self.states: list[JobStatus] = []
        self.job.happened.connect(self.events.append)
        self.job.changed.connect(self.states.append)

    def start(
        self, body: str, launcher: Sequence[str] = (), stages: Sequence[StageName] = ()
    ) -> None:
        script = PREAMBLE + textwrap.dedent(body)
        command = [sys.executable, "-S", "-c", script]
        self.monkeypatch.setattr(job_module, "local_command", lambda: command)
        self.job.start(["run", "study"], "run", launcher, stages)

    @property
    def state(self) -> str:
        return self.job.status.state

    def until(self, wanted: Callable[[], bool], seconds: float = 20) -> None:
        wait_until(wanted, "the job", seconds)

    def until_progress(self) -> None:
        self.until(lambda: any(isinstance(event, Progress) for event in self.events))

    def finish(self, seconds: float = 20) -> Event:
        """Wait for the end, and check that there is exactly one."""
        self.until(lambda: not self.job.status.busy, seconds)
        assert [type(e) for e in self.events if isinstance(e, TERMINAL)] == [type(self.events[-1])]
        assert self.job.status.end == self.events[-1]
        assert self.job.pid == 0
        return self.events[-1]


@pytest.fixture
def watched(qapp: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    made = Watched(monkeypatch)
    yield made
    made.job.close()  # that it leaves no child is checked by the fixtures of all such tests
    made.job.deleteLater()


def test_events_arrive_in_order_and_end_once(watched: Watched) -> None:
    watched.start("""
        say("Started", device="GPU")
        say("Started", stage="train", device="GPU")
        for n in range(300):
            say("Progress", stage="train", step=n, n_steps=300, seconds_left=300.0 - n)
        say("Finished", seconds=3.0)
    """, stages=("train", "rank"))
    end = watched.finish()
    assert end == Finished(3.0)
    steps = [event.step for event in watched.events if isinstance(event, Progress)]
    assert steps == list(range(300))
    last = [status for status in watched.states if status.busy][-1]
    assert (last.stage, last.step, last.n_steps, last.seconds_left) == ("train", 299, 300, 1.0)
    assert last.device == "GPU"
    assert last.stage_number == 1
    assert watched.states[0].state == "starting"


def test_only_one_job_at_a_time(watched: Watched) -> None:
    watched.start(STEPS)
    with pytest.raises(RuntimeError, match="under way"):
        watched.start(STEPS)
    watched.until_progress()
    watched.job.cancel()
    watched.finish()
    watched.events.clear()
    watched.start("say('Finished')")
    assert watched.finish() == Finished()


def test_cancel_takes_less_than_three_seconds(watched: Watched) -> None:
    watched.start(STEPS)
    watched.until_progress()
    began = time.monotonic()
    watched.job.cancel()
    watched.job.cancel()  # a second click does no harm
    assert watched.state == "stopping"
    end = watched.finish()
    assert isinstance(end, Cancelled)
    assert end.step > 0
    assert time.monotonic() - began < 3


def test_cancel_before_the_first_word(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "KILL_EARLY_AFTER_MS", 200)
    watched.start("time.sleep(60)")
    watched.until(lambda: watched.job.pid > 0)
    watched.job.cancel()
    assert isinstance(watched.finish(5), Cancelled)


def test_job_that_does_not_stop_is_killed(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "KILL_AFTER_MS", 300)
    watched.start("""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say("Progress", stage="train", step=7, n_steps=9)
        time.sleep(60)
    """)
    watched.until_progress()
    watched.job.cancel()
    assert watched.finish(5) == Cancelled("train", 7)


def test_job_that_hangs_after_its_end_is_killed(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_module, "END_AFTER_MS", 300)
    watched.start("""
        say("Finished", seconds=1.0)
        say("Finished", seconds=2.0)
        say("Note", text="too late")
        time.sleep(60)
    """)
    assert watched.finish(5) == Finished(1.0)
    assert watched.events == [Finished(1.0)]


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_crash_is_told_with_what_was_said_last(watched: Watched, number: signal.Signals) -> None:
    watched.start(f"""
        say("Started", stage="train")
        sys.stderr.write("Fatal: something broke\\n")
        sys.stderr.flush()
        os.kill(os.getpid(), {int(number)})
    """)
    end = watched.finish()
    assert isinstance(end, Crashed)
    assert end.exit_code == -number
    assert "something broke" in end.stderr_tail


def test_job_killed_from_outside(watched: Watched) -> None:
    watched.start(STEPS)
    watched.until_progress()
    os.kill(watched.job.pid, signal.SIGKILL)
    end = watched.finish()
    assert isinstance(end, Crashed)
    assert end.exit_code == -9
    watched.events.clear()
    watched.start("say('Finished')")  # and another can start
    assert watched.finish() == Finished()


def test_exception_of_a_worker_without_end(watched: Watched) -> None:
    watched.start("raise ValueError('oh dear')")
    end = watched.finish()
    assert isinstance(end, Crashed)
    assert end.exit_code == 1
    assert "oh dear" in end.stderr_tail


def test_a_library_that_ends_the_process_for_lack_of_memory(watched: Watched) -> None:
    watched.start("""
        say("Started", stage="train")
        sys.stderr.write("OpenBLAS error: Memory allocation still failed after 10 retries.\\n")
        sys.exit(1)
    """)
    end = watched.finish()
    assert isinstance(end, Failed)
    assert "not enough memory" in end.what and "batch_size" in end.hint


def test_lines_that_are_no_events_go_to_the_log(watched: Watched) -> None:
    watched.start(r"""
        os.write(1, b"Welcome to the cluster\n\xff\xfe\n{}\n{\"event\": \"Progress\"}\n[1]\n\n")
        say("Note", text="hello", unknown_field=3)
        os.write(1, b'{"event": "Note", "te')
        time.sleep(0.2)
        os.write(1, b'xt": "in two parts"}\n')
        os.write(1, b"half a line")
        sys.exit(3)
    """)
    end = watched.finish()
    assert watched.events[:-1] == [Note("hello"), Note("in two parts")]
    assert isinstance(end, Crashed)
    assert "Welcome to the cluster" in end.stderr_tail
    assert "half a line" in end.stderr_tail


def test_end_without_newline_counts(watched: Watched) -> None:
    watched.start("""os.write(1, b'{"event": "Finished", "seconds": 5.0}')""")
    assert watched.finish() == Finished(5.0)


def test_child_that_closes_its_output(watched: Watched) -> None:
    watched.start("""
        say("Started", stage="train")
        os.close(1)
        time.sleep(0.3)
    """)
    end = watched.finish()
    assert isinstance(end, Crashed)
    assert end.exit_code == 0


def test_much_output_at_once(watched: Watched) -> None:
    watched.start("""
        sys.stderr.write("x" * 300_000 + " the tail")
        sys.stderr.flush()
        for n in range(3000):
            say("Note", text="n" * 100)
        sys.exit(1)
    """)
    end = watched.finish()
    assert isinstance(end, Crashed)
    assert len(end.stderr_tail) <= job_module.STDERR_TAIL
    assert end.stderr_tail.endswith("the tail")
    assert len(watched.events) == 3001


def test_pause_and_resume(watched: Watched) -> None:
    watched.start(STEPS)
    watched.job.pause()  # nothing runs yet: nothing to pause
    assert watched.state == "starting"
    watched.until_progress()
    watched.job.pause()
    assert watched.state == "paused"
    watched.until(lambda: Note("Paused.") in watched.events)
    n = len(watched.events)
    QTest.qWait(300)
    assert len(watched.events) == n
    watched.job.resume()
    watched.until(lambda: len(watched.events) > n + 2)
    assert watched.state == "running"
    watched.job.pause()
    watched.until(lambda: watched.events[-1] == Note("Paused."))
    watched.job.cancel()  # while it waits
    assert isinstance(watched.finish(3), Cancelled)


def test_close_leaves_no_child_and_tells_the_end(watched: Watched) -> None:
    watched.start(STEPS)
    watched.until_progress()
    pid = watched.job.pid
    watched.job.close()
    assert not psutil.pid_exists(pid)
    assert isinstance(watched.events[-1], Cancelled)
    assert not watched.job.status.busy
    watched.job.close()  # twice does no harm
    assert sum(isinstance(event, TERMINAL) for event in watched.events) == 1


def test_close_kills_what_does_not_stop(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_end, "CLOSE_AFTER_MS", 300)
    watched.start("say('Started', stage='train')\ntime.sleep(60)")
    watched.until(lambda: watched.state == "running")
    pid = watched.job.pid
    began = time.monotonic()
    watched.job.close()
    assert not psutil.pid_exists(pid)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("after", [0.0, 0.3])
def test_close_ends_a_job_that_has_just_begun(watched: Watched, qtlog: Any, after: float) -> None:
    """It imports Python's modules, listens to nobody, and has nothing to save."""
    watched.start("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)")
    QTest.qWait(int(1000 * after))
    assert watched.state == "starting"
    pid = watched.job.pid
    began = time.monotonic()
    watched.job.close()
    assert not psutil.pid_exists(pid)
    assert time.monotonic() - began < 2.5  # less than it would wait for an answer
    process_events()  # Qt deletes the process now
    assert not [record for record in qtlog.records if "Destroyed" in record.message]
    assert isinstance(watched.events[-1], Cancelled)


# What a person may have beside their scans, and Python's own modules or ours import.
HOSTILE = ("queue", "json", "contextlib", "torch", "numpy", "typer", "nibabel", "select", "six")


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, full of modules that say when they are imported."""
    for name in HOSTILE:
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'imported')!r}, 'a').write(__name__ + '\\n')\n"
            "raise SystemExit('this is not the module')\n"
        )
    (tmp_path / "matplotlibrc").write_text("backend: no-such-backend\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep)  # empty entries mean the working folder too
    return tmp_path


def test_a_job_takes_nothing_from_the_working_folder(qapp: object, hostile: Path) -> None:
    job = JobProcess()
    job.start(["run", str(hostile / "nowhere")], "run")
    wait_until(lambda: not job.status.busy, "the job", 60)
    assert not (hostile / "imported").exists()
    assert isinstance(job.status.end, Failed)
    assert "nowhere" in job.status.end.what


def test_the_probe_takes_nothing_from_the_working_folder(
    qapp: object, hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_probe, "_known", {})
    probe = DeviceProbe()
    probe.ask([])
    wait_until(lambda: probe.known([]) is not None, "the device", 120)
    assert probe.known([])
    assert not (hostile / "imported").exists()
    probe.close()


def test_the_module_takes_nothing_from_the_working_folder(
    hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH")
    (hostile / "contextlib.py").unlink()  # Python itself needs it before any code of ours runs
    command = [sys.executable, "-m", "napari_singlestrip", "run", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not (hostile / "imported").exists()
    assert "nowhere" in done.stderr


def test_a_probe_that_is_closed_starts_no_other_process(qapp: object) -> None:
    probe = DeviceProbe()
    probe.close()
    probe.ask(["no-such-launcher"])
    assert probe.findChildren(QProcess) == []


def test_launcher_comes_before_the_command(watched: Watched) -> None:
    body = "import sys, json; print(json.dumps({'event': 'Note', 'text': ' '.join(sys.argv[1:])}))"
    watched.start("", launcher=[sys.executable, "-c", body])
    watched.finish()
    assert watched.events[0] == Note("singlestrip run study --events")


def test_ssh_gets_words_that_survive_its_shell() -> None:
    command = full_command(["run", "/data/my study"], ["ssh", "-T", "gpu-box"])
    assert command == ["ssh", "-T", "gpu-box", "singlestrip", "run", "'/data/my study'"]
    assert full_command(["run", "/data/my study"], ["srun"])[-1] == "/data/my study"


def test_launcher_that_cannot_be_started(watched: Watched) -> None:
    watched.start("", launcher=["no-such-launcher"])
    end = watched.finish()
    assert isinstance(end, Failed)
    assert "no-such-launcher" in end.what
    assert "launcher" in end.hint


def test_job_yields_to_the_window(watched: Watched) -> None:
    watched.start("""
        say("Started")
        sys.stdin.readline()
        say("Note", text=f"{os.nice(0)} {os.environ['OMP_WAIT_POLICY']}")
        say("Finished")
    """)
    watched.until(lambda: watched.state == "running")
    watched.job.pause()  # any line
    watched.finish()
    assert Note(f"{job_module.NICENESS} PASSIVE") in watched.events


def test_one_core_is_left_to_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for n, threads in ((1, "1"), (2, "1"), (8, "7")):
        monkeypatch.setattr(job_module, "cores", lambda n=n: n)
        assert job_module.worker_environment()["OMP_NUM_THREADS"] == threads
    monkeypatch.setenv("OMP_NUM_THREADS", "3")  # whoever sets it knows why
    assert job_module.worker_environment()["OMP_NUM_THREADS"] == "3"


def test_another_computer_gets_none_of_this_one_s_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert job_module.worker_environment(["srun"]) == {"PYTHONUNBUFFERED": "1"}


def test_started_device_stays_known_after_the_end(watched: Watched) -> None:
    watched.start("say('Started', device='CPU, 2 threads')\nsay('Finished')")
    watched.finish()
    assert watched.events[0] == Started("", "CPU, 2 threads")
    assert watched.job.status.device == "CPU, 2 threads"
