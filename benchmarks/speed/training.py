"""What a training step is spent on, and whether steps get slower or take more memory in time.

    python benchmarks/speed/training.py [--steps 10000] [--standard-steps 8]

The product's own training loop, on sample heads, with the processor time of its parts. "Outside"
is everything but the network (forward, backward) and the synthesis of its heads. Then, by turns,
what the last layer takes as torch computes it and as we do, and steps with freed memory returned to
the system and kept.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import psutil
import torch
from measuring import Table, Timing, in_turns, judged, machine, median, parser, report, stopwatch

from napari_singlestrip.engine.devices.memory import keeping_freed_memory
from napari_singlestrip.engine.learning.last_layer import LastLayer
from napari_singlestrip.engine.learning.networks import StridedUNet
from napari_singlestrip.engine.learning.segmenter_training import segmenter_task
from napari_singlestrip.engine.learning.training import Task, train
from napari_singlestrip.engine.overrides import settings_for
from napari_singlestrip.events import Event
from napari_singlestrip.pipeline.job import Job
from napari_singlestrip.pipeline.training_data import TrainingData, training_data
from napari_singlestrip.sample_data import write_sample_heads
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.training_set import masks_by_hand

CPU = torch.device("cpu")
ASKED = 0.05
LEARNING = "napari_singlestrip.engine.learning"
TRAINING, SEGMENTER = f"{LEARNING}.training", f"{LEARNING}.segmenter_training"
NETWORK = ("network, forward", "network, backward")
SYNTHESIS = ("synthesis, numbers", "synthesis, pictures")
PARTS = (
    ("torch", "Tensor.backward", NETWORK[1]),
    (SEGMENTER, "sample_params", SYNTHESIS[0]),
    (SEGMENTER, "render", SYNTHESIS[1]),
    (TRAINING, "segmentation_loss", "loss"),
    ("torch.nn.utils", "clip_grad_norm_", "clipping the gradient"),
    ("torch.optim", "AdamW.step", "optimiser"),
    (TRAINING, "_average", "running average"),
    (TRAINING, "_validate", "validation"),
    (TRAINING, "TrainingState.save", "checkpoint"),
)
BLOCKS = 5
SIDE = 16  # sides of pictures are multiples of this


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--steps", type=int, default=10_000, help="of the effort quick")
    arguments.add_argument("--standard-steps", type=int, default=8)
    options = arguments.parse_args()
    load = machine()["load"]
    with tempfile.TemporaryDirectory(prefix="singlestrip-") as name:
        folder = Path(name)
        scans, masks = write_sample_heads(folder / "heads", 2, spacing_mm=2.0)
        painted = {scans[0].name.removesuffix(".nii.gz"): masks[0]}
        study = Study.create(folder / "study", scans, painted)
        steps = {"quick": options.steps, "standard": options.standard_steps}
        runs = {
            effort: Run(make_task(study, effort, n), folder / f"{effort}.pt")
            for effort, n in steps.items()
        }
        tasks = {effort: make_task(study, effort, 2) for effort in steps}
    by_turns = [last_layers(tasks, options.repeats), kept_memory(tasks, options.repeats)]
    report([shares(runs), constancy(runs["quick"]), *by_turns], options, load)


def make_task(study: Study, effort: str, steps: int) -> Task:
    """What the product trains on."""
    settings = settings_for(effort, {"training.steps": max(steps, 2)})
    job = Job(study, settings, CPU)
    data = outcome(training_data(job, masks_by_hand(study), n_maps=None))
    return segmenter_task(data.bank, data.geometry, settings, CPU, watched=data.watched)


def outcome(events: Generator[Event, None, TrainingData]) -> TrainingData:
    """What a stage returns after all its events."""
    try:
        while True:
            next(events)
    except StopIteration as end:
        data: TrainingData = end.value
    return data


class Run:
    """One training: CPU seconds of its parts, and of each step; memory after each step."""

    def __init__(self, task: Task, path: Path) -> None:
        net = type(task.net)
        parts = (*PARTS, (net.__module__, f"{net.__name__}.forward", NETWORK[0]))
        self.steps: list[float] = []
        self.reference: list[float] = []  # the same work after each step: how fast the machine is
        self.memory: list[float] = []
        this, multiply = psutil.Process(), reference()
        with closing(train(task, path, CPU)) as events:
            next(events)  # with the probing of precisions
            with stopwatch(parts, "the rest") as taken:
                began = time.process_time()
                for _ in events:
                    self.steps.append(time.process_time() - began)
                    self.memory.append(this.memory_info().rss / 2**20)
                    began = time.process_time()
                    multiply()
                    self.reference.append(time.process_time() - began)
                    began = time.process_time()
        self.parts = {part[2]: taken[part[2]] for part in parts}
        self.parts["the rest"] = taken["the rest"] - sum(self.reference)

    def share_outside(self) -> float:
        """Share of the time outside network and synthesis."""
        inside = sum(self.parts[words] for words in (*NETWORK, *SYNTHESIS))
        return 1 - inside / sum(self.parts.values())


def reference() -> Callable[[], object]:
    """A few ms of arithmetic, always the same."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(512, 512, generator=generator)
    return lambda: x @ x


def shares(runs: dict[str, Run]) -> Table:
    """Share of each part in a step."""
    names = [f"{effort}, {len(run.steps) + 1} steps" for effort, run in runs.items()]
    table = Table("What a training step is spent on (CPU time)", ["part", *names])
    for words in sorted(runs["quick"].parts, key=lambda w: -runs["quick"].parts[w]):
        whole = [(run.parts[words], sum(run.parts.values())) for run in runs.values()]
        table.add(words, *(f"{100 * part / total:.1f}%" for part, total in whole))
    outside = [run.share_outside() for run in runs.values()]
    table.add("outside network and synthesis", *(f"{100 * share:.1f}%" for share in outside))
    asked = [f"at most {100 * ASKED:.0f}%: {judged(share, ASKED)}" for share in outside]
    table.add("asked", *asked)
    ms = [1e3 * sum(run.parts.values()) / len(run.steps) for run in runs.values()]
    table.add("a step, CPU ms", *ms)
    table.notes.append(
        "Few steps of standard weigh validation and checkpoint, once each, more than a whole "
        "training does: they are in every 200th step and every 20 s."
    )
    return table


def constancy(run: Run) -> Table:
    """Blocks of steps, one after the other."""
    table = Table(
        "Slower, or more memory, in time? (quick)",
        ["steps", "CPU ms a step (median)", "reference, CPU ms", "ratio", "memory, MiB"],
    )
    block = len(run.steps) // BLOCKS
    for first in range(0, BLOCKS * block, block):
        part = slice(first, first + block)
        step, same = (1e3 * median(times[part]) for times in (run.steps, run.reference))
        memory = f"{run.memory[first + block - 1]:.0f}"
        table.add(f"{first + 2} to {first + block + 1}", step, same, step / same, memory)
    table.notes.append(
        "Reference: one product of matrices, the same after each step, for the machine's speed."
    )
    return table


def last_layers(tasks: dict[str, Task], repeats: int) -> Table:
    """The last layer of the network, by turns as torch computes it and as we do."""
    table = Table(
        "The last layer, forwards (CPU ms, medians by turns)",
        ["window", "torch's", "ours", "ratio"],
    )
    for window, net, picture in windows(tasks):
        ours = last_layer(net)
        theirs = torch.nn.ConvTranspose3d(
            ours.in_channels, 1, 3, stride=2, padding=1, output_padding=1
        )
        theirs.load_state_dict(ours.state_dict())
        half = [side // 2 for side in picture.shape[2:]]
        features = torch.randn(1, ours.in_channels, *half)
        works = {"theirs": partial(theirs, features), "ours": partial(ours, features)}
        with torch.inference_mode():
            found = in_turns(works, repeats, dict.fromkeys(works, 5))
        before, now = found["theirs"].cpu_ms, found["ours"].cpu_ms
        table.add(window, before, now, now / before)
    return table


def kept_memory(tasks: dict[str, Task], repeats: int) -> Table:
    """Steps by turns with freed memory returned to the system, as glibc tends to, and kept."""
    table = Table(
        "Forwards and backwards, by what becomes of freed memory (CPU ms, medians by turns)",
        ["window", "returned", "kept", "ratio"],
    )
    for window, net, picture in windows(tasks):
        step = partial(learn_from, net, picture)
        returned, kept = Timing(), Timing()
        for _ in range(repeats):
            returned.cpu += in_turns({"": step}, 1)[""].cpu
            with keeping_freed_memory(CPU):
                kept.cpu += in_turns({"": step}, 1)[""].cpu
        table.add(window, returned.cpu_ms, kept.cpu_ms, kept.cpu_ms / returned.cpu_ms)
    return table


def windows(tasks: dict[str, Task]) -> Iterator[tuple[str, StridedUNet, torch.Tensor]]:
    """The usual and the wide window of each effort: name, network, and a picture of that size."""
    for effort, task in tasks.items():
        assert isinstance(task.net, StridedUNet)
        usual = task.held_out[0][0]
        yield effort, task.net, usual
        scale = task.config.context_scale
        yield f"{effort}, wide", task.net, torch.rand(
            1, 1, *(round(n * scale / SIDE) * SIDE for n in usual.shape[2:])
        )


def last_layer(net: StridedUNet) -> LastLayer:
    """The layer that doubles the sides to those of the picture."""
    (found,) = (layer for layer in net.modules() if isinstance(layer, LastLayer))
    return found


def learn_from(net: StridedUNet, picture: torch.Tensor) -> None:
    """What a step takes of the network."""
    net(picture).square().mean().backward()


if __name__ == "__main__":
    main()
