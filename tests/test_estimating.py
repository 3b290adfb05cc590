"""The estimate: every stage, in seconds, and nothing in the study changes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import make_study

from napari_singlestrip import stages
from napari_singlestrip.errors import UserError
from napari_singlestrip.estimating import estimate
from napari_singlestrip.events import Finished, Progress, Started
from napari_singlestrip.study import Study

if TYPE_CHECKING:
    from conftest import Heads


def test_estimate_names_every_stage(study: Study) -> None:
    before = sorted(p for p in study.folder.rglob("*"))
    events = list(estimate(study, device="cpu"))
    assert isinstance(events[0], Started)
    assert events[0].device.startswith("CPU")
    assert [e.step for e in events if isinstance(e, Progress)] == [1, 2, 3, 4]
    end = events[-1]
    assert isinstance(end, Finished)
    assert set(end.summary) == {"train", "autoencoder", "predict", "rank"}
    assert all(seconds > 0 for seconds in end.summary.values())
    assert sorted(p for p in study.folder.rglob("*")) == before


def test_estimate_grows_with_the_steps(study: Study) -> None:
    def seconds(steps: int) -> float:
        end = list(estimate(study, device="cpu", overrides={"training.steps": steps}))[-1]
        assert isinstance(end, Finished)
        return end.summary["train"]

    assert seconds(20_000) > 3 * seconds(2_000)


def test_estimate_is_about_right(tmp_path: Path, heads: Heads) -> None:
    study = make_study(tmp_path / "study", heads, training__steps=150)
    end = list(estimate(study, device="cpu"))[-1]
    assert isinstance(end, Finished)
    started = time.monotonic()
    for _ in stages.run(study, stages=["train"], device="cpu"):
        pass
    taken = time.monotonic() - started
    assert taken / 4 < end.summary["train"] < taken * 4  # other programs may be at work


def test_nothing_painted_is_said(tmp_path: Path, heads: Heads) -> None:
    study = Study.create(tmp_path / "study", heads.scans)
    with pytest.raises(UserError, match="painted"):
        list(estimate(study, device="cpu"))
