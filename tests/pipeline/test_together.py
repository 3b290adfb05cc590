"""A study that several processes train, as torchrun starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from napari_singlestrip.cluster.task import together
from napari_singlestrip.engine.devices.precision import CPU
from napari_singlestrip.engine.learning.segmenter import load_segmenter
from napari_singlestrip.engine.learning.training import is_done, step_of
from napari_singlestrip.events import (
    TERMINAL,
    Cancelled,
    Event,
    Finished,
    Note,
    Progress,
    parse_event,
)
from napari_singlestrip.pipeline import stages
from napari_singlestrip.study.lock import LOCK_FILE
from napari_singlestrip.study.round_folder import RoundFolder
from napari_singlestrip.study.study import Study

if TYPE_CHECKING:
    from conftest import Heads

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
SETTINGS = {
    "conform__spacing_mm": 16, "network__architecture": "synthstrip", "network__channels": [2, 2],
    "label_map__n_bins": [[2, 3]], "training__steps": 10, "training__validate_every": 20,
    "autoencoder__steps": 4, "finetuning__steps": 6, "finetuning__rounds": 1,
    "prediction__threshold": 0.5,
}  # fmt: skip


def make(folder: Path, heads: Heads, **changes: int) -> Study:
    """A study whose network is so small that processes spend their time on one another."""
    from conftest import make_study

    return make_study(folder, heads, **SETTINGS | changes)


@contextmanager
def two(study: Study) -> Iterator[subprocess.Popen[str]]:
    """Run a study by two processes; none is left behind."""
    command = (*together(2), "-m", "napari_singlestrip", "run", str(study.folder), "--events")
    with subprocess.Popen(
        [sys.executable, *command, "--device", "cpu"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()  # torchrun ends what it started


def said(process: subprocess.Popen[str]) -> Iterator[Event]:
    """What the job says, until its end."""
    assert process.stdout is not None
    yield from map(parse_event, process.stdout)  # the others write nothing between the events


def test_two_processes_run_a_study_and_one_of_them_speaks(tmp_path: Path, heads: Heads) -> None:
    study = make(tmp_path / "study", heads)
    with two(study) as process:
        events = list(said(process))
        assert process.wait(timeout=60) == 0
    assert [type(event) for event in events if isinstance(event, TERMINAL)] == [Finished]
    notes = [event.text for event in events if isinstance(event, Note)]
    assert notes[0].startswith("2 processes train the segmenter together")
    assert (study.folder / "job.log").read_text().count("Finished") == 1
    assert not (study.folder / LOCK_FILE).exists()
    for round_ in (0, 1):
        path = RoundFolder(study.rounds.folder(round_)).segmenter
        assert is_done(path, "segmenter")
        load_segmenter(path, CPU)
        assert len(study.rounds.scores(round_)) == len(heads.names) - 1


def test_a_run_of_two_that_is_stopped_goes_on_alone(tmp_path: Path, heads: Heads) -> None:
    study = make(tmp_path / "study", heads, training__steps=2000)
    with two(study) as process:
        for event in said(process):
            if isinstance(event, Progress) and event.stage == "train" and event.step == 1:
                process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
    assert isinstance(event, Cancelled)
    path = RoundFolder(study.rounds.folder(0)).segmenter
    step = step_of(path, "segmenter")
    assert step == event.step > 0
    assert not (study.folder / LOCK_FILE).exists()
    alone = stages.run(study, stages=["train"], device="cpu")
    taken = (e.step for e in alone if isinstance(e, Progress) and e.stage == "train")
    assert [next(taken), next(taken)] == [step + 1, step + 2]
    alone.close()  # type: ignore[attr-defined]
    assert step_of(path, "segmenter") == step + 2
