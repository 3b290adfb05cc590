"""The network's current prediction for a scan: written while it trains, and never in its way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from conftest import make_study

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.engine.learning.segmenter import strip_volume
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Note, Progress, Wrote
from napari_singlestrip.pipeline import live_prediction as live_prediction
from napari_singlestrip.pipeline import stages
from napari_singlestrip.pipeline.live_prediction import LivePrediction
from napari_singlestrip.pipeline.round_segmenter import segmenter_of_round
from napari_singlestrip.study.study import Study

if TYPE_CHECKING:
    from conftest import Heads


def steps(n: int, checkpoint: Path) -> Iterator[Event]:
    """Training that writes its checkpoint at every step."""
    for step in range(1, n + 1):
        content = checkpoint.read_bytes()
        checkpoint.write_bytes(content)
        yield Progress("train", step, n)


def watched(study: Study, name: str = "") -> tuple[LivePrediction, Path]:
    name = name or study.scans.names[1]
    folder = study.rounds.folder(0)
    answer = LivePrediction(
        study, name, folder / "previews", study.settings().prediction, torch.device("cpu")
    )
    return answer, folder / "segmenter.pt"


def test_each_checkpoint_is_answered(trained_copy: Study) -> None:
    answer, checkpoint = watched(trained_copy)
    events = list(answer.follow(steps(3, checkpoint), checkpoint))
    wrote = [event for event in events if isinstance(event, Wrote)]
    assert len(wrote) == 4  # the last one when training has ended
    assert {event.what for event in wrote} == {"answer"}
    scan = open_scan(trained_copy.scans.path(trained_copy.scans.names[1]))
    mask = load_mask(trained_copy.folder / wrote[-1].path, like=scan)
    name = trained_copy.scans.names[1]
    said = load_mask(trained_copy.rounds.pseudo_label_path(0, name), like=scan)
    assert 2 * (mask & said).sum() / (mask.sum() + said.sum()) > 0.8  # it does not look as closely


def test_what_is_watched_is_a_mask_as_the_pool_gets_it(trained_copy: Study) -> None:
    """But for the closer look: the same network, threshold and cleaning."""
    scan = trained_copy.scans.names[1]
    changes = {"prediction.flip": False, "prediction.windows": 1, "prediction.threshold": 0.6}
    trained_copy.set_settings({**trained_copy.overrides, **changes})
    answer, checkpoint = watched(trained_copy, scan)
    list(answer.follow(steps(1, checkpoint), checkpoint))
    settings = trained_copy.settings()
    segmenter = segmenter_of_round(trained_copy, 0, settings, torch.device("cpu"))
    opened = open_scan(trained_copy.scans.path(scan))
    pool = strip_volume(segmenter, opened.load())
    assert pool.any() and (load_mask(answer.path, like=opened) == pool).all()


def test_watching_keeps_to_its_share(trained_copy: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_prediction, "GRACE_SECONDS", 0.0)
    answer, checkpoint = watched(trained_copy)
    events = list(answer.follow(steps(5, checkpoint), checkpoint))
    # One answer has cost more than 3% of the time since: only that after the end is left.
    assert [type(event).__name__ for event in events].count("Wrote") == 2


def test_bad_scan_does_not_stop_training(trained_copy: Study) -> None:
    answer, checkpoint = watched(trained_copy)
    answer._study = Study.open(trained_copy.folder)
    damaged = trained_copy.folder / "damaged.nii.gz"
    damaged.write_bytes(b"no scan")
    answer._study.scans.path = lambda name: damaged  # type: ignore[method-assign]
    events = list(answer.follow(steps(3, checkpoint), checkpoint))
    assert sum(isinstance(event, Progress) for event in events) == 3
    notes = [event for event in events if isinstance(event, Note)]
    assert len(notes) == 1
    assert notes[0].level == "warning"


def test_run_watches(tmp_path: Path, heads: Heads) -> None:
    study = make_study(tmp_path / "study", heads, training__steps=4, autoencoder__steps=2)
    name = study.scans.names[2]
    events = list(stages.run(study, stages=["train"], device="cpu", watch=name))
    wrote = [event.path for event in events if isinstance(event, Wrote)]
    assert f"rounds/00/previews/answer_{name}.nii.gz" in wrote
    with pytest.raises(UserError, match="no scan"):
        list(stages.run(study, device="cpu", watch="nobody"))


def test_watching_changes_nothing_that_is_learned(tmp_path: Path, heads: Heads) -> None:
    losses = []
    for name in ("", heads.names[1]):
        study = make_study(tmp_path / f"study{bool(name)}", heads, training__steps=6)
        events = stages.run(study, stages=["train"], device="cpu", watch=name)
        losses.append([e.metrics["loss"] for e in events if isinstance(e, Progress)])
    assert losses[0] == pytest.approx(losses[1], rel=5e-3)
