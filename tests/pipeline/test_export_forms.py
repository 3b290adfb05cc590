"""Models for other programs: the same numbers come out of them."""

from __future__ import annotations

import json
import shlex
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from restated_synthstrip import Restated, to_lia

from napari_singlestrip.engine.learning.model_card import ModelCard
from napari_singlestrip.engine.learning.networks import build_segmenter
from napari_singlestrip.engine.learning.segmenter import Segmenter, load_segmenter
from napari_singlestrip.engine.learning.synthstrip_weights import CHANNELS
from napari_singlestrip.engine.overrides import settings_for
from napari_singlestrip.errors import UserError
from napari_singlestrip.pipeline.export_forms import write_form
from napari_singlestrip.pipeline.trained_model import export_model, open_model
from napari_singlestrip.study.round_facts import newest_trained_round
from napari_singlestrip.study.round_folder import RoundFolder
from napari_singlestrip.study.study import Study

CPU = torch.device("cpu")


def test_onnx_gives_the_numbers_of_torch(trained_study: Study, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    path = tmp_path / "model.onnx"
    export_model(trained_study, path, form="onnx")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    round_ = newest_trained_round(trained_study)
    assert round_ is not None
    ours = load_segmenter(RoundFolder(trained_study.rounds.folder(round_)).segmenter, CPU)
    side = ours.settings.network.side_multiple
    for shape in (ours.shape, tuple(n + side for n in ours.shape)):  # any size that suits it
        x = np.random.default_rng(0).random((1, 1, *shape), np.float32)
        (found,) = session.run(None, {"picture": x})
        with torch.inference_mode():
            expected = ours.net(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-3, rtol=1e-3)
    said = session.get_modelmeta().custom_metadata_map
    assert float(said["spacing_mm"]) == pytest.approx(ours.spacing_mm)
    assert json.loads(said["card"])["study"] == trained_study.name


def test_a_model_as_safetensors_is_the_same_model(trained_study: Study, tmp_path: Path) -> None:
    paths = [tmp_path / "model.safetensors", tmp_path / "model.pt"]
    models = []
    for path in paths:
        export_model(trained_study, path)
        models.append(open_model(path, CPU))
    new, old = models
    assert new.card.study == old.card.study
    weights = (new.segmenter.net.state_dict(), old.segmenter.net.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    assert (new.autoencoder is None) is (old.autoencoder is None)


def test_the_file_for_synthstrip_is_what_its_program_loads(tmp_path: Path) -> None:
    network = {
        "network.architecture": "synthstrip", "network.channels": CHANNELS,
        "network.target": "distance", "conform.spacing_mm": 1.0,
    }  # fmt: skip
    settings = settings_for("quick", network)
    torch.manual_seed(0)
    net = build_segmenter(settings.network).eval()
    ours = Segmenter(net, settings, 1.0, (64, 64, 128))
    path = tmp_path / "weights.pt"
    write_form(path, "synthstrip", ours, ModelCard("heads"))
    theirs = Restated().eval()
    theirs.load_state_dict(torch.load(path, weights_only=True)["model_state_dict"], strict=True)
    x = torch.rand(1, 1, *ours.shape)
    with torch.inference_mode():
        expected, found = to_lia(net(x)), theirs(to_lia(x))
    assert expected.std() > 1e-4
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_a_network_of_another_shape_has_no_weights_for_synthstrip(
    trained_study: Study, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pt"
    with pytest.raises(UserError, match="SynthStrip's architecture") as refused:
        export_model(trained_study, path, form="synthstrip")
    words = shlex.split(refused.value.hint.rstrip("."))  # it can be pasted into a shell
    settings = [word for before, word in pairwise(words) if before == "--set"]
    changes = dict(setting.split("=") for setting in settings)
    made = settings_for("quick", changes)
    assert tuple(made.network.channels) == CHANNELS
    assert made.network.architecture == "synthstrip" and made.network.target == "distance"
    assert made.conform.spacing_mm == 1
    assert not made.conform.scale_to_brain  # a mouse would have voxels of another size
    assert not path.exists()
