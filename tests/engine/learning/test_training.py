"""The training loop: it learns, it stops and continues exactly, and it keeps what it reached."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from napari_singlestrip.engine.config import NetworkConfig, TrainingConfig
from napari_singlestrip.engine.devices.precision import Precision
from napari_singlestrip.engine.learning import training
from napari_singlestrip.engine.learning.checkpoint import load_checkpoint, save_checkpoint
from napari_singlestrip.engine.learning.step_threads import StepThreads
from napari_singlestrip.engine.learning.training import Pair, Task, initial_weights, is_done, train
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Progress

CPU = torch.device("cpu")
SIDE = 8


def draw(rng: np.random.Generator) -> Pair:
    """A noisy bright ball, and the signed distance to it."""
    radius = rng.uniform(2, 3)
    axis = torch.arange(SIDE) - (SIDE - 1) / 2
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    distance = ((x**2 + y**2 + z**2).sqrt() - radius).float()[None, None]
    noise = torch.from_numpy(rng.standard_normal((1, 1, *[SIDE] * 3)).astype(np.float32))
    return (distance < 0).float() + 0.2 * noise, distance


def task(steps: int = 12, seed: int = 0, **changes: Any) -> Task:
    """A fresh net that is to find bright balls."""
    config = {"learning_rate": 0.02, "validate_every": 5, **changes.pop("config", {})}
    net = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv3d(4, 1, 1))
    initial_weights(net, np.random.default_rng(seed))
    made = Task(
        "segmenter", "train", net, draw, [draw(np.random.default_rng(77))], NetworkConfig(),
        TrainingConfig(steps=steps, **config), seed, probe=False, extra={"settings": "{}"},
    )  # fmt: skip
    return replace(made, **changes)


def run(made: Task, path: Path, stop_after: int | None = None) -> list[Progress]:
    """Train, and perhaps close the generator after some steps."""
    events, seen = train(made, path, CPU), []
    for event in events:
        seen.append(event)
        if len(seen) == stop_after:
            events.close()  # type: ignore[attr-defined]
    return seen


def learned(path: Path) -> dict[str, Any]:
    """A checkpoint without the time it took."""
    return {k: v for k, v in load_checkpoint(path, "segmenter").items() if k != "seconds"}


def assert_same(a: Any, b: Any, where: str = "") -> None:
    """Bit-for-bit equality of nested states."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), where
        for n, (one, two) in enumerate(zip(a, b, strict=True)):
            assert_same(one, two, f"{where}/{n}")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    else:
        assert a == b, where


# --- learning


def test_loss_falls_and_the_brain_is_found(tmp_path: Path) -> None:
    events = run(task(80), tmp_path / "net.pt")
    losses = [event.metrics["loss"] for event in events]
    assert np.mean(losses[-10:]) < 0.3 * np.mean(losses[:5])
    assert events[-1].metrics["validation_dice"] > 0.9


def test_events_tell_where_training_is(tmp_path: Path) -> None:
    watched = draw(np.random.default_rng(5))
    events = run(task(12, real=[watched]), tmp_path / "net.pt")
    assert [event.step for event in events] == list(range(1, 13))
    assert {(event.stage, event.n_steps) for event in events} == {("train", 12)}
    assert all(math.isfinite(event.metrics["loss"]) for event in events)
    measured = [event.step for event in events if "validation_dice" in event.metrics]
    assert measured == [5, 10, 12]  # and always at the end
    for event in events:
        assert ("painted_dice" in event.metrics) == (event.step in measured)
        assert 0 <= event.metrics.get("painted_dice", 0) <= 1
    left = [event.seconds_left for event in events]
    assert left[-1] == 0
    assert all(value is not None and value >= 0 for value in left)


def test_learning_rate_warms_up_and_falls(tmp_path: Path) -> None:
    made, rates = task(40, config={"warmup": 0.1, "learning_rate": 0.1}), []
    handle = register_optimizer_step_pre_hook(
        lambda optimiser, *_: rates.append(optimiser.param_groups[0]["lr"])
    )
    try:
        run(made, tmp_path / "net.pt")
    finally:
        handle.remove()
    assert len(rates) == 40
    assert rates[0] < rates[1] < rates[2] < rates[3] == pytest.approx(0.1)
    assert np.all(np.diff(rates[4:]) <= 1e-12)
    assert rates[-1] < 0.01 * 0.1 * 2


def test_average_follows_the_weights(tmp_path: Path) -> None:
    run(task(30, config={"ema": 0.9}), tmp_path / "a.pt")
    run(task(30, config={"ema": 0.0}), tmp_path / "b.pt")
    with_average, without = learned(tmp_path / "a.pt"), learned(tmp_path / "b.pt")
    assert_same(with_average["weights"], without["weights"])
    assert_same(without["average"], without["weights"])
    assert not torch.equal(with_average["average"]["0.weight"], with_average["weights"]["0.weight"])


# --- stopping and continuing


@pytest.mark.parametrize("seed", range(4))
def test_resumed_training_is_the_same_bit_for_bit(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stops = sorted(int(n) for n in rng.integers(1, 12, size=2))
    whole, parts = tmp_path / "whole.pt", tmp_path / "parts.pt"
    at_once = run(task(12, seed), whole)
    in_parts, reached = [], 0
    for stop in [*stops, 12]:
        if stop > reached:
            in_parts += run(task(12, seed), parts, stop_after=stop - reached)
            reached = stop
    assert_same(learned(whole), learned(parts))
    for one, two in zip(at_once, in_parts, strict=True):
        assert (one.step, one.metrics) == (two.step, two.metrics)


def test_another_seed_is_another_training(tmp_path: Path) -> None:
    run(task(3, seed=0), tmp_path / "a.pt")
    run(task(3, seed=1), tmp_path / "b.pt")
    a, b = learned(tmp_path / "a.pt"), learned(tmp_path / "b.pt")
    assert not torch.equal(a["weights"]["0.weight"], b["weights"]["0.weight"])
    assert a["rng"] != b["rng"]


def test_global_random_state_plays_no_part(tmp_path: Path) -> None:
    made = task(3)
    before = torch.get_rng_state()
    run(made, tmp_path / "a.pt")
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    run(task(3), tmp_path / "b.pt")
    assert_same(learned(tmp_path / "a.pt"), learned(tmp_path / "b.pt"))


@pytest.mark.parametrize("steps", [1, 4, 11])
def test_closing_saves_what_was_reached(tmp_path: Path, steps: int) -> None:
    path = tmp_path / "net.pt"
    run(task(12), path, stop_after=steps)
    assert learned(path)["step"] == steps
    assert not is_done(path, "segmenter")
    assert [p.name for p in tmp_path.iterdir()] == ["net.pt"]


def test_a_failure_saves_what_was_reached(tmp_path: Path) -> None:
    n = [0]

    def failing(rng: np.random.Generator) -> Pair:
        n[0] += 1
        if n[0] > 4:
            raise RuntimeError("no more")
        return draw(rng)

    with pytest.raises(RuntimeError, match="no more"):
        run(task(12, draw=failing), tmp_path / "net.pt")
    assert learned(tmp_path / "net.pt")["step"] == 4


def test_done_means_done(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    assert not is_done(path, "segmenter")
    run(task(4), path)
    assert is_done(path, "segmenter")
    before = learned(path)
    assert run(task(4), path) == []
    assert_same(before, learned(path))


def test_more_steps_go_on_from_the_end(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    run(task(4), path)
    assert [event.step for event in run(task(6), path)] == [5, 6]


def test_extra_values_are_kept(tmp_path: Path) -> None:
    run(task(2, extra={"settings": "{}", "spacing_mm": 4.0}), tmp_path / "net.pt")
    assert learned(tmp_path / "net.pt")["spacing_mm"] == 4.0


def test_checkpoint_of_another_kind_is_refused(tmp_path: Path) -> None:
    run(task(2), tmp_path / "net.pt")
    with pytest.raises(UserError):
        run(task(2, kind="autoencoder"), tmp_path / "net.pt")
    assert learned(tmp_path / "net.pt")["step"] == 2  # and left as it was


# --- checkpoints in time


class Clock:
    """Time that passes by a second for each head that is drawn."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def draw(self, rng: np.random.Generator) -> Pair:
        self.now += 1
        return draw(rng)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=made.monotonic))
    return made


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps at which a checkpoint was written."""
    steps: list[int] = []
    save = save_checkpoint

    def record(path: Path, kind: str, state: dict[str, Any]) -> None:
        steps.append(state["step"])
        save(path, kind, state)

    monkeypatch.setattr(training, "save_checkpoint", record)
    return steps


def test_checkpoints_come_at_their_interval(
    tmp_path: Path, clock: Clock, saves: list[int]
) -> None:
    run(task(20, draw=clock.draw, config={"checkpoint_seconds": 4.5}), tmp_path / "net.pt")
    assert saves == [5, 10, 15, 20, 20]


def test_time_goes_on_after_a_stop(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "net.pt"
    run(task(10, draw=clock.draw), path, stop_after=4)
    clock.now += 1000  # nights do not count
    events = run(task(10, draw=clock.draw), path)
    assert [event.seconds_left for event in events] == [5, 4, 3, 2, 1, 0]
    assert load_checkpoint(path, "segmenter")["seconds"] == 10


def test_training_computes_in_the_probed_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "probe_precision", lambda *_: Precision("bfloat16", True))
    seen: list[tuple[torch.dtype, bool]] = []
    made = task(2, probe=True)

    def see(_: Any, inputs: Any, output: torch.Tensor) -> None:
        if not output.is_meta:  # a net without values is only asked for its memory
            seen.append((output.dtype, inputs[0].shape[0] == 1))

    made.net[0].register_forward_hook(see)  # type: ignore[index]
    events = run(made, tmp_path / "net.pt")
    assert {dtype for dtype, _ in seen} == {torch.bfloat16}
    assert all(math.isfinite(event.metrics["loss"]) for event in events)
    weights = learned(tmp_path / "net.pt")["weights"]
    assert {value.dtype for value in weights.values()} == {torch.float32}


def test_the_number_of_threads_is_chosen_again_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []

    class OneLater(StepThreads):
        def after(self, seconds: float) -> int:
            used.append(torch.get_num_threads())
            assert seconds > 0
            return 1

    monkeypatch.setattr(training, "probe_precision", lambda *_: Precision(threads=2))
    monkeypatch.setattr(training, "choice_of_threads", lambda *_: OneLater(2, 2))
    run(task(4, probe=True), tmp_path / "net.pt", stop_after=2)
    assert load_checkpoint(tmp_path / "net.pt", "segmenter")["precision"]["threads"] == 1
    run(task(4, probe=False), tmp_path / "other.pt")
    assert len(used) == 2



def test_resumed_training_computes_as_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is fastest changes with the load of the computer; the net must not."""
    probed = iter([Precision("float32", True), Precision("bfloat16"), Precision("bfloat16")])
    monkeypatch.setattr(training, "probe_precision", lambda *_: next(probed))
    run(task(8, probe=True), tmp_path / "parts.pt", stop_after=3)
    run(task(8, probe=True), tmp_path / "parts.pt")
    monkeypatch.setattr(training, "probe_precision", lambda *_: Precision("float32", True))
    run(task(8, probe=True), tmp_path / "whole.pt")
    assert_same(learned(tmp_path / "whole.pt"), learned(tmp_path / "parts.pt"))


# --- devices


def test_a_checkpoint_from_another_device_is_probed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bfloat16 pays on a card and may be emulated elsewhere."""
    path, probed = tmp_path / "net.pt", []

    def probe(*_: object) -> Precision:
        probed.append(1)
        return Precision("float32", channels_last=True)

    monkeypatch.setattr(training, "identity", lambda _: "cuda Some Card")
    monkeypatch.setattr(training, "probe_precision", lambda *_: Precision("bfloat16"))
    run(task(8, probe=True), path, stop_after=3)
    assert learned(path)["precision"]["dtype"] == "bfloat16"
    monkeypatch.setattr(training, "probe_precision", probe)
    run(task(8, probe=True), path, stop_after=2)
    assert probed == []
    monkeypatch.setattr(training, "identity", lambda _: "cpu AVX2")
    assert len(run(task(8, probe=True), path)) == 3
    assert probed == [1]
    assert learned(path)["precision"]["dtype"] == "float32"
    assert learned(path)["device"] == "cpu AVX2"


def test_a_checkpoint_of_an_older_version_is_probed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.pt"
    run(task(4), path, stop_after=2)
    saved = load_checkpoint(path, "segmenter")
    save_checkpoint(path, "segmenter", {
        name: value for name, value in saved.items()
        if name not in ("device", "scaler", "format", "kind")
    })
    monkeypatch.setattr(training, "probe_precision", lambda *_: Precision(channels_last=True))
    run(task(4, probe=True), path)
    assert learned(path)["precision"]["channels_last"]


def test_float16_is_learned_in_with_a_scaled_loss_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "probe_precision", lambda *_: Precision("float16"))
    whole, parts = tmp_path / "whole.pt", tmp_path / "parts.pt"
    events = run(task(40, probe=True), whole)
    losses = [event.metrics["loss"] for event in events]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert learned(whole)["scaler"]["scale"] > 1
    run(task(40, probe=True), parts, stop_after=17)
    run(task(40, probe=True), parts)
    assert_same(learned(whole), learned(parts))


def test_off_the_cpu_the_loss_is_read_now_and_then(tmp_path: Path) -> None:
    """Each reading waits for all that the card was asked to do."""
    state = training.begin(task(25), CPU)
    state.device = torch.device("meta")  # as far as reading goes
    told = {}
    for step in range(1, 26):
        state.step = step
        state.losses.append(torch.tensor(float(step)))
        if metrics := training._metrics(state, task(99, config={"validate_every": 99})):
            told[step] = metrics["loss"]
    assert told == {10: 5.5, 20: 15.5}


@pytest.mark.parametrize("error", [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
])  # fmt: skip
def test_a_step_that_does_not_fit_is_said_with_a_way_out(
    tmp_path: Path, error: BaseException
) -> None:
    n = [0]

    def greedy(rng: np.random.Generator) -> Pair:
        n[0] += 1
        if n[0] > 3:
            raise error
        return draw(rng)

    with pytest.raises(UserError, match="not enough memory for a training step of 1 image") as e:
        run(task(12, draw=greedy), tmp_path / "net.pt")
    assert "8 x 8 x 8 voxels" in e.value.what
    assert "training.batch_size" in e.value.hint and "conform.spacing_mm" in e.value.hint
    assert learned(tmp_path / "net.pt")["step"] == 3


def test_a_step_that_would_not_fit_is_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An allocation does not fail where the system lends more memory than it has: it is killed.
    few = SimpleNamespace(available=1000, total=1000)
    monkeypatch.setattr("psutil.virtual_memory", lambda: few)
    with pytest.raises(UserError, match=r"not enough memory .* at 8 x 8 x 8 voxels it takes at"):
        run(task(12), tmp_path / "net.pt")
    assert learned(tmp_path / "net.pt")["step"] == 0


def test_memory_is_kept_for_all_steps_and_returned_however_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    @contextmanager
    def keeping(device: torch.device) -> Iterator[None]:
        seen.append(f"kept on {device.type}")
        try:
            yield
        finally:
            seen.append("returned")

    monkeypatch.setattr(training, "keeping_freed_memory", keeping)
    run(task(4), tmp_path / "whole.pt")
    assert seen == ["kept on cpu", "returned"]
    run(task(4), tmp_path / "stopped.pt", stop_after=2)
    assert seen == 2 * ["kept on cpu", "returned"]
