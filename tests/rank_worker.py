"""Two processes that train a tiny network together; run as a program by tests."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo  # DistributedDataParallel does so, in each process that is forked
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from napari_singlestrip.engine.config import NetworkConfig, TrainingConfig
from napari_singlestrip.engine.devices.launch import Place
from napari_singlestrip.engine.learning import ranks
from napari_singlestrip.engine.learning.training import Pair, Task, initial_weights, train
from napari_singlestrip.errors import OK, USER_MISTAKE, UserError

CPU, SIDE, STEPS = torch.device("cpu"), 8, 12


@dataclass(frozen=True)
class Plan:
    """What a process does.

    Attributes
    ----------
    stop_after : int
        Step after which the first process closes its training; 0 for none.
    victim : int
        Process that is sent `signal` in its third step, or before it; -1 for none.
    signal : str
    within : bool
        In the step.
    pause_seconds : float
        How long the first process does something else after its first step.
    step_seconds : float
        To wait for the others within a step.
    """

    stop_after: int = 0
    victim: int = -1
    signal: str = "SIGKILL"
    within: bool = False
    pause_seconds: float = 0.0
    step_seconds: float = 60.0


@dataclass(frozen=True)
class End:
    """How a process ended, and how long after both began."""

    rank: int
    code: int
    seconds: float


def draw(rng: np.random.Generator) -> Pair:
    """A noisy bright ball, and the signed distance to it."""
    radius = rng.uniform(2, 3)
    axis = torch.arange(SIDE) - (SIDE - 1) / 2
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    distance = ((x**2 + y**2 + z**2).sqrt() - radius).float()[None, None]
    noise = torch.from_numpy(rng.standard_normal((1, 1, *[SIDE] * 3)).astype(np.float32))
    return (distance < 0).float() + 0.2 * noise, distance


def both(rng: np.random.Generator, other: np.random.Generator) -> Pair:
    """The heads of two processes as one batch."""
    one, two = draw(rng), draw(other)
    return torch.cat([one[0], two[0]]), torch.cat([one[1], two[1]])


def task(rank: int = 0, seed: int = 5) -> Task:
    """A fresh net that is to find bright balls; its weights differ in each process."""
    net = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv3d(4, 1, 1))
    initial_weights(net, np.random.default_rng(rank))
    config = TrainingConfig(steps=STEPS, learning_rate=0.02, validate_every=5)
    return Task(
        "segmenter", "train", net, draw, [draw(np.random.default_rng(77))], NetworkConfig(),
        config, seed, probe=False, extra={"settings": "{}"},
    )  # fmt: skip


def suffer(place: Place, plan: Plan) -> None:
    """Send the signal to this process, if it is the victim."""
    if place.rank == plan.victim:
        os.kill(os.getpid(), signal.Signals[plan.signal])


def work(place: Place, folder: Path, plan: Plan) -> None:
    """Train, and keep the gradients of the first step and the weights of the last."""
    made, gradients, n_drawn = task(place.rank), [], [0]

    def draw_or_die(rng: np.random.Generator) -> Pair:
        n_drawn[0] += 1
        if plan.within and n_drawn[0] == 3:
            suffer(place, plan)
        return draw(rng)

    register_optimizer_step_pre_hook(
        lambda *_: gradients.append([w.grad.clone() for w in made.net.parameters()])  # type: ignore[union-attr]
    )
    with ranks.meeting(place, f"file://{folder}/meeting") as met:
        events = train(replace(made, draw=draw_or_die), folder / "net.pt", CPU, met)
        for n, event in enumerate(events, 1):
            if n == 1 and place.first:
                time.sleep(plan.pause_seconds)
            if n == 2 and not plan.within:
                suffer(place, plan)
            if event.step == plan.stop_after and place.first:
                events.close()  # type: ignore[attr-defined]
    kept: dict[str, Any] = {"gradients": gradients[0], "weights": made.net.state_dict()}
    torch.save(kept, folder / f"rank_{place.rank}.pt")


def take_part(place: Place, folder: Path, plan: Plan) -> int:
    """Train, and return the exit code of a job; an error is written to a file."""
    ranks.STEP_MINUTES = plan.step_seconds / 60
    torch.set_num_threads(1)
    try:
        work(place, folder, plan)
    except UserError as error:
        (folder / f"said_{place.rank}.txt").write_text(str(error), encoding="utf-8")
        return USER_MISTAKE
    return OK


def run_two(folder: Path, plan: Plan) -> list[End]:
    """Fork two processes; return their ends, in order."""
    started, left = time.monotonic(), dict[int, int]()
    for rank in range(2):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = take_part(Place(rank, 2, rank, 2), folder, plan)
            except BaseException:  # noqa: BLE001 - nothing may return into the parent's code
                traceback.print_exc()
            os._exit(code)
        left[child] = rank
    ended: list[End] = []
    while left:
        child, status = os.wait()
        seconds = time.monotonic() - started
        ended.append(End(left.pop(child), os.waitstatus_to_exitcode(status), seconds))
        if plan.signal == "SIGSTOP":  # the other cannot end by itself
            for frozen in left:
                os.kill(frozen, signal.SIGKILL)
    return ended


def main() -> None:
    """Obey lines of a folder and a plan: loading torch takes longer than all that is done here."""
    for line in sys.stdin:
        folder, plan = json.loads(line)
        ended = run_two(Path(folder), Plan(**plan))
        sys.stdout.write(json.dumps([asdict(end) for end in ended]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
