"""A killed job: nothing is damaged, little is lost, and the same command finishes the work."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from matplotlib.image import imread

from napari_singlestrip.engine.learning.checkpoint import load_checkpoint
from napari_singlestrip.events import (
    TERMINAL,
    Cancelled,
    Event,
    Finished,
    Progress,
    Started,
    parse_event,
)
from napari_singlestrip.files.locks import lock_path
from napari_singlestrip.study.round_folder import RoundFolder, read_metrics
from napari_singlestrip.study.study import Study

if TYPE_CHECKING:
    from conftest import Heads

ROOT = Path(__file__).parents[1]
N_KILLS = 12
# Asked to stop, a job is gone within 3 s; a machine that runs other tests meanwhile takes longer.
STOP_SECONDS = 10

# Small enough to start at once, long enough to be hit anywhere. Checkpoints are written after every
# step, so that what was said must be on disk. A network this small is never 60% sure of a brain.
SETTINGS = {
    "conform__spacing_mm": 16, "network__architecture": "synthstrip", "network__channels": [2, 2],
    "label_map__n_bins": [[2, 3]], "training__steps": 40, "training__checkpoint_seconds": 1e-3,
    "training__validate_every": 20, "autoencoder__steps": 10, "finetuning__steps": 30,
    "prediction__threshold": 0.5,
}  # fmt: skip


# The same program on a slow disk, so that a good part of the kills hits half a file. It is loaded
# once and forked for each job: loading takes longer than all the rest.
LOADED_ON_A_SLOW_DISK = """
import os, pathlib, sys, time
import torch, torch._dynamo
from napari_singlestrip.pipeline import previews, stages
from napari_singlestrip.cli.app import main

def write_slowly(path, data):
    with open(path, "wb") as file:
        file.write(data[: len(data) // 2])
        file.flush()
        time.sleep(0.03)
        file.write(data[len(data) // 2 :])

pathlib.Path.write_bytes = write_slowly
pathlib.Path.write_text = lambda path, text, *_, **__: write_slowly(path, text.encode())

for line in sys.stdin:
    study, inbox, outbox = line.rstrip().split("|")
    child = os.fork()
    if child == 0:
        os.dup2(os.open(inbox, os.O_RDONLY), 0)
        os.dup2(os.open(outbox, os.O_WRONLY), 1)
        os._exit(main(["run", study, "--events", "--device", "cpu"]))
    print(child, flush=True)
    os.waitpid(child, 0)
    print("gone", flush=True)
"""


def start(*arguments: str) -> subprocess.Popen[bytes]:
    """Start Python with our package and pipes."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, *arguments], stdin=pipe, stdout=pipe, env=environment, bufsize=0
    )


class Listener:
    """Collects the events of a job while it runs."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._lines: list[bytes] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with self._stream:
            self._lines.extend(self._stream)

    @property
    def events(self) -> list[Event]:
        """What was said so far; the last line of a killed process may be half a line."""
        whole = [line for line in self._lines if line.endswith(b"\n")]
        return [parse_event(line.decode()) for line in whole]

    def wait_for(self, kind: type[Event], n: int = 1) -> None:
        """Return when `n` events of a kind came, or the job ended."""
        while sum(isinstance(event, kind) for event in self.events) < n:
            if not self._reader.is_alive():
                return
            time.sleep(0.005)

    def end(self) -> list[Event]:
        """Wait for the end of the job and return what it said."""
        self._reader.join(240)
        assert not self._reader.is_alive()
        return self.events


@contextmanager
def worker(study: Study) -> Iterator[tuple[subprocess.Popen[bytes], Listener]]:
    """Start `singlestrip run --events` as a window does, and leave none behind."""
    process = start(
        "-m", "napari_singlestrip", "run", str(study.folder), "--events", "--device", "cpu"
    )
    assert process.stdin is not None
    assert process.stdout is not None
    listener = Listener(process.stdout)
    try:
        yield process, listener
        process.wait(240)
    finally:
        process.kill()
        process.wait()
        listener.end()
        process.stdin.close()


class Killer:
    """Starts jobs on one study, and kills them at random moments."""

    def __init__(self, study: Study, loaded: subprocess.Popen[bytes], folder: Path) -> None:
        assert loaded.stdin is not None
        assert loaded.stdout is not None
        self._ask, self._answer = loaded.stdin, loaded.stdout
        self._pipes = folder / "in", folder / "out"
        for path in self._pipes:
            os.mkfifo(path)
        self._line = "|".join(str(p) for p in (study.folder, *self._pipes)) + "\n"

    def run_and_kill(self, rng: np.random.Generator) -> list[Event]:
        """Kill a job after some events: while it starts, in training, while it writes."""
        self._ask.write(self._line.encode())
        pid = int(self._answer.readline())
        inbox, outbox = (path.open(mode) for path, mode in zip(self._pipes, ("wb", "rb"),
                                                               strict=True))
        with inbox:
            listener = Listener(outbox)
            listener.wait_for(Event, n=int(rng.integers(0, 14)))
            time.sleep(rng.uniform(0, 0.15))
            os.kill(pid, signal.SIGKILL)  # not yet waited for, so the number is still its own
            assert self._answer.readline() == b"gone\n"
            return listener.end()


def check_files(folder: Path) -> None:
    """Read every file of a study to its end, as its kind is read."""
    for path in (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
        if path.name.removesuffix(".bak").endswith(".json"):
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".csv":
            rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
            assert len({len(row) for row in rows}) == 1, path
        elif path.suffix == ".pt":
            load_checkpoint(path, "autoencoder" if path.stem == "autoencoder" else "segmenter")
        elif path.suffix == ".png":
            imread(path)
        elif path.suffix == ".jsonl":
            read_metrics(RoundFolder(path.parent))
        elif path.name.endswith(".nii.gz"):
            np.asarray(nib.load(path).dataobj)  # type: ignore[attr-defined]
        elif path.suffix != ".log":
            pytest.fail(f"no reader for {path}")


def steps_saved(study: Study) -> dict[str, int]:
    """Step of each stage on disk: of all its checkpoints, since fine-tuning has two in turn."""
    first, second = (RoundFolder(study.rounds.folder(n)) for n in (0, 1))
    places = {"train": [first.segmenter], "finetune": [second.first_pass, second.segmenter]}
    return {
        stage: sum(load_checkpoint(path, "segmenter")["step"] for path in paths if path.is_file())
        for stage, paths in places.items() if any(path.is_file() for path in paths)
    }  # fmt: skip


def steps_said(events: list[Event]) -> dict[str, int]:
    """Last step of each stage that was reported."""
    return {event.stage: event.step for event in events if isinstance(event, Progress)}


@pytest.fixture
def study(tmp_path: Path, heads: Heads) -> Study:
    """A study that takes some seconds."""
    from conftest import make_study

    return make_study(tmp_path / "study", heads, **SETTINGS)


@pytest.fixture
def killer(study: Study, tmp_path: Path) -> Iterator[Killer]:
    """Kills jobs on the study."""
    loaded = start("-c", LOADED_ON_A_SLOW_DISK)
    try:
        yield Killer(study, loaded, tmp_path)
    finally:
        loaded.kill()
        loaded.wait()
        for pipe in (loaded.stdin, loaded.stdout):
            if pipe is not None:
                pipe.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork and no SIGKILL")
def test_killed_at_random_moments_nothing_is_damaged_and_it_resumes(
    study: Study, heads: Heads, killer: Killer
) -> None:
    rng = np.random.default_rng(20)
    before: dict[str, int] = {}
    hit: list[str] = []
    for _ in range(N_KILLS):
        events = killer.run_and_kill(rng)
        if not any(isinstance(event, Finished) for event in events):
            stages = [event.stage for event in events if isinstance(event, Started)]
            hit.append(stages[-1] if stages else "")
        check_files(study.folder)
        saved = steps_saved(study)
        for stage, step in steps_said(events).items():
            if stage in saved or stage in ("train", "finetune"):
                assert saved[stage] >= step  # every step is on disk before it is told
        assert all(saved[stage] >= step for stage, step in before.items())
        before = saved
    assert len(hit) >= N_KILLS // 2  # the work is long enough to be hit
    with worker(study) as (_, listener):
        check_complete(study, heads, listener.end())


def check_complete(study: Study, heads: Heads, events: list[Event]) -> None:
    """The results are all there, and nothing else."""
    assert isinstance(events[-1], Finished)
    assert sum(isinstance(event, TERMINAL) for event in events) == 1
    check_files(study.folder)
    assert steps_saved(study) == {"train": 40, "finetune": 30 + 15}
    for round_ in (0, 1):
        found = {p.name for p in (study.rounds.folder(round_) / "pseudo_labels").iterdir()}
        ranked = {row.scan for row in study.rounds.scores(round_)}
        assert found == {f"{name}.nii.gz" for name in ranked} != set()
        assert ranked <= set(heads.names[1:])
    # A job killed while it takes the lock leaves a few bytes; they go when they are old.
    assert [path for path in left_over(study) if ".lock-" not in path.name] == []


def left_over(study: Study) -> list[Path]:
    """Hidden files, but for the one that programs lock while they change the study: it stays."""
    lock = lock_path(study.folder / "study.json")
    return [path for path in study.folder.rglob(".*") if path != lock]


def test_end_of_stdin_stops_the_job(study: Study) -> None:
    """Whoever watched is gone: no job is left that nobody knows of."""
    with worker(study) as (process, listener):
        listener.wait_for(Progress)
        assert process.stdin is not None
        process.stdin.close()
        assert_cancelled(study, listener.end())
    assert process.returncode == 130


def test_a_job_in_training_stops_in_no_time(tmp_path: Path, heads: Heads) -> None:
    from conftest import make_study

    study = make_study(tmp_path / "long", heads, training__steps=100_000)
    with worker(study) as (process, listener):
        listener.wait_for(Progress, n=5)
        assert process.stdin is not None
        began = time.monotonic()
        process.stdin.write(b"cancel\n")
        process.wait(STOP_SECONDS)
        seconds = time.monotonic() - began
        end = listener.end()[-1]
    sys.stdout.write(f"stopped within {seconds:.2f} s\n")
    assert isinstance(end, Cancelled)
    assert process.returncode == 130
    assert steps_saved(study) == {"train": end.step}
    assert end.step >= 5


def assert_cancelled(study: Study, events: list[Event]) -> None:
    end = events[-1]
    assert isinstance(end, Cancelled)
    assert [type(event) for event in events if isinstance(event, TERMINAL)] == [Cancelled]
    assert end.step == steps_saved(study)["train"] < 40
    check_files(study.folder)
    assert left_over(study) == []


def test_a_second_job_is_refused_and_the_first_obeys_cancel(study: Study) -> None:
    with worker(study) as (first, listener):
        listener.wait_for(Progress)
        first.send_signal(signal.SIGSTOP)  # it must not finish before the second one has loaded
        with worker(study) as (second, refused):
            said: list[Any] = refused.end()
        assert first.stdin is not None
        first.stdin.write(b"cancel\n")
        first.send_signal(signal.SIGCONT)
        assert_cancelled(study, listener.end())
    assert first.returncode == 130
    assert second.returncode == 2
    assert len(said) == 1
    assert "Another job" in said[0].what
