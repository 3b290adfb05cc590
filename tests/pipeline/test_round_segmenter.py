"""One source of how a prediction becomes a mask: for the pool, new scans and exported models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from napari_singlestrip.engine.learning import prediction
from napari_singlestrip.engine.learning.leaks import remove_leaks
from napari_singlestrip.engine.learning.model import load_model
from napari_singlestrip.engine.learning.segmenter import load_segmenter
from napari_singlestrip.pipeline import stages, stripper
from napari_singlestrip.pipeline.apply import apply
from napari_singlestrip.pipeline.round_segmenter import segmenter_of_round
from napari_singlestrip.pipeline.trained_model import export_model, open_model
from napari_singlestrip.study.round_folder import RoundFolder
from napari_singlestrip.study.study import Study

if TYPE_CHECKING:
    from conftest import Heads

CPU = torch.device("cpu")


@pytest.mark.parametrize(("round_", "threshold"), [(0, 0.7), (1, 0.3)])
def test_pool_new_scans_and_exported_models_follow_the_study(
    trained_copy: Study, tmp_path: Path, round_: int, threshold: float
) -> None:
    changes = {
        "prediction.threshold": 0.7, "finetuning.threshold": 0.3, "prediction.border_mm": -1.5,
        "prediction.flip": False,
    }
    trained_copy.set_settings({**trained_copy.overrides, **changes})
    pool = segmenter_of_round(trained_copy, round_, trained_copy.settings(), CPU)
    export_model(trained_copy, tmp_path / "model.pt", round_)
    applied = open_model(trained_copy.folder, CPU, round_).segmenter
    exported = load_model(tmp_path / "model.pt", CPU).segmenter
    assert pool.settings == applied.settings == exported.settings
    for one in (pool, applied, exported):  # all of them recognise leaks
        assert one.autoencoder is not None
    found = pool.settings.prediction
    assert (found.threshold, found.border_mm, found.flip) == (threshold, -1.5, False)


def test_pool_new_scans_and_scripts_lose_their_leaks(
    trained_copy: Study, heads: Heads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def record(mask: Any, grid: Any, autoencoder: Any, config: Any) -> Any:
        seen.append(autoencoder)
        return remove_leaks(mask, grid, autoencoder, config)

    monkeypatch.setattr(prediction, "remove_leaks", record)
    list(stages.run(trained_copy, stages=["predict"], device="cpu"))
    assert len(seen) == len(trained_copy.scans.names) - 1
    list(apply(trained_copy.folder, heads.scans[:1], tmp_path / "applied", device="cpu"))
    stripper.load_model(trained_copy.folder, "cpu").strip(heads.scans[0])
    assert len(seen) == len(trained_copy.scans.names) + 1
    assert None not in seen


@pytest.mark.parametrize("round_", [0, 1])
def test_unchanged_settings_are_those_of_the_training(trained_study: Study, round_: int) -> None:
    now = segmenter_of_round(trained_study, round_, trained_study.settings(), CPU)
    then = load_segmenter(RoundFolder(trained_study.rounds.folder(round_)).segmenter, CPU)
    assert now.settings == then.settings


def test_what_a_network_was_trained_with_is_not_changed_by_the_study(trained_copy: Study) -> None:
    """Whether it has seen real scans decides between the thresholds."""
    changes = {"finetuning.real_fraction": 0.0, "training.real_fraction": 1.0}
    settings = trained_copy.settings(None, changes)
    thresholds = [
        segmenter_of_round(trained_copy, round_, settings, CPU).settings.prediction.threshold
        for round_ in (0, 1)
    ]
    assert thresholds == [settings.prediction.threshold, settings.finetuning.threshold]
