"""The training loop: one function, read from top to bottom, for segmenter and autoencoder alike.

`train` is a generator of events. Closing it cancels; what was learned is saved either way, and
the same call goes on from there, exactly.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_singlestrip.engine.checkpoint import (
    load_checkpoint,
    restore_rng,
    rng_state,
    save_checkpoint,
)
from napari_singlestrip.engine.config import NetworkConfig, TrainingConfig
from napari_singlestrip.engine.device import Precision, probe_precision
from napari_singlestrip.engine.losses import partial_volume, segmentation_loss, to_probability
from napari_singlestrip.engine.saved_state import malformed, read_loop
from napari_singlestrip.events import Progress

Weights = dict[str, torch.Tensor]
Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Task:
    """What is trained, on what, for how long.

    Attributes
    ----------
    kind : {"segmenter", "autoencoder"}
        Kind of the checkpoint.
    stage : str
        Name in the events.
    net : nn.Module
        With its initial weights, on its device.
    draw : callable
        From a generator to a batch: input, and true signed distance in voxels, (B, 1, I, J, K).
    held_out : list of pairs
        Batches of one that training never draws, for validation.
    real : list of pairs
        Whole labelled scans, batches of one of any shape, to watch what training is for.
    network : NetworkConfig
        What the output means.
    config : TrainingConfig
        Steps, learning rate and the like.
    seed : int
        Of the stream that batches are drawn from.
    probe : bool
        Look for the fastest precision first (nets that take pictures of `device.PROBE_SIDE`).
    extra : dict
        Plain values to keep in the checkpoint.
    """

    kind: str
    stage: str
    net: nn.Module
    draw: Callable[[np.random.Generator], Pair]
    held_out: list[Pair]
    network: NetworkConfig
    config: TrainingConfig
    seed: int
    real: list[Pair] = field(default_factory=list)
    probe: bool = True
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass
class TrainingState:
    """All that changes while training; what a checkpoint holds."""

    net: nn.Module
    average: Weights
    optimiser: torch.optim.Optimizer
    rng: np.random.Generator
    precision: Precision = field(default_factory=Precision)
    step: int = 0
    seconds: float = 0.0

    def save(self, path: Path, task: Task) -> None:
        """Write the checkpoint; "done" says whether all steps were taken."""
        save_checkpoint(path, task.kind, {
            **task.extra,
            "weights": _on_cpu(self.net.state_dict()),
            "average": _on_cpu(self.average),
            "optimiser": self.optimiser.state_dict(),
            "rng": rng_state(self.rng),
            "precision": asdict(self.precision),
            "step": self.step,
            "seconds": self.seconds,
            "done": self.step >= task.config.steps,
        })

    def restore(self, saved: dict[str, Any], device: torch.device, path: Path) -> None:
        """Go back to a checkpoint, the one in `path`.

        Raises
        ------
        UserError
            If it is not one of this network.
        """
        found = read_loop(saved, path, self.net, self.optimiser)
        try:
            self.rng = restore_rng(found.rng)
        except ValueError as error:
            raise malformed(path, f"rng: {error}") from error
        self.net.load_state_dict(dict(found.weights))
        self.average = {name: value.to(device) for name, value in found.average.items()}
        # Decay and the like are those of the settings.
        groups = self.optimiser.state_dict()["param_groups"]
        for group in groups:
            group["lr"] = found.learning_rate
        self.optimiser.load_state_dict({"state": dict(found.optimiser), "param_groups": groups})
        self.step, self.seconds = found.step, found.seconds
        # Another layout or number of threads adds up in another order: not quite the same net.
        self.precision = found.precision
        self.precision.lay_out(self.net)


def train(task: Task, path: Path, device: torch.device) -> Iterator[Progress]:
    """Train a network, or go on where `path` left off.

    Parameters
    ----------
    task : Task
    path : Path
        The checkpoint, written every `config.checkpoint_seconds`, at the end and at a stop.
    device : torch.device

    Yields
    ------
    Progress
        One a step with "loss"; whenever they were measured, "validation_dice" (of the averaged
        weights on held-out batches) and "painted_dice" (on the labelled scans).
    """
    config = task.config
    state = _start(task)
    if path.is_file():
        state.restore(load_checkpoint(path, task.kind), device, path)
    elif task.probe:
        i, j, k = task.held_out[0][0].shape[2:]
        state.precision = probe_precision(state.net, (i, j, k), device, config.batch_size)
    precision = state.precision
    started, last_saved = time.monotonic() - state.seconds, time.monotonic()
    try:
        while state.step < config.steps:
            with precision.computing():
                inputs, distance = task.draw(state.rng)
                _set_learning_rate(state, config)
                with precision.autocast(device):
                    output = state.net(inputs.to(memory_format=precision.memory_format))
                loss = segmentation_loss(output, distance, task.network, config.cross_entropy)
                state.optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(state.net.parameters(), config.clip_norm)
                state.optimiser.step()
                state.step += 1
                _average(state, config.ema)
                metrics = {"loss": float(loss.detach())}
                if state.step % config.validate_every == 0 or state.step == config.steps:
                    metrics |= _validate(state, task, precision)
            state.seconds = time.monotonic() - started
            if time.monotonic() - last_saved > config.checkpoint_seconds:
                state.save(path, task)
                last_saved = time.monotonic()
            yield Progress(task.stage, state.step, config.steps, metrics, _left(state, config))
    finally:
        state.save(path, task)


def is_done(path: Path, kind: str) -> bool:
    """Whether a training run was carried out to its end.

    Raises
    ------
    UserError
        If the file is damaged: it is not taken for one that is still to be trained.
    """
    if not path.is_file():
        return False
    done = load_checkpoint(path, kind).get("done")
    if not isinstance(done, bool):
        raise malformed(path, f"done: {done!r:.60}")
    return done


def initial_weights(net: nn.Module, rng: np.random.Generator) -> None:
    """Draw all weights (He et al. 2015) from `rng`, in place; biases are zero."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    for module in net.modules():
        if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d, nn.Linear)):
            nn.init.kaiming_normal_(
                module.weight, a=0.1, nonlinearity="leaky_relu", generator=generator
            )
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _start(task: Task) -> TrainingState:
    optimiser = torch.optim.AdamW(
        task.net.train().parameters(),
        task.config.learning_rate,
        weight_decay=task.config.weight_decay,
        fused=True,  # one pass over the weights; five times faster on a CPU
    )
    average = {name: value.clone() for name, value in task.net.state_dict().items()}
    return TrainingState(task.net, average, optimiser, np.random.default_rng([task.seed, 0]))


def _set_learning_rate(state: TrainingState, config: TrainingConfig) -> None:
    """Linear warm-up, then half a cosine to 1% of the peak."""
    rise = max(1.0, config.warmup * config.steps)
    if state.step < rise:
        factor = (state.step + 1) / rise
    else:
        along = (state.step - rise) / max(1.0, config.steps - rise)
        factor = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * along))
    for group in state.optimiser.param_groups:
        group["lr"] = config.learning_rate * min(factor, 1.0)


def _average(state: TrainingState, decay: float) -> None:
    """Update the running average; it forgets faster at the beginning."""
    decay = min(decay, (1 + state.step) / (10 + state.step)) if decay else 0.0
    weights = state.net.state_dict()
    with torch.no_grad():
        torch._foreach_lerp_(
            list(state.average.values()), [weights[name] for name in state.average], 1 - decay
        )


def _validate(state: TrainingState, task: Task, precision: Precision) -> dict[str, float]:
    """Dice of the averaged weights on held-out batches and on labelled scans."""
    groups = {"validation_dice": task.held_out, "painted_dice": task.real}
    return {
        name: float(np.mean([_dice(state, task, precision, pair) for pair in pairs]))
        for name, pairs in groups.items()
        if pairs
    }


def _dice(state: TrainingState, task: Task, precision: Precision, pair: Pair) -> float:
    inputs, distance = pair
    with torch.inference_mode(), precision.autocast(inputs.device):
        output = torch.func.functional_call(state.net, state.average, (inputs,))
        mask = to_probability(output, task.network) > 0.5
        truth = partial_volume(distance) > 0.5
        total = float(mask.sum() + truth.sum())
        return 2 * float((mask & truth).sum()) / total if total else 1.0


def _left(state: TrainingState, config: TrainingConfig) -> float:
    return state.seconds / state.step * (config.steps - state.step)


def _on_cpu(weights: Weights) -> Weights:
    return {name: value.detach().cpu() for name, value in weights.items()}
