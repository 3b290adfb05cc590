"""What only a graphics card can show; three minutes on one, and skipped where there is none.

    .venv/bin/python -m pytest tests/accelerators

For Apple graphics, which "auto" does not take, set SINGLESTRIP_TEST_DEVICE=mps; with cpu, the CPU
stands in for the card, to see that the tests themselves run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_singlestrip.engine.config import NetworkConfig, Settings
from napari_singlestrip.engine.devices.precision import TOLERANCE, Precision, disagreement
from napari_singlestrip.engine.heads.synthesis import render
from napari_singlestrip.engine.heads.synthesis_params import sample_params
from napari_singlestrip.engine.imaging.grid import Volume
from napari_singlestrip.engine.judging.consistency import consistency
from napari_singlestrip.engine.learning import training
from napari_singlestrip.engine.learning.autoencoder import autoencoder_task
from napari_singlestrip.engine.learning.checkpoint import load_checkpoint
from napari_singlestrip.engine.learning.device import (
    choose_device,
    describe,
    probe_precision,
    trial,
)
from napari_singlestrip.engine.learning.networks import build_segmenter
from napari_singlestrip.engine.learning.prediction import to_mask
from napari_singlestrip.engine.learning.segmenter import Segmenter, load_segmenter, predict
from napari_singlestrip.engine.learning.segmenter_training import segmenter_task
from napari_singlestrip.engine.learning.training import Task, initial_weights, train
from napari_singlestrip.engine.masks.metrics import dice
from napari_singlestrip.engine.overrides import override

if TYPE_CHECKING:
    from napari_singlestrip.engine.heads.label_bank import Geometry
    from napari_singlestrip.engine.heads.label_map import LabelBank
    from napari_singlestrip.sample_data import SampleHead

CPU = torch.device("cpu")


def _card() -> torch.device:
    asked = os.environ.get("SINGLESTRIP_TEST_DEVICE", "")
    if asked:
        return choose_device(asked)
    if not torch.cuda.is_available():
        pytest.skip("there is no graphics card that torch can use", allow_module_level=True)
    return torch.device("cuda")


CARD = _card()
CUDA_ONLY = pytest.mark.skipif(CARD.type != "cuda", reason="only CUDA tells of waiting")


@contextmanager
def never_waiting() -> Iterator[None]:
    """Whatever waits for the card is an error."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.fixture(scope="module")
def settings(tiny_settings: Settings) -> Settings:
    return override(tiny_settings, {"training.context_fraction": 0, "training.steps": 60})


def made(
    bank: LabelBank, geometry: Geometry, settings: Settings, device: torch.device
) -> Task:
    return segmenter_task(bank, geometry, settings, device)


# --- what it computes


def test_the_card_computes_as_the_cpu() -> None:
    assert trial(CARD) == ""
    if CARD.type == "cuda":
        assert choose_device("auto").type == "cuda"


@pytest.mark.parametrize("real", [False, True])
def test_pictures_are_those_of_the_cpu(
    bank: LabelBank, geometry: Geometry, settings: Settings, real: bool
) -> None:
    """Rounding may move a voxel to the label beside it, and no more."""
    rng = np.random.default_rng(0)
    params = [sample_params(rng, bank, settings.synthesis, real) for _ in range(4)]
    here = render(bank, params, geometry.shape)
    there = render(bank.to(CARD), params, geometry.shape)
    for a, b in zip(here, there, strict=True):
        assert b.device.type == CARD.type
        apart = (a - b.cpu()).abs()
        assert float((apart > 0.02).float().mean()) < 0.005
        assert float(apart.mean()) < 1e-3


@pytest.mark.parametrize("network", [
    NetworkConfig(), NetworkConfig(norm="channel"), NetworkConfig(architecture="synthstrip"),
    NetworkConfig(channels=(16, 32, 64, 128, 128)),
])  # fmt: skip
def test_networks_agree_and_the_probe_never_raises(network: NetworkConfig) -> None:
    net = build_segmenter(network)
    initial_weights(net, np.random.default_rng(0))
    net.to(CARD)
    found = probe_precision(net, (64, 64, 64), CARD)
    assert found.milliseconds > 0
    assert disagreement(net, CARD, found, (64, 64, 64)) <= TOLERANCE[found.dtype]
    assert disagreement(net, CARD, Precision(), (64, 64, 64)) <= TOLERANCE["float32"]


def test_the_doctor_describes_the_card() -> None:
    facts = describe()
    assert facts["precision"] and facts["device"]


# --- training


def test_a_training_learns(
    bank: LabelBank, geometry: Geometry, settings: Settings, tmp_path: Path
) -> None:
    events = list(train(made(bank, geometry, settings, CARD), tmp_path / "net.pt", CARD))
    losses = [event.metrics["loss"] for event in events if "loss" in event.metrics]
    assert len(losses) >= 6
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.9 * losses[0]
    assert events[-1].metrics["validation_dice"] > 0.3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_step_is_finite_in_each_precision(
    bank: LabelBank, geometry: Geometry, settings: Settings, dtype: str
) -> None:
    task = made(bank, geometry, settings, CARD)
    state = training.begin(task, CARD)
    try:
        state.compute_in(Precision(dtype))
        for _ in range(3):
            training.take_step(state, task)
    except (RuntimeError, TypeError) as error:
        pytest.skip(f"this card has no {dtype}: {error}")
    assert torch.isfinite(torch.stack(state.losses)).all()
    assert all(torch.isfinite(weight).all() for weight in task.net.parameters())


@CUDA_ONLY
@pytest.mark.parametrize("kind", ["segmenter", "autoencoder", "from the host"])
def test_a_step_waits_for_nothing(
    bank: LabelBank, geometry: Geometry, settings: Settings, kind: str
) -> None:
    if kind == "autoencoder":
        task = autoencoder_task(bank, geometry, settings, CARD)
    else:
        source = replace(bank, changes=True) if kind == "from the host" else bank
        task = made(source, geometry, settings, CARD)
    state = training.begin(task, CARD)
    for _ in range(5):
        training.take_step(state, task)
    with never_waiting():
        for _ in range(10):
            training.take_step(state, task)
    assert torch.isfinite(torch.stack(state.losses)).all()


def test_a_checkpoint_goes_to_the_card_and_back(
    bank: LabelBank, geometry: Geometry, settings: Settings, tmp_path: Path
) -> None:
    path, reached = tmp_path / "net.pt", 0
    for device in (CPU, CARD, CPU):
        events = train(made(bank, geometry, settings, device), path, device)
        for _ in range(4):
            event = next(events)
            assert event.step == reached + 1
            reached = event.step
        events.close()  # type: ignore[attr-defined]
        saved = load_checkpoint(path, "segmenter")
        assert saved["step"] == reached
        assert saved["device"].startswith(device.type)
        assert all(torch.isfinite(value).all() for value in saved["weights"].values())


# --- prediction


@pytest.fixture(scope="module")
def trained(
    bank: LabelBank, geometry: Geometry, tiny_settings: Settings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    path = tmp_path_factory.mktemp("trained") / "net.pt"
    for _ in train(segmenter_task(bank, geometry, tiny_settings, CARD), path, CARD):
        pass
    return path


@pytest.fixture
def both(trained: Path) -> tuple[Segmenter, Segmenter]:
    return load_segmenter(trained, CPU), load_segmenter(trained, CARD)


def test_predictions_agree(both: tuple[Segmenter, Segmenter], phantom: SampleHead) -> None:
    volume = Volume(phantom.data.astype(np.float32), phantom.affine)
    masks = []
    for segmenter in both:
        mask = to_mask(predict(segmenter, volume), volume, segmenter.settings)
        assert segmenter.told() == []
        masks.append(mask)
    assert masks[0].any()
    assert dice(*masks) > 0.995


def test_agreement_under_augmentation_agrees(
    both: tuple[Segmenter, Segmenter], phantom: SampleHead
) -> None:
    here, there = both
    volume = Volume(phantom.data.astype(np.float32), phantom.affine)
    scores = [
        consistency(s, volume, phantom.mask, 6, np.random.default_rng(0)) for s in (here, there)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=0.01)


def test_a_scan_that_the_card_cannot_hold_is_predicted_all_the_same(
    both: tuple[Segmenter, Segmenter], phantom: SampleHead
) -> None:
    volume = Volume(phantom.data.astype(np.float32), phantom.affine)
    here, there = both
    if CARD.type == "cpu":
        pytest.skip("there is nothing else to fall back to")

    def full(net: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        if inputs[0].device.type != "cpu":
            raise torch.OutOfMemoryError("out of memory")

    there.net.register_forward_pre_hook(full)
    prediction = predict(there, volume)
    (text,) = there.told()
    assert "CPU" in text
    expected = predict(here, volume)
    assert np.allclose(prediction.probability, expected.probability, atol=1e-4)
