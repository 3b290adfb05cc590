"""The script that makes the network of the first suggestion: a step of it, and what it packs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from napari_singlestrip.engine.learning.checkpoint import load_checkpoint
from napari_singlestrip.engine.learning.model import load_model
from napari_singlestrip.engine.overrides import override, settings_for

SCRIPT = Path(__file__).parents[1] / "tools" / "make_first_network.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with one coarse head instead of many."""
    spec = importlib.util.spec_from_file_location("make_first_network", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "N_HEADS", 1)
    monkeypatch.setattr(module, "SPACING_MM", 6.0)
    return module


def test_a_step_of_it_makes_a_model_of_drawn_heads(script: ModuleType, tmp_path: Path) -> None:
    settings = override(settings_for("quick"), {
        **script.CHANGES, "training.steps": 1, "training.validation_heads": 1,
        "network.channels": (4, 8, 8), "conform.spacing_mm": 8.0,
    })
    checkpoint, model = tmp_path / "segmenter.pt", tmp_path / "model.safetensors"

    script.learn(settings, checkpoint)
    script.pack(checkpoint, model)

    assert load_checkpoint(checkpoint, "segmenter")["done"]
    found = load_model(model, torch.device("cpu"))
    assert found.card.study == "drawn heads" and found.card.training_scans == ("drawn-5000_T1w",)
    asked = found.segmenter.settings.prediction.threshold
    assert asked == script.PREDICTION["prediction.threshold"]


def test_recoloured_tissues_are_even_and_in_no_contrast_that_there_is(script: ModuleType) -> None:
    head = script.render_head(1, "T1w", 6.0)
    data = script.recoloured(head, 0)
    other = script.recoloured(head, 1)
    assert data.shape == head.labels.shape
    assert np.abs(np.corrcoef(data[head.mask], other[head.mask])[0, 1]) < 0.9
    assert data[head.labels == 0].mean() < 0.1
