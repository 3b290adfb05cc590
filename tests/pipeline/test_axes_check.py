"""A person is told where a scan's axes seem to run otherwise than its header says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.engine.imaging.grid import Volume
from napari_singlestrip.engine.learning.model import Model
from napari_singlestrip.engine.learning.model_card import ModelCard
from napari_singlestrip.engine.learning.segmenter import Segmenter
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Note
from napari_singlestrip.pipeline import axes_check
from napari_singlestrip.pipeline.axes_check import told_axes, with_axes
from napari_singlestrip.pipeline.job import Job
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import ScoreRow
from napari_singlestrip.study.volumes_table import AppliedRow


def checked(job: Job, table: list[ScoreRow]) -> tuple[list[ScoreRow], list[Note]]:
    notes: list[Note] = []
    steps = with_axes(job, 1, table)
    while True:
        try:
            event = next(steps)
        except StopIteration as end:
            return end.value, notes
        assert isinstance(event, Note)
        notes.append(event)


@pytest.fixture
def job(trained_copy: Study) -> Job:
    return Job(trained_copy, trained_copy.settings(), torch.device("cpu"))


def test_only_masks_unlike_a_brain_are_looked_at(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def likely(*given: Any) -> str:
        asked.append(given[-1])
        return "PSR"

    monkeypatch.setattr(axes_check, "likely_axes", likely)
    one, *others = [replace(row, flag="") for row in job.study.rounds.scores(1)]
    assert checked(job, [one, *others]) == ([one, *others], [])
    odd = replace(one, flag="unlike a brain, small")
    (found, *rest), notes = checked(job, [odd, *others])
    assert found.flag == "unlike a brain, small, axes perhaps PSR"
    assert rest == others
    assert [(note.scan, note.level) for note in notes] == [(one.scan, "warning")]
    assert "seem to be P-S-R" in notes[0].text
    assert asked == [max(row.autoencoder_error for row in others)]


@pytest.mark.parametrize("problem", [None, UserError("It cannot be read.")])
def test_a_scan_that_lies_right_keeps_its_flag(
    job: Job, monkeypatch: pytest.MonkeyPatch, problem: UserError | None
) -> None:
    def likely(*_: Any) -> str:
        if problem is not None:
            raise problem
        return ""

    monkeypatch.setattr(axes_check, "likely_axes", likely)
    one, *others = [replace(row, flag="") for row in job.study.rounds.scores(1)]
    odd = replace(one, flag="unlike a brain")
    table, notes = checked(job, [odd, *others])
    assert table == [odd, *others]
    assert [note.scan for note in notes] == [one.scan] * (problem is not None)


def test_of_new_scans_those_are_looked_at_that_are_beyond_what_was_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(axes_check, "likely_axes", lambda *_: "PSR")
    autoencoder: Any = object()
    segmenter = Segmenter(nn.Identity(), Settings(), 4.0, (8, 8, 8), autoencoder=autoencoder)
    model = Model(segmenter, ModelCard(max_error=0.05))
    volume = Volume(np.ones((2, 2, 2), np.float32), np.eye(4))
    usual = AppliedRow("a", autoencoder_error=0.04)
    assert told_axes(model, volume, usual) == usual
    odd = AppliedRow("a", autoencoder_error=0.06, flag="autoencoder error 0.060 is above 0.050")
    told = told_axes(model, volume, odd).flag
    assert told.startswith(odd.flag)
    assert told.endswith("; its voxel axes seem to be P-S-R, not R-A-S as its header says")
    unable = Model(replace(segmenter, autoencoder=None), model.card)
    assert told_axes(unable, volume, odd) == odd
    assert told_axes(model, volume, replace(usual, autoencoder_error=float("nan"))).flag == ""
