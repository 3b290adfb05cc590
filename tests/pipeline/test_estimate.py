"""The estimate: every stage, in seconds, and nothing in the study changes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from conftest import make_study

from napari_singlestrip.engine.learning.segmenter_training import segmenter_task
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Finished, Progress, Started, parse_event
from napari_singlestrip.files.atomic import TEMPORARY_PREFIX
from napari_singlestrip.pipeline import estimate as estimating
from napari_singlestrip.pipeline import stages
from napari_singlestrip.pipeline.estimate import estimate
from napari_singlestrip.study.study import Study

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


@pytest.mark.parametrize("step", ["refine_border", "remove_leaks"])
@pytest.mark.parametrize("wanted", [True, False])
def test_what_becomes_of_a_mask_counts(
    tmp_path: Path, heads: Heads, monkeypatch: pytest.MonkeyPatch, step: str, wanted: bool
) -> None:
    """An untrained network finds no mask to work on: the painted one is used."""
    volumes: list[int] = []
    monkeypatch.setattr(estimating, step, lambda mask, *_: volumes.append(int(mask.sum())))
    changes: dict[str, Any] = {f"prediction__{step}": wanted}
    study = make_study(tmp_path / "study", heads, **changes)
    list(estimate(study, device="cpu"))
    assert bool(volumes) == wanted and all(volumes)


def test_estimate_grows_with_the_steps(study: Study) -> None:
    def seconds(steps: int) -> float:
        end = list(estimate(study, device="cpu", overrides={"training.steps": steps}))[-1]
        assert isinstance(end, Finished)
        return end.summary["train"]

    # Other programs may be at work in one of the two and not in the other: right once is right.
    assert any(seconds(20_000) > 3 * seconds(2_000) for _ in range(3))


def test_estimate_is_about_right(tmp_path: Path, heads: Heads) -> None:
    study = make_study(tmp_path / "study", heads, training__steps=150)

    def times_too_long() -> float:
        end = list(estimate(study, device="cpu"))[-1]
        assert isinstance(end, Finished)
        started = time.monotonic()
        for _ in stages.run(study, stages=["train"], device="cpu", restart=True):
            pass
        return end.summary["train"] / (time.monotonic() - started)

    # Other programs may be at work in one of the two and not in the other: right once is right.
    assert any(1 / 3 < times_too_long() < 3 for _ in range(3))


@pytest.mark.parametrize(("n_painted", "share"), [(1, 0.0), (2, 0.5)])
def test_steps_are_those_of_the_training(
    tmp_path: Path, heads: Heads, monkeypatch: pytest.MonkeyPatch, n_painted: int, share: float
) -> None:
    """Real scans take less time than synthetic heads."""
    shares: list[float] = []

    def record(*args: Any, **options: Any) -> Any:
        shares.append(options["real_fraction"])
        return segmenter_task(*args, **options)

    monkeypatch.setattr(estimating, "segmenter_task", record)
    study = make_study(tmp_path / "study", heads, training__real_fraction=0.5)
    for name, mask in list(zip(heads.names, heads.masks, strict=True))[1:n_painted]:
        study.masks.import_file(name, mask)
    for _ in estimate(study, device="cpu"):
        pass
    assert shares == [share]


def test_it_works_within_the_study_and_a_killed_one_is_tidied_away(
    study: Study, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "temporary"
    elsewhere.mkdir()
    environment = {**os.environ, "TMPDIR": str(elsewhere), "TEMP": str(elsewhere)}
    before = sorted(study.folder.rglob("*"))
    command = [sys.executable, "-m", "napari_singlestrip", "estimate", str(study.folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*command, "--events", "--device", "cpu"], stdin=pipe, stdout=pipe, env=environment
    ) as job:
        assert job.stdout is not None
        for line in job.stdout:
            if parse_event(line.decode()) == Progress("estimate", 2, 4):
                job.kill()
    (left,) = study.folder.glob(f"{TEMPORARY_PREFIX}*")
    assert (left / "segmenter.pt").is_file()
    assert list(elsewhere.iterdir()) == []
    os.utime(left, (time.time() - 7200, time.time() - 7200))
    list(estimate(study, device="cpu"))
    assert sorted(study.folder.rglob("*")) == before


def test_nothing_painted_is_said(tmp_path: Path, heads: Heads) -> None:
    study = Study.create(tmp_path / "study", heads.scans)
    with pytest.raises(UserError, match="painted"):
        list(estimate(study, device="cpu"))


def test_the_first_scan_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In it modules are loaded and kernels chosen: a pool of a hundred does that once."""
    now, costs = [0.0], iter([5.0, 0.5])
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("napari_singlestrip.pipeline.estimate.time", clock)

    def work() -> None:
        now[0] += next(costs)

    assert estimating._time_scan(work) == (5.0, 0.5)
