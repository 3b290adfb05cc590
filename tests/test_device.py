"""Devices: what is not there is said, and the probe picks something that runs."""

from __future__ import annotations

import pytest
import torch

from napari_singlestrip.engine import device as device_module
from napari_singlestrip.engine.config import NetworkConfig
from napari_singlestrip.engine.device import (
    Precision,
    choose_device,
    describe,
    in_words,
    probe_precision,
    threads_for,
)
from napari_singlestrip.engine.networks import build_segmenter
from napari_singlestrip.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_cpu_is_always_there() -> None:
    assert choose_device("cpu") == CPU


@pytest.mark.usefixtures("no_accelerator")
def test_auto_falls_back_to_the_cpu() -> None:
    assert choose_device() == choose_device("auto") == CPU


def test_auto_takes_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"
    assert choose_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.usefixtures("no_accelerator")
@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_missing_device_is_said_with_a_way_out(name: str) -> None:
    with pytest.raises(UserError, match=name.partition(":")[0]) as caught:
        choose_device(name)
    assert "--device cpu" in caught.value.hint


@pytest.mark.parametrize("name", ["gpu", "", "CUDA", "tpu:0"])
def test_unknown_device_is_said_with_the_choices(name: str) -> None:
    with pytest.raises(UserError, match="Unknown device") as caught:
        choose_device(name)
    assert "auto, cpu, cuda, mps" in caught.value.hint


def test_probe_returns_something_that_runs_and_leaves_the_weights() -> None:
    net = build_segmenter(NetworkConfig(channels=(4, 8)))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    precision = probe_precision(net, (8, 10, 12), CPU)
    assert precision.milliseconds > 0
    assert precision.dtype in ("float32", "bfloat16")
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(weight.grad is None for weight in net.parameters())
    x = torch.rand(1, 1, 8, 10, 12).to(memory_format=precision.memory_format)
    with precision.autocast(CPU):
        net(x).float().mean().backward()


def test_probe_takes_the_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {("float32", False): 10.0, ("float32", True): 8.0, ("bfloat16", False): 5.0}
    limits = []

    def fake(*args: object) -> float:
        precision = args[3]
        assert isinstance(precision, Precision)
        limits.append(args[5] if len(args) > 5 else None)
        return taken[precision.dtype, precision.channels_last]

    monkeypatch.setattr(device_module, "_time_step", fake)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    net = torch.nn.Conv3d(1, 1, 1)
    best = probe_precision(net, (8, 8, 8), CPU)
    assert (best.dtype, best.channels_last, best.milliseconds) == ("bfloat16", False, 5.0)
    assert limits[1:3] == [30.0, 24.0]  # a much slower one is given up early
    taken["bfloat16", False] = 7.9  # hardly faster: not worth another precision
    assert probe_precision(net, (8, 8, 8), CPU).channels_last


def test_probe_takes_fewer_threads_where_they_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(*args: object) -> float:
        precision = args[3]
        assert isinstance(precision, Precision)
        return 10.0 if precision.threads == 0 else 6.0

    monkeypatch.setattr(device_module, "_time_step", fake)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert probe_precision(torch.nn.Conv3d(1, 1, 1), (8, 8, 8), CPU).threads == 2


def test_slow_candidates_are_given_up_after_one_step() -> None:
    steps = []
    net = torch.nn.Conv3d(1, 1, 1)
    net.register_forward_hook(lambda *_: steps.append(1))
    device_module._time_step(net, (8, 8, 8), CPU, Precision(), 1, give_up_ms=0.0)
    assert len(steps) == 1


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError), Precision(threads=1).computing():
        assert torch.get_num_threads() == 1
        raise RuntimeError
    assert torch.get_num_threads() == before


@pytest.mark.usefixtures("no_accelerator")
def test_description_is_what_a_bug_report_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        device_module, "probe_precision", lambda *_: Precision("bfloat16", True, milliseconds=12.0)
    )
    facts = describe()
    assert {"napari-singlestrip", "python", "system", "processor", "torch", "nibabel",
            "napari", "memory", "device", "precision"} <= set(facts)
    assert facts["torch"] == torch.__version__
    assert "CPU" in facts["device"]
    assert facts["precision"].startswith("bfloat16, channels last (12 ms")
    assert all(isinstance(value, str) and value for value in facts.values())


def test_devices_in_words() -> None:
    assert "CPU" in in_words(CPU)
    assert in_words(torch.device("mps")) == "Apple GPU"


def test_a_small_picture_takes_one_thread_and_gives_the_others_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threads_for(64**3):
            assert torch.get_num_threads() == 1
        with threads_for(64**3 + 1):
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
