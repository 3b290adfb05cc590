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
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from matplotlib.image import imread

from napari_singlestrip.engine.checkpoint import load_checkpoint
from napari_singlestrip.events import TERMINAL, Cancelled, Event, Finished, Progress, parse_event
from napari_singlestrip.rounds import RoundFolder, read_metrics
from napari_singlestrip.study import Study

if TYPE_CHECKING:
    from conftest import Heads

ROOT = Path(__file__).parents[1]
N_KILLS = 12

# Small enough to start at once (this architecture needs no MONAI), long enough to be hit
# anywhere. Checkpoints are written after every step, so that what was said must be on disk.
SETTINGS = {
    "conform__spacing_mm": 14, "network__architecture": "synthstrip", "network__channels": [2, 2],
    "label_map__n_bins": [[2, 3]], "training__steps": 120, "training__checkpoint_seconds": 1e-3,
    "training__validate_every": 20, "autoencoder__steps": 10, "finetuning__steps": 40,
}  # fmt: skip


class Worker:
    """`singlestrip run --events` as a window starts it."""

    def __init__(self, study: Study) -> None:
        command = [sys.executable, "-m", "napari_singlestrip", "run", str(study.folder),
                   "--events", "--device", "cpu"]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, cwd=study.folder
        )
        self.lines: list[bytes] = []
        self.errors: list[bytes] = []
        self._first = threading.Event()
        self._readers = [threading.Thread(target=self._read), threading.Thread(target=self._hear)]
        for reader in self._readers:
            reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            self._first.set()
        self._first.set()

    def _hear(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def wait_for(self, kind: type[Event], seconds: float = 60) -> None:
        """Return when an event of a kind came, or the process ended."""
        end = time.monotonic() + seconds
        while not any(isinstance(event, kind) for event in self.events):
            if self.process.poll() is not None or time.monotonic() > end:
                return
            time.sleep(0.01)

    def tell(self, text: str) -> None:
        """Write to its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def end(self) -> list[Event]:
        """Wait for the process and return what it said."""
        self.process.wait(60)
        for reader in self._readers:
            reader.join()
        return self.events

    @property
    def events(self) -> list[Event]:
        """What it said so far; the last line of a killed process may be half a line."""
        whole = [line for line in self.lines if line.endswith(b"\n")]
        return [parse_event(line.decode()) for line in whole]


@contextmanager
def worker(study: Study) -> Iterator[Worker]:
    """Start a worker, and leave none behind."""
    started = Worker(study)
    try:
        yield started
    finally:
        started.process.kill()
        started.end()
        for pipe in (started.process.stdin, started.process.stdout, started.process.stderr):
            if pipe is not None:
                pipe.close()


def check_files(folder: Path) -> None:
    """Read every file of a study to its end, as its kind is read."""
    for path in (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
        if path.name.removesuffix(".bak").endswith(".json"):
            json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".csv":
            rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
            assert len({len(row) for row in rows}) == 1, path
        elif path.suffix == ".pt":
            load_checkpoint(path, path.stem)
        elif path.suffix == ".png":
            imread(path)
        elif path.suffix == ".jsonl":
            read_metrics(RoundFolder(path.parent))
        elif path.name.endswith(".nii.gz"):
            np.asarray(nib.load(path).dataobj)  # type: ignore[attr-defined]
        elif path.suffix != ".log":
            pytest.fail(f"no reader for {path}")


def steps_saved(study: Study) -> dict[str, int]:
    """Step of the checkpoint of each stage."""
    places = {"train": study.round_dir(0), "finetune": study.round_dir(1)}
    return {
        stage: load_checkpoint(folder / "segmenter.pt", "segmenter")["step"]
        for stage, folder in places.items() if (folder / "segmenter.pt").is_file()
    }  # fmt: skip


def steps_said(events: list[Event]) -> dict[str, int]:
    """Last step of each stage that was reported."""
    return {event.stage: event.step for event in events if isinstance(event, Progress)}


@pytest.fixture
def study(tmp_path: Path, heads: Heads) -> Study:
    """A study that takes some seconds."""
    from conftest import make_study

    return make_study(tmp_path / "study", heads, **SETTINGS)


def kill_soon(running: Worker, rng: np.random.Generator, early: bool) -> list[Event]:
    """Kill a worker at a random moment: while it starts, or while it works."""
    if early:
        time.sleep(rng.uniform(0, 1))
    else:
        running.wait_for(Event)
        time.sleep(rng.exponential(0.8))
    running.process.send_signal(signal.SIGKILL)
    return running.end()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_killed_at_random_moments_nothing_is_damaged_and_it_resumes(
    study: Study, heads: Heads
) -> None:
    rng = np.random.default_rng(20)
    before: dict[str, int] = {}
    interrupted = 0
    for n in range(N_KILLS):
        with worker(study) as running:
            events = kill_soon(running, rng, early=n % 6 == 5)
        interrupted += not any(isinstance(event, Finished) for event in events)
        check_files(study.folder)
        saved = steps_saved(study)
        for stage, step in {**before, **steps_said(events)}.items():
            if stage in ("train", "finetune"):
                # Every step is on disk before it is told.
                assert saved[stage] >= max(step, before.get(stage, 0))
        before = saved
    assert interrupted >= N_KILLS // 2  # the work is long enough to be hit
    with worker(study) as running:
        check_complete(study, heads, running.end())


def check_complete(study: Study, heads: Heads, events: list[Event]) -> None:
    """The results are all there, and nothing else."""
    assert isinstance(events[-1], Finished)
    assert sum(isinstance(event, TERMINAL) for event in events) == 1
    check_files(study.folder)
    assert steps_saved(study) == {"train": 120, "finetune": 40}
    for round_ in (0, 1):
        found = {p.name for p in (study.round_dir(round_) / "pseudo_labels").iterdir()}
        ranked = {row.scan for row in study.scores(round_)}
        assert found == {f"{name}.nii.gz" for name in ranked} != set()
        assert ranked <= set(heads.names[1:])
    left = [p for p in study.folder.rglob(".*") if not p.name.startswith((".lock-", ".~.lock"))]
    assert left == []


def test_end_of_stdin_stops_the_job(study: Study) -> None:
    """Whoever watched is gone: no job is left that nobody knows of."""
    with worker(study) as running:
        running.wait_for(Progress)
        assert running.process.stdin is not None
        running.process.stdin.close()
        events = running.end()
    assert running.process.returncode == 130
    assert_cancelled(study, events)


def assert_cancelled(study: Study, events: list[Event]) -> None:
    end = events[-1]
    assert isinstance(end, Cancelled)
    assert [type(event) for event in events if isinstance(event, TERMINAL)] == [Cancelled]
    assert end.step == steps_saved(study)["train"] < 120
    check_files(study.folder)
    assert not list(study.folder.rglob(".*"))


def test_a_second_job_is_refused_and_the_first_obeys_cancel(study: Study) -> None:
    with worker(study) as first:
        first.wait_for(Progress)
        with worker(study) as second:
            said: list[Any] = second.end()
        first.tell("cancel\n")
        assert_cancelled(study, first.end())
    assert first.process.returncode == 130
    assert second.process.returncode == 2
    assert len(said) == 1
    assert "Another job" in said[0].what
