"""The training loop of segmenter and autoencoder, in one function.

`train` is a generator of events. Closing it cancels; the state is saved either way, and the same
call resumes from it. On a CPU the result is then bitwise identical to an uninterrupted training. On
a graphics card it is equivalent only, since the order of summation is not fixed.

Several processes can train one network together (`ranks.Ranks`): all call `train`; the first says
whether there is another step, and saves.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from napari_singlestrip.engine.config import NetworkConfig, TrainingConfig
from napari_singlestrip.engine.devices import transfer
from napari_singlestrip.engine.devices.memory import keeping_freed_memory
from napari_singlestrip.engine.devices.precision import Precision
from napari_singlestrip.engine.learning.checkpoint import (
    load_checkpoint,
    restore_rng,
    rng_state,
    save_checkpoint,
)
from napari_singlestrip.engine.learning.device import identity, probe_precision
from napari_singlestrip.engine.learning.losses import (
    partial_volume,
    segmentation_loss,
    to_probability,
)
from napari_singlestrip.engine.learning.ranks import ALONE, Ranks
from napari_singlestrip.engine.learning.saved_state import malformed, read_loop
from napari_singlestrip.engine.learning.step_memory import check_memory, enough_memory
from napari_singlestrip.engine.learning.step_threads import choice_of_threads
from napari_singlestrip.events import Progress, seconds_left
from napari_singlestrip.vocabulary import StageName

Weights = dict[str, torch.Tensor]
Pair = tuple[torch.Tensor, torch.Tensor]

READ_EVERY = 10  # steps, on a graphics card: reading the loss synchronises
FUSED = ("cpu", "cuda", "mps")  # devices with a fused optimiser


@dataclass(frozen=True)
class Task:
    """Definition of a training: network, data and settings.

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
        Batches of one for validation, not used in training.
    real : list of pairs
        Labelled scans, batches of one of any shape, to monitor performance on real data.
    network : NetworkConfig
        What the output means.
    config : TrainingConfig
        Steps, learning rate and the like.
    seed : int
        Of the generator that batches are sampled with.
    probe : bool
        Find the fastest precision first (for nets that accept images of `device.PROBE_SIDE`).
    extra : dict
        Plain values to store in the checkpoint.
    """

    kind: str
    stage: StageName
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
    """Everything that changes during training, as stored in a checkpoint."""

    net: nn.Module
    average: Weights
    optimiser: torch.optim.Optimizer
    rng: np.random.Generator
    device: torch.device
    scaler: torch.amp.GradScaler
    precision: Precision = field(default_factory=Precision)
    losses: list[torch.Tensor] = field(default_factory=list)  # not read yet
    step: int = 0
    seconds: float = 0.0
    fitting: set[torch.Size] = field(default_factory=set)  # shapes with enough memory
    ranks: Ranks = ALONE
    joined: nn.Module = field(init=False)  # the net, with gradients averaged over processes

    def __post_init__(self) -> None:
        self.joined = self.net

    def save(self, path: Path, task: Task) -> None:
        """Write the checkpoint; "done" tells whether all steps were taken."""
        save_checkpoint(path, task.kind, {
            **task.extra,
            "weights": _on_cpu(self.net.state_dict()),
            "average": _on_cpu(self.average),
            "optimiser": self.optimiser.state_dict(),
            "rng": rng_state(self.rng),
            "precision": asdict(self.precision),
            "device": identity(self.device),
            "scaler": self.scaler.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "done": self.step >= task.config.steps,
        })

    def restore(self, saved: dict[str, Any], path: Path) -> bool:
        """Restore a checkpoint, read from `path`; False if it was written on another device.

        Its precision may then be slow here, or unsupported.

        Raises
        ------
        UserError
            If it belongs to another network.
        """
        found = read_loop(saved, path, self.net, self.optimiser)
        try:
            self.rng = restore_rng(found.rng)
        except ValueError as error:
            raise malformed(path, f"rng: {error}") from error
        self.net.load_state_dict(dict(found.weights))
        self.average = {
            name: transfer.move(value, self.device) for name, value in found.average.items()
        }
        # Weight decay etc. follow the settings.
        groups = self.optimiser.state_dict()["param_groups"]
        for group in groups:
            group["lr"] = found.learning_rate
        self.optimiser.load_state_dict({"state": dict(found.optimiser), "param_groups": groups})
        self.step, self.seconds = found.step, found.seconds
        if found.device != identity(self.device):
            return False
        # Another layout or number of threads changes the order of summation, and so the net
        # slightly.
        self.compute_in(found.precision)
        if self.scaler.is_enabled() and found.scaler:
            self.scaler.load_state_dict(dict(found.scaler))
        return True

    def compute_in(self, precision: Precision) -> None:
        """Use a precision from now on."""
        self.precision, self.scaler = precision, precision.scaler(self.device)
        precision.lay_out(self.net)

    def join(self, ranks: Ranks) -> None:
        """Train together with other processes from now on, in the first one's precision."""
        precision, scaler = ranks.shared((self.precision, self.scaler.state_dict()))
        if not ranks.first:
            self.compute_in(precision)
            self.scaler.load_state_dict(scaler)
        self.ranks, self.joined = ranks, ranks.joined(self.net)


def train(
    task: Task, path: Path, device: torch.device, ranks: Ranks = ALONE
) -> Iterator[Progress]:
    """Train a network, or resume from `path`.

    Parameters
    ----------
    task : Task
    path : Path
        The checkpoint, written every `config.checkpoint_seconds`, at the end and when stopped.
    device : torch.device
    ranks : Ranks
        The processes that train together. All call this function with the same settings; the first
        one's checkpoint counts, and it alone saves, validates and can be closed.

    Yields
    ------
    Progress
        One per step, with "loss"; on a graphics card the mean loss of `READ_EVERY` steps, with the
        last of them. After each validation also "validation_dice" (of the averaged weights on
        held-out batches) and "painted_dice" (on the labelled scans).

    Raises
    ------
    UserError
        If a step does not fit into memory, or the device cannot train the network.
    """
    config = task.config
    state = begin(task, device)
    here = ranks.first and path.is_file()
    saved = ranks.shared(load_checkpoint(path, task.kind) if here else None)
    known = saved is not None and state.restore(saved, path)
    if ranks.first and task.probe and not known and state.step < config.steps:
        i, j, k = task.held_out[0][0].shape[2:]
        state.compute_in(probe_precision(state.net, (i, j, k), device, config.batch_size))
    state.join(ranks)
    alone = state.ranks.control is None
    threads = choice_of_threads(state.precision, device) if task.probe and alone else None
    started, last_saved = time.monotonic() - state.seconds, time.monotonic()
    try:
        with keeping_freed_memory(device):
            while ranks.shared(state.step < config.steps):
                enough = enough_memory(task.held_out[0][0].shape[2:], config.batch_size, device)
                with state.precision.computing(), enough, ranks.answering():
                    begun = time.monotonic()
                    take_step(state, task)
                    taken = time.monotonic() - begun
                    metrics = _metrics(state, task)
                if threads is not None:
                    state.precision = replace(state.precision, threads=threads.after(taken))
                state.seconds = time.monotonic() - started
                if ranks.first and time.monotonic() - last_saved > config.checkpoint_seconds:
                    state.save(path, task)
                    last_saved = time.monotonic()
                left = seconds_left(state.seconds, state.step, config.steps)
                yield Progress(task.stage, state.step, config.steps, metrics, left)
    except GeneratorExit:
        if ranks.first:
            ranks.tell((False,))  # no further step
        raise
    finally:
        if ranks.first:
            state.save(path, task)


def take_step(state: TrainingState, task: Task) -> None:
    """Take one optimiser step; nothing here synchronises with a graphics card."""
    config, precision = task.config, state.precision
    inputs, distance = task.draw(state.ranks.heads(state.rng, task.seed, state.step))
    if state.device.type == "cpu" and inputs.shape not in state.fitting:
        check_memory(state.net, inputs.shape, precision)
        state.fitting.add(inputs.shape)
    _set_learning_rate(state, config)
    with precision.autocast(state.device):
        output = state.joined(inputs.to(memory_format=precision.memory_format))
    loss = segmentation_loss(output, distance, task.network, config.cross_entropy)
    state.optimiser.zero_grad(set_to_none=True)
    state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    state.scaler.unscale_(state.optimiser)
    nn.utils.clip_grad_norm_(state.net.parameters(), config.clip_norm)
    state.scaler.step(state.optimiser)
    state.scaler.update()
    state.step += 1
    _average(state, config.ema)
    state.losses.append(loss.detach())


def _metrics(state: TrainingState, task: Task) -> dict[str, float]:
    """The metrics to report after a step."""
    config, metrics = task.config, {}
    if not state.ranks.first:
        state.losses.clear()
        return {}
    validates = state.step % config.validate_every == 0 or state.step == config.steps
    if state.device.type == "cpu" or state.step % READ_EVERY == 0 or validates:
        metrics["loss"] = float(transfer.read(torch.stack(state.losses)).mean())
        state.losses.clear()
    return metrics | _validate(state, task) if validates else metrics


def is_done(path: Path, kind: str) -> bool:
    """Whether a training run is complete.

    Raises
    ------
    UserError
        If the file is damaged, so that it is not mistaken for an unfinished training.
    """
    if not path.is_file():
        return False
    done = load_checkpoint(path, kind).get("done")
    if not isinstance(done, bool):
        raise malformed(path, f"done: {done!r:.60}")
    return done


def step_of(path: Path, kind: str) -> int:
    """Number of steps taken in a training run; 0 if it was not begun."""
    if not path.is_file():
        return 0
    step = load_checkpoint(path, kind).get("step")
    if not isinstance(step, int) or step < 0:
        raise malformed(path, f"step: {step!r:.60}")
    return step


def initial_weights(net: nn.Module, rng: np.random.Generator) -> None:
    """Initialise all weights (He et al. 2015) from `rng`, in place; biases are zero."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    for module in net.modules():
        if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d, nn.Linear)):
            nn.init.kaiming_normal_(
                module.weight, a=0.1, nonlinearity="leaky_relu", generator=generator
            )
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def begin(task: Task, device: torch.device) -> TrainingState:
    """Return the state before the first step."""
    optimiser = torch.optim.AdamW(
        task.net.train().parameters(),
        task.config.learning_rate,
        weight_decay=task.config.weight_decay,
        fused=device.type in FUSED,  # five times faster on a CPU
    )
    average = {name: value.clone() for name, value in task.net.state_dict().items()}
    rng, scaler = np.random.default_rng([task.seed, 0]), Precision().scaler(device)
    return TrainingState(task.net, average, optimiser, rng, device, scaler)


def _set_learning_rate(state: TrainingState, config: TrainingConfig) -> None:
    """Linear warm-up, then half a cosine to 1% of the peak.

    Not by torch's schedulers, which have a state of their own: a function of the step alone is also
    correct when a training resumes with other settings.
    """
    rise = max(1.0, config.warmup * config.steps)
    if state.step < rise:
        factor = (state.step + 1) / rise
    else:
        along = (state.step - rise) / max(1.0, config.steps - rise)
        factor = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * along))
    for group in state.optimiser.param_groups:
        group["lr"] = config.learning_rate * min(factor, 1.0)


def _average(state: TrainingState, decay: float) -> None:
    """Update the running average, with a faster decay at the beginning."""
    decay = min(decay, (1 + state.step) / (10 + state.step)) if decay else 0.0
    weights = state.net.state_dict()
    # Not AveragedModel: it keeps a second network, and checkpoints hold plain weights.
    update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    update(list(state.average.values()), [weights[name] for name in state.average], state.step)


def _validate(state: TrainingState, task: Task) -> dict[str, float]:
    """Dice of the averaged weights on held-out batches and on labelled scans."""
    groups = {"validation_dice": task.held_out, "painted_dice": task.real}
    return {name: _mean_dice(state, task, pairs) for name, pairs in groups.items() if pairs}


def _mean_dice(state: TrainingState, task: Task, pairs: list[Pair]) -> float:
    counts = transfer.read(torch.stack([_overlap(state, task, pair) for pair in pairs]))
    return float(np.mean([2 * both / total if total else 1.0 for both, total in counts.tolist()]))


def _overlap(state: TrainingState, task: Task, pair: Pair) -> torch.Tensor:
    """Intersection and sum of the predicted and the true mask (voxels)."""
    inputs, distance = pair
    with torch.inference_mode(), state.precision.autocast(state.device):
        output = torch.func.functional_call(state.net, state.average, (inputs,))
        mask = to_probability(output, task.network) > 0.5
        truth = partial_volume(distance) > 0.5
        return torch.stack([(mask & truth).sum(), mask.sum() + truth.sum()])


def _on_cpu(weights: Weights) -> Weights:
    return {name: transfer.download(value) for name, value in weights.items()}
