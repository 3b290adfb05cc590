"""The whole path on the device "meta", a stand-in for a graphics card where there is none.

Its tensors have a shape and no values: what is made on the wrong device does not mix with the rest,
and reading a value back, which on a card waits for all that was asked for, is an error. What moves
between host and device on purpose goes through `engine.transfer`; all else is an accident.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    FakeTensorMode,
    UnsupportedFakeTensorException,
)
from torch.utils._python_dispatch import TorchDispatchMode

from napari_singlestrip.engine.config import NetworkConfig
from napari_singlestrip.engine.devices import transfer
from napari_singlestrip.engine.heads import separable, synthesis
from napari_singlestrip.engine.heads.deformation import COARSE
from napari_singlestrip.engine.heads.synthesis import render
from napari_singlestrip.engine.heads.synthesis_params import sample_params
from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.judging.consistency import predict_augmented, sample_augmentation
from napari_singlestrip.engine.learning import training
from napari_singlestrip.engine.learning.autoencoder import (
    Autoencoder,
    MaskAutoencoder,
    autoencoder_task,
    mask_frame,
)
from napari_singlestrip.engine.learning.networks import build_segmenter
from napari_singlestrip.engine.learning.prediction import to_mask
from napari_singlestrip.engine.learning.reconstruction_error import autoencoder_error, best_views
from napari_singlestrip.engine.learning.segmenter import Segmenter, predict
from napari_singlestrip.engine.learning.segmenter_training import segmenter_task
from napari_singlestrip.engine.overrides import override

if TYPE_CHECKING:
    from napari_singlestrip.engine.config import Settings
    from napari_singlestrip.engine.heads.label_bank import Geometry
    from napari_singlestrip.engine.heads.label_map import LabelBank
    from napari_singlestrip.sample_data import SampleHead

META = torch.device("meta")


class Accident(AssertionError):
    """Something moved between host and device that was not sent on purpose."""


@dataclass
class Traffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What moves between host and device: counted on purpose, forbidden otherwise."""

    sent: int = 0
    read: int = 0
    on_purpose: bool = False

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func._overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.copy_):
            source = args[1] if func._overloadpacket is torch.ops.aten.copy_ else args[0]
            if source.device != result.device and not self.on_purpose:
                raise Accident(f"{source.device} to {result.device}: {tuple(source.shape)}")
        return result

    @contextmanager
    def meant(self) -> Iterator[None]:
        self.on_purpose = True
        yield
        self.on_purpose = False


def answer(tensor: torch.Tensor) -> Any:
    """What is read back of a tensor without values: a ball of a brain, or a small count."""
    if not tensor.dtype.is_floating_point or tensor.dim() < 3:
        return np.ones(tensor.shape)
    axes = [np.linspace(-1, 1, n) ** 2 for n in tensor.shape[-3:]]
    inside = sum(np.ix_(*axes)) < 0.4
    return np.broadcast_to(np.where(inside, 0.9, 0.1), tensor.shape).astype(np.float32)


@pytest.fixture
def traffic(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traffic]:
    """Everything within the test is done by the stand-in."""
    made, move = Traffic(), transfer.move

    def counted(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        made.sent += tensor.device != device
        with made.meant():
            return move(tensor, device)

    def read(tensor: torch.Tensor) -> Any:
        made.read += 1
        return answer(tensor)

    monkeypatch.setattr(transfer, "move", counted)
    monkeypatch.setattr(transfer, "read", read)
    monkeypatch.setattr(synthesis, "_pools", {})  # no tensor without values is left behind
    separable._interpolation.cache_clear()
    yield made
    separable._interpolation.cache_clear()


@contextmanager
def stand_in(traffic: Traffic) -> Iterator[None]:
    with FakeTensorMode(allow_non_fake_inputs=True), traffic:
        yield


# --- the stand-in itself notices what it is there for


def test_reading_a_value_is_noticed(traffic: Traffic) -> None:
    with stand_in(traffic), pytest.raises(DataDependentOutputException):
        float(torch.ones(3, device=META).sum())
    with stand_in(traffic), pytest.raises((Accident, UnsupportedFakeTensorException)):
        torch.ones(3, device=META).cpu()


def test_sending_by_accident_is_noticed(traffic: Traffic) -> None:
    with stand_in(traffic), pytest.raises(Accident):
        torch.from_numpy(np.ones(3, np.float32)).to(META)
    with stand_in(traffic):
        transfer.move(torch.from_numpy(np.ones(3, np.float32)), META)
    assert traffic.sent == 1


def test_a_tensor_on_the_wrong_device_is_noticed(traffic: Traffic) -> None:
    with stand_in(traffic), pytest.raises(RuntimeError, match="same device"):
        torch.ones(3, device=META) + torch.ones(3)


# --- images


@pytest.mark.parametrize("real", [False, True])
def test_a_batch_of_pictures_is_sent_for_once_and_never_waited_for(
    traffic: Traffic, bank: LabelBank, geometry: Geometry, tiny_settings: Settings, real: bool
) -> None:
    config = override(tiny_settings, {"synthesis.shapes_probability": 1}).synthesis
    rng, there = np.random.default_rng(0), bank.to(META)
    params = [sample_params(rng, there, config, real) for _ in range(3)]
    render(there, params, geometry.shape)  # what is kept for all images is sent now
    traffic.sent = 0
    with stand_in(traffic):
        image, distance = render(there, params, geometry.shape)
    assert image.device == distance.device == META
    assert image.shape == distance.shape == (3, 1, *geometry.shape)
    assert (traffic.sent, traffic.read) == (1, 0)


def test_of_a_bank_that_stays_on_the_host_one_scan_is_sent(
    traffic: Traffic, bank: LabelBank, geometry: Geometry, tiny_settings: Settings,
) -> None:
    there = replace(bank, changes=True).to(META)
    assert there.labels.device.type == "cpu"
    params = [sample_params(np.random.default_rng(0), there, tiny_settings.synthesis)]
    render(there, params, geometry.shape)
    traffic.sent = 0
    with stand_in(traffic):
        image, _ = render(there, params, geometry.shape)
    assert image.device == META
    assert traffic.sent == 3  # the numbers, a label map and its distance


# --- training


def steps(task: training.Task, traffic: Traffic, n: int) -> list[int]:
    """Take training steps, and count what each sends."""
    state = training.begin(task, META)
    # AdamW's fused kernel is not there for the stand-in, and its other one counts on the host.
    state.optimiser = torch.optim.SGD(task.net.parameters(), 1e-3)
    for n_out in {*task.held_out[0][0].shape[2:], COARSE}:
        for points in range(2, COARSE + 1):
            separable._interpolation(n_out, points, META)  # sent once for the whole training
    sent = []
    with stand_in(traffic):
        for _ in range(n):
            traffic.sent = 0
            training.take_step(state, task)
            sent.append(traffic.sent)
        assert traffic.read == 0
        state.step = training.READ_EVERY
        assert set(training._metrics(state, task)) == {"loss"}
        assert traffic.read == 1
        state.step, state.losses = task.config.steps, state.losses or [torch.ones((), device=META)]
        assert "validation_dice" in training._metrics(state, task)
    return sent


@pytest.mark.parametrize("network", [
    {"training.batch_size": 3}, {"network.target": "distance"}, {"network.norm": "channel"},
    {"network.architecture": "synthstrip", "training.cross_entropy": 0},
])  # fmt: skip
def test_a_step_of_the_segmenter_waits_for_nothing(
    traffic: Traffic, bank: LabelBank, geometry: Geometry, tiny_settings: Settings,
    network: dict[str, Any],
) -> None:
    settings = override(tiny_settings, {
        "training.context_fraction": 0, "training.validate_every": 99, "training.steps": 99,
        **network,
    })
    watched = (torch.zeros(1, 1, *geometry.shape), torch.zeros(1, 1, *geometry.shape))
    task = segmenter_task(
        bank, geometry, settings, META, real_fraction=0.5, watched=[watched]
    )
    traffic.read = 0
    assert steps(task, traffic, 3) == [1] * 3  # all numbers of a batch


def test_a_step_of_the_autoencoder_waits_for_nothing(
    traffic: Traffic, bank: LabelBank, geometry: Geometry, tiny_settings: Settings
) -> None:
    task = autoencoder_task(bank, geometry, tiny_settings, META)
    traffic.read = 0
    assert max(steps(task, traffic, 3)) <= 2  # masks and their damage


# --- prediction and ranking


@pytest.fixture
def segmenter(tiny_settings: Settings, geometry: Geometry) -> Segmenter:
    net = build_segmenter(tiny_settings.network).to(META).eval()
    return Segmenter(net, tiny_settings, geometry.spacing_mm, geometry.shape, geometry.offset)


def test_a_scan_is_predicted(traffic: Traffic, segmenter: Segmenter, phantom: SampleHead) -> None:
    volume = Volume(phantom.data.astype(np.float32), phantom.affine)
    with stand_in(traffic):
        prediction = predict(segmenter, volume)
        mask = to_mask(prediction, volume, segmenter.settings)
    assert mask.any()
    assert prediction.probability.shape == segmenter.shape
    assert 3 <= traffic.read == traffic.sent <= 8  # one of each for a look, six images or one
    assert segmenter.told() == []


def test_augmented_views_are_predicted_with_one_answer(
    traffic: Traffic, segmenter: Segmenter
) -> None:
    data, rng = np.zeros(segmenter.shape, np.float32), np.random.default_rng(0)
    with stand_in(traffic):
        found = predict_augmented(segmenter, data, [sample_augmentation(rng) for _ in range(4)])
    assert [one.shape for one in found] == 4 * [segmenter.shape]
    assert (traffic.sent, traffic.read) == (1, 1)


def test_a_mask_is_redrawn(
    traffic: Traffic, phantom: SampleHead, geometry: Geometry, tiny_settings: Settings
) -> None:
    config = tiny_settings.autoencoder
    frame = mask_frame(geometry, config)
    net = MaskAutoencoder(frame.shape, config.channels, config.latent).to(META).eval()
    i, j, k = phantom.mask.shape
    grid = Grid((i, j, k), phantom.affine)
    with stand_in(traffic):
        views = best_views(Autoencoder(net, frame), phantom.mask, grid, tiny_settings.ranking)
    assert 0 < autoencoder_error(views, "dice") < 1
    assert traffic.read == traffic.sent


def test_the_networks_of_all_efforts_are_on_one_device(traffic: Traffic) -> None:
    for norm in ("instance", "channel"):
        net = build_segmenter(NetworkConfig(norm=norm)).to(META)
        with stand_in(traffic):
            assert net(torch.zeros(1, 1, 32, 32, 32, device=META)).device == META
