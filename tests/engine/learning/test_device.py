"""Devices: what is not there is said, and the probe picks something that runs."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from napari_singlestrip.engine.config import NetworkConfig
from napari_singlestrip.engine.devices.precision import (
    TOLERANCE,
    Precision,
    disagreement,
    threads_for,
)
from napari_singlestrip.engine.learning import device as device_module
from napari_singlestrip.engine.learning.device import (
    choose_device,
    describe,
    in_words,
    probe_precision,
    probe_shape,
    remarks,
    trial,
)
from napari_singlestrip.engine.learning.networks import build_segmenter
from napari_singlestrip.engine.learning.training import initial_weights
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


def test_auto_takes_a_card_that_computes_as_the_cpu_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(device_module, "trial", lambda _: "")
    assert choose_device("auto").type == "cuda"
    assert remarks("auto", choose_device("auto")) == []
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(UserError, match="no cuda:2"):
        choose_device("cuda:2")
    monkeypatch.setattr(device_module, "trial", lambda _: "its numbers differ.")
    assert choose_device("auto") == CPU
    (why,) = remarks("auto", CPU)
    assert "its numbers differ" in why and "CUDA" in why
    assert choose_device("cuda").type == "cuda"  # whoever asks for it gets it


def test_apple_graphics_on_request_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto") == CPU
    assert "--device mps" in remarks("auto", CPU)[0]
    assert choose_device("mps").type == "mps"
    monkeypatch.setattr(device_module, "trial", lambda _: "it refuses to train.")
    why, unmeasured = remarks("mps", torch.device("mps"))
    assert "refuses" in why and "not measured" in unmeasured
    assert remarks("cpu", CPU) == []


def test_a_broken_driver_is_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> bool:
        raise RuntimeError("unexpected error from cudaGetDeviceCount()")

    monkeypatch.setattr(torch.cuda, "is_available", broken)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(UserError, match="no usable cuda"):
        choose_device("cuda")


def test_this_computer_claims_a_card_that_its_torch_does_not_know(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real trial, on a build of torch without CUDA: it is refused, and the CPU taken."""
    if torch.version.cuda is not None:
        pytest.skip("this torch knows CUDA")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    trial.cache_clear()
    assert choose_device("auto") == CPU
    assert "refuses" in trial(torch.device("cuda"))
    facts = describe()
    assert "refuses" in facts["remark"] and facts["precision"].startswith(("float", "bfloat"))
    trial.cache_clear()


class Wrong(torch.nn.Module):
    """Right on the CPU in float32; otherwise what the device makes of it."""

    def __init__(self, does: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.weight, self.does = torch.nn.Parameter(torch.ones(1)), does

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x * self.weight
        return self.does(x) if torch.is_autocast_enabled("cpu") else x


def refuse(error: BaseException) -> Callable[[torch.Tensor], torch.Tensor]:
    def raising(x: torch.Tensor) -> torch.Tensor:
        raise error

    return raising


@pytest.mark.parametrize("does", [
    refuse(RuntimeError("not implemented for 'BFloat16'")), refuse(TypeError("no")),
    refuse(NotImplementedError("no")), refuse(torch.OutOfMemoryError("out of memory")),
    lambda x: x * 1.5, lambda x: x * float("nan"),
])  # fmt: skip
def test_a_precision_that_is_refused_or_wrong_is_out(
    does: Callable[[torch.Tensor], torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {"float32": 10.0, "bfloat16": 1.0}
    monkeypatch.setattr(
        device_module, "_time_step", lambda *args: times[args[3].dtype]
    )
    net = Wrong(does)
    assert probe_precision(net, (8, 8, 8), CPU).dtype == "float32"
    assert net.weight.grad is None
    right = Wrong(lambda x: x * 1.001)
    assert probe_precision(right, (8, 8, 8), CPU).dtype == "bfloat16"


def test_a_device_that_cannot_train_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> float:
        raise NotImplementedError("aten::conv_transpose3d is not there")

    monkeypatch.setattr(device_module, "disagreement", refused)
    meta = torch.device("meta")
    with pytest.raises(UserError, match=r"cannot train.*conv_transpose3d") as caught:
        probe_precision(torch.nn.Conv3d(1, 1, 1), (8, 8, 8), meta)
    assert "--device cpu" in caught.value.hint
    monkeypatch.setattr(device_module, "disagreement", lambda *_: 0.5)
    with pytest.raises(UserError, match="differ from the CPU's by 50%"):
        probe_precision(torch.nn.Conv3d(1, 1, 1), (8, 8, 8), meta)


def test_the_probe_meets_the_sizes_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert probe_shape((96, 112, 96), 112**3) == (96, 112, 96)
    assert probe_shape((192, 224, 192), 256**3) == (192, 224, 192)
    small = probe_shape((192, 224, 192), 112**3)
    assert np.prod(small) <= 112**3 and all(n % 64 == 0 for n in small)
    assert probe_shape((320, 320, 320), 64**3) == (64, 64, 64)
    seen: list[object] = []

    def record(*args: object) -> float:
        seen.append(args[1])
        return 1.0

    monkeypatch.setattr(device_module, "_time_step", record)
    probe_precision(torch.nn.Conv3d(1, 1, 1), (96, 112, 96), CPU)
    assert set(seen) == {(96, 112, 96)}


def test_agreement_is_of_values() -> None:
    net = build_segmenter(NetworkConfig(channels=(4, 8)))
    initial_weights(net, np.random.default_rng(0))
    assert disagreement(net, CPU, Precision(), (16, 16, 16)) < 1e-5
    rounded = disagreement(net, CPU, Precision("bfloat16"), (16, 16, 16))
    assert 1e-4 < rounded < TOLERANCE["bfloat16"]
    half = disagreement(net, CPU, Precision("float16"), (16, 16, 16))
    assert half < TOLERANCE["float16"]
    assert trial(CPU) == ""


@pytest.mark.usefixtures("no_accelerator")
@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_missing_device_is_said_with_a_way_out(name: str) -> None:
    with pytest.raises(UserError, match=name.partition(":")[0]) as caught:
        choose_device(name)
    assert "--device cpu" in caught.value.hint


@pytest.mark.parametrize("name", ["gpu", "", "CUDA", "tpu:0", "cuda:x", "cuda:-1", "mps:1"])
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


def test_the_first_step_is_not_counted() -> None:
    """In it, cuDNN chooses kernels for a third of a second: no precision is to blame for that."""
    steps: list[int] = []

    class SlowAtFirst(torch.nn.Conv3d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            steps.append(1)
            time.sleep(0.3 if len(steps) == 1 else 0)
            return super().forward(x)

    taken = device_module._time_step(SlowAtFirst(1, 1, 1), (8, 8, 8), CPU, Precision(), 1)
    assert len(steps) == 4
    assert taken < 250


def test_off_the_cpu_nothing_is_given_up_early(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []

    def fake(*args: object) -> float:
        limits.append(args[5])  # type: ignore[arg-type]
        return 1.0

    monkeypatch.setattr(device_module, "_time_step", fake)
    monkeypatch.setattr(device_module, "disagreement", lambda *_: 0.0)
    probe_precision(torch.nn.Conv3d(1, 1, 1), (8, 8, 8), torch.device("meta"))
    assert set(limits) == {float("inf")}


def test_float16_is_tried_where_bfloat16_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def differs(_net: object, _device: object, precision: Precision, _shape: object) -> float:
        if precision.dtype in missing:
            raise RuntimeError("Current CUDA Device does not support bfloat16")
        return 0.0

    times = {"float32": 10.0, "bfloat16": 5.0, "float16": 4.0}
    monkeypatch.setattr(device_module, "disagreement", differs)
    monkeypatch.setattr(device_module, "release", lambda _: None)
    monkeypatch.setattr(
        device_module, "_time_step", lambda *args: times[args[3].dtype]
    )
    net = torch.nn.Conv3d(1, 1, 1)
    missing = ["bfloat16"]
    for taken in ("float16", "bfloat16"):
        assert probe_precision(net, (8, 8, 8), torch.device("cuda")).dtype == taken
        missing.clear()
