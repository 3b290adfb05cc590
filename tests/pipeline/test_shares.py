"""Several processes on one folder: all is done once, wherever some of them are killed."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import make_predicted_study

from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Finished, Wrote
from napari_singlestrip.pipeline import stages
from napari_singlestrip.pipeline.apply import apply
from napari_singlestrip.pipeline.export_masks import TABLE, export_masks
from napari_singlestrip.study.parts import Part
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.volumes_table import TABLE as VOLUMES
from napari_singlestrip.study.volumes_table import read_table

if TYPE_CHECKING:
    from conftest import Heads

N_SCANS, N_PARTS = 40, 4


def table(out: Path) -> dict[str, dict[str, str]]:
    with (out / TABLE).open() as file:
        rows = list(csv.DictReader(file))
    found = {row["scan"]: row for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.fixture
def many(tmp_path: Path, heads: Heads) -> Study:
    """A study of many scans with predicted masks."""
    return make_predicted_study(tmp_path, heads, N_SCANS)


def start(study: Study, out: Path, number: int) -> subprocess.Popen[bytes]:
    command = ["-P", "-m", "napari_singlestrip", "masks", str(study.folder), "--out", str(out)]
    part = ["--part", f"{number}/{N_PARTS}", "--quiet"]
    return subprocess.Popen([sys.executable, *command, *part])


def test_processes_that_are_killed_leave_nothing_out(many: Study, tmp_path: Path) -> None:
    rng, out = random.Random(0), tmp_path / "out"
    running = [start(many, out, number) for number in range(1, N_PARTS + 1)]
    time.sleep(rng.uniform(1, 4))
    for process in rng.sample(running, 2):
        process.kill()
    for process in running:
        process.wait(timeout=300)
    again = [start(many, out, number) for number in range(1, N_PARTS + 1)]
    assert [process.wait(timeout=300) for process in again] == [0] * N_PARTS
    rows = table(out)
    assert list(rows) == list(many.scans.names)
    assert all((out / row["mask"]).is_file() for row in rows.values())


def test_parts_of_masks_make_one_table(many: Study, tmp_path: Path) -> None:
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    list(export_masks(many, whole))
    written = [
        event.path for number in range(1, N_PARTS + 1)
        for event in export_masks(many, shared, part=Part(number, N_PARTS))
        if isinstance(event, Wrote) and event.path != TABLE
    ]  # fmt: skip
    assert len(written) == len(set(written)) == N_SCANS
    assert (shared / TABLE).read_text() == (whole / TABLE).read_text()


def test_parts_of_an_application_make_one(
    trained_study: Study, heads: Heads, tmp_path: Path
) -> None:
    done = []
    for number in (1, 2, 3):
        events = list(apply(
            trained_study.folder, heads.scans, tmp_path, device="cpu", part=Part(number, 3)
        ))  # fmt: skip
        end = events[-1]
        assert isinstance(end, Finished)
        done.append(end.n_done)
    assert done == [2, 1, 1]
    assert {row.scan for row in read_table(tmp_path / VOLUMES) if row.mask} == set(heads.names)


def test_parts_of_a_ranking_are_the_ranking(trained_copy: Study) -> None:
    study = trained_copy
    newest = study.rounds.current()
    before = study.rounds.scores(newest)
    labels = {row.scan: study.rounds.pseudo_label_path(newest, row.scan) for row in before}
    masks = {name: path.read_bytes() for name, path in labels.items()}
    for path in (*labels.values(), study.rounds.scores_path(newest)):
        path.unlink()
    for number in (2, 1):
        list(stages.run(study, device="cpu", part=Part(number, 2)))
    assert {name: path.read_bytes() for name, path in labels.items()} == masks
    rounded = [replace(row, flag="") for row in before]
    assert [replace(row, flag="") for row in study.rounds.scores(newest)] == rounded
    with pytest.raises(UserError, match="can be shared out"):
        list(stages.run(study, stages=["train"], device="cpu", part=Part(1, 2)))
