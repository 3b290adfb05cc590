"""What a graphics card makes of the program, in one command of at most eight minutes.

    python benchmarks/accelerator.py --out DIR [--data HEADS] [--device cuda] [--seconds 480]

HEADS holds scans/ and masks/ of the same names (reference masks); without it sample heads are made.
Each piece is written to DIR/results.json, and DIR/table.md anew, as soon as it is measured. What is
there is not measured again, and a training that was stopped continues: call it again for the rest.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_singlestrip.engine.devices.memory import is_out_of_memory, release
from napari_singlestrip.engine.devices.precision import REFUSALS
from napari_singlestrip.engine.heads.label_bank import (
    BankBuilder,
    Geometry,
    make_example,
    training_geometry,
)
from napari_singlestrip.engine.heads.label_map import LabelBank
from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.engine.learning.device import (
    choose_device,
    describe,
    in_words,
    probe_precision,
    trial,
)
from napari_singlestrip.engine.learning.prediction import to_mask
from napari_singlestrip.engine.learning.segmenter import Segmenter, load_segmenter, predict
from napari_singlestrip.engine.learning.segmenter_training import segmenter_task
from napari_singlestrip.engine.learning.training import Task, begin, step_of, take_step
from napari_singlestrip.engine.masks.metrics import dice
from napari_singlestrip.engine.overrides import override, settings_for
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Progress
from napari_singlestrip.files.atomic import write_json_atomic, write_text_atomic
from napari_singlestrip.pipeline import stages
from napari_singlestrip.sample_data import write_sample_heads
from napari_singlestrip.study.round_folder import RoundFolder
from napari_singlestrip.study.study import Study

EFFORTS = ("quick", "standard", "thorough")
BATCHES = (1, 2, 4)
STEP_SECONDS = 4.0  # of each batch size, with and without synthesis
SCANS = 10  # that the model is applied to
APPLY_SECONDS = 45.0  # kept free for it
# Seconds instead of minutes: to see that all of it runs.
SMOKE: dict[str, Any] = {
    "conform.spacing_mm": 8, "network.channels": [4, 8], "label_map.n_bins": [[2, 3]],
    "training.steps": 6, "training.validate_every": 3, "training.validation_heads": 1,
    "prediction.pitch_deg": 0,
}


@dataclass
class Bench:
    """What was asked for, what was measured, and how much time is left."""

    out: Path
    device: torch.device
    scans: list[Path]
    masks: list[Path]
    seconds: float
    smoke: bool = False

    def __post_init__(self) -> None:
        self.ends = time.monotonic() + self.seconds
        self.file = self.out / "results.json"
        known = json.loads(self.file.read_text("utf-8")) if self.file.is_file() else {}
        self.found: dict[str, Any] = known

    @property
    def left(self) -> float:
        """Seconds of the budget."""
        return self.ends - time.monotonic()

    def piece(self, name: str, needs: float, measure: Callable[[], dict[str, Any]]) -> None:
        """Measure a piece unless it is done or there is no time for it, and write it down."""
        if self.found.get(name, {}).get("done") or self.left < needs:
            return
        print(f"{name} ...", flush=True)
        try:
            self.found[name] = {"done": True, **measure()}
        except (UserError, *REFUSALS) as error:
            full = is_out_of_memory(error) or "not enough memory" in str(error)
            said = "out of memory" if full else str(error) or type(error).__name__
            self.found[name] = {"done": full, "failed": said.splitlines()[0]}
        release(self.device)
        self.write()

    def write(self) -> None:
        """Write the results and the table."""
        self.out.mkdir(parents=True, exist_ok=True)
        write_json_atomic(self.file, self.found)
        write_text_atomic(self.out / "table.md", table(self.found))

    def settings(self, effort: str) -> dict[str, Any]:
        """Changes of an effort's settings."""
        return dict(SMOKE) if self.smoke else {}


def main(arguments: list[str] | None = None) -> None:
    options = parse_arguments(arguments)
    device = choose_device(options.device)
    options.out.mkdir(parents=True, exist_ok=True)
    seconds = min(options.seconds, 120) if options.smoke else options.seconds
    started = time.monotonic()
    scans, masks = heads(options)
    bench = Bench(options.out, device, scans, masks, seconds, options.smoke)
    bench.ends -= time.monotonic() - started  # heads that had to be made
    measure_all(bench)
    print(table(bench.found))
    if missing := [name for name in names(bench) if not bench.found.get(name, {}).get("done")]:
        print(f"Not measured in the time given: {', '.join(missing)}. Call it again for the rest.")


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="kept, and resumed")
    made.add_argument("--data", type=Path, metavar="HEADS", help="folder with scans/ and masks/")
    made.add_argument("--painted", default="", help="how the one to learn from begins")
    made.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    made.add_argument("--seconds", type=float, default=460, help="to be kept to, but for a step")
    made.add_argument("--smoke", action="store_true", help="tiny sizes: does all of it run?")
    return made.parse_args(arguments)


def heads(options: argparse.Namespace) -> tuple[list[Path], list[Path]]:
    """Scans and their reference masks; the first is used for training."""
    if options.data is None:
        n, spacing = (3, 6.0) if options.smoke else (1 + SCANS, 2.0)
        return write_sample_heads(options.out / "heads", n, spacing_mm=spacing)
    masks = options.data / "masks"
    pairs = [(scan, masks / scan.name) for scan in sorted((options.data / "scans").iterdir())]
    pairs = [pair for pair in pairs if pair[1].is_file()]
    pairs.sort(key=lambda pair: not pair[0].name.startswith(options.painted))
    return [scan for scan, _ in pairs[: 1 + SCANS]], [mask for _, mask in pairs[: 1 + SCANS]]


def names(bench: Bench) -> list[str]:
    """All pieces, in order."""
    steps = [f"step, {effort}, batch {n}" for effort in EFFORTS for n in batches(bench)]
    return ["machine", *steps, "standard", "apply", "thorough"]


def batches(bench: Bench) -> tuple[int, ...]:
    """Sizes of the batches that are timed."""
    return BATCHES[:2] if bench.smoke else BATCHES


def measure_all(bench: Bench) -> None:
    """All pieces that there is time for."""
    bench.piece("machine", 10, lambda: about(bench))
    for effort in EFFORTS:
        steps_of(bench, effort)
    bench.piece("standard", 30, lambda: training(bench, "standard", keep=APPLY_SECONDS))
    if bench.found.get("standard", {}).get("steps"):
        bench.piece("apply", 10, lambda: applying(bench))
    bench.piece("thorough", 30, lambda: training(bench, "thorough", keep=5.0))


def about(bench: Bench) -> dict[str, Any]:
    """The machine, and whether the device computes as the CPU does."""
    facts = describe()
    facts["measured on"] = in_words(bench.device)
    facts["date"] = time.strftime("%Y-%m-%d", time.gmtime())
    facts["machine"] = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    facts["differs from the CPU"] = trial(bench.device) or "within the tolerance"
    return {"facts": facts}


# --- steps


def steps_of(bench: Bench, effort: str) -> None:
    """Time training steps of an effort, with each size of a batch."""
    wanted = [f"step, {effort}, batch {n}" for n in batches(bench)]
    if all(bench.found.get(name, {}).get("done") for name in wanted) or bench.left < 25:
        return
    bank, geometry = bank_of(bench, effort)
    for name, n in zip(wanted, batches(bench), strict=True):
        bench.piece(name, 20, lambda n=n: time_steps(bench, effort, bank, geometry, n))


def bank_of(bench: Bench, effort: str) -> tuple[LabelBank, Geometry]:
    """The label maps of the head that is used for training."""
    settings = settings_for(effort, bench.settings(effort))
    scan = open_scan(bench.scans[0])
    mask = load_mask(bench.masks[0], like=scan)
    geometry = training_geometry(mask, scan.grid, settings)
    builder = BankBuilder(geometry, settings, np.random.default_rng(0))
    builder.add(make_example(scan.name, scan.load(), mask, geometry))
    return builder.build(), geometry


def time_steps(
    bench: Bench, effort: str, bank: LabelBank, geometry: Geometry, batch: int
) -> dict[str, Any]:
    """Milliseconds of a step, of its network alone, and what the card was busy with."""
    settings = settings_for(effort, bench.settings(effort) | {
        "training.batch_size": batch, "training.context_fraction": 0,
        "training.validation_heads": 1,
    })
    if bench.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(bench.device)
    task = segmenter_task(bank, geometry, settings, bench.device)
    precision = probe_precision(task.net, geometry.shape, bench.device, batch)
    with busy(bench.device) as use:
        whole = time_step(bench, task, precision)
    fixed = task.draw(np.random.default_rng(1))
    network = time_step(bench, replace(task, draw=lambda _: fixed), precision)
    peak = torch.cuda.max_memory_allocated(bench.device) if bench.device.type == "cuda" else 0
    return {
        "grid": list(geometry.shape), "precision": precision.dtype,
        "channels_last": precision.channels_last, "step_ms": whole, "network_ms": network,
        "share": network / whole, "utilisation": use(), "peak_mib": peak / 2**20,
    }


def time_step(bench: Bench, task: Task, precision: Any) -> float:
    """Milliseconds of a step, mean of many: a device works behind the program's back."""
    state = begin(task, bench.device)
    state.compute_in(precision)
    warm, limit = (1, 0.1) if bench.smoke else (5, STEP_SECONDS)
    with precision.computing():
        for _ in range(warm):
            take_step(state, task)
        synchronise(bench.device)
        started, n = time.perf_counter(), 0
        while time.perf_counter() - started < limit:
            for _ in range(2):
                take_step(state, task)
            n += 2
            state.losses.clear()
            if n % 10 == 0:  # as often as training reads its loss
                synchronise(bench.device)
        synchronise(bench.device)
    return 1e3 * (time.perf_counter() - started) / n


def synchronise(device: torch.device) -> None:
    """Wait for what a device was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextlib.contextmanager
def busy(device: torch.device) -> Iterator[Callable[[], float | None]]:
    """Ask the driver five times a second how busy the card is; None where it does not say."""
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits",
               "-lms", "200", "-i", str(device.index or 0)]  # fmt: skip
    said: list[str] = []
    asked = None
    if device.type == "cuda":
        with contextlib.suppress(OSError):
            asked = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield lambda: float(np.mean([float(x) for x in said])) if said else None
    finally:
        if asked is not None:
            asked.terminate()
            said += [x for x in asked.communicate()[0].split() if x.isdigit()]


# --- trainings, and what they are good for


def training(bench: Bench, effort: str, keep: float) -> dict[str, Any]:
    """Train as long as there is time, but for `keep` seconds; the next call continues."""
    study = study_of(bench, effort)
    path = RoundFolder(study.rounds.folder(0)).segmenter
    before = bench.found.get(effort, {})
    started, last, validation = time.monotonic(), step_of(path, "segmenter"), before.get("dice")
    n_steps = study.settings().training.steps
    events = stages.run(study, stages=["train"], device=str(bench.device))
    with contextlib.closing(events):  # type: ignore[type-var]
        for event in events:
            if isinstance(event, Progress) and event.stage == "train":
                last, n_steps = event.step, event.n_steps
                validation = event.metrics.get("validation_dice", validation)
                if bench.left < keep:
                    break
    seconds = before.get("seconds", 0.0) + time.monotonic() - started
    return {"done": last >= n_steps, "steps": last, "of": n_steps, "seconds": seconds,
            "dice": validation}  # fmt: skip


def study_of(bench: Bench, effort: str) -> Study:
    """A study of the heads with the first one painted."""
    folder = bench.out / effort
    if folder.exists():
        return Study.open(folder)
    painted = {open_scan(bench.scans[0]).name: bench.masks[0]}
    return Study.create(
        folder, bench.scans, painted, effort=effort, overrides=bench.settings(effort)
    )


def applying(bench: Bench) -> dict[str, Any]:
    """Masks of ten scans by the model that there is: seconds of each, and Dice."""
    path = RoundFolder(study_of(bench, "standard").rounds.folder(0)).segmenter
    model = load_segmenter(path, bench.device)
    model = replace(model, settings=override(model.settings, bench.settings("standard")))
    seconds, dices = [], []
    for scan, mask in list(zip(bench.scans, bench.masks, strict=True))[1:]:
        taken, found = apply_one(model, scan, mask)
        seconds.append(taken)
        dices.append(found)
        if bench.left < 5:
            break
    done = bool(bench.found.get("standard", {}).get("done"))  # else again, when it is trained
    return {
        "done": done, "scans": len(seconds), "first_seconds": seconds[0],
        "seconds": float(np.mean(seconds[1:] or seconds)), "steps": step_of(path, "segmenter"),
        "dice": float(np.mean(dices)), "worst": float(np.min(dices)), "said": model.told(),
    }


def apply_one(model: Segmenter, path: Path, mask: Path) -> tuple[float, float]:
    """Seconds from file to mask, and its Dice with the reference."""
    started = time.perf_counter()
    scan = open_scan(path)
    volume = scan.load()
    found = to_mask(predict(model, volume), volume, model.settings)
    taken = time.perf_counter() - started
    return taken, dice(found, load_mask(mask, like=scan)) if found.any() else 0.0


# --- the table


def table(found: dict[str, Any]) -> str:
    """All that was measured, as Markdown."""
    facts = found.get("machine", {}).get("facts", {})
    lines = ["# On a graphics card", "", *(f"- {name}: {facts[name]}" for name in facts), ""]
    lines += [
        "| effort | batch | grid | precision | step, ms | network, ms | share of the network "
        "| card busy | peak, MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_step_row(name, row) for name, row in found.items() if name.startswith("step, ")]
    lines += ["", *(_training_line(e, found[e]) for e in ("standard", "thorough") if e in found)]
    if "apply" in found:
        lines.append(_apply_line(found["apply"]))
    return "\n".join(lines) + "\n"


def _step_row(name: str, row: dict[str, Any]) -> str:
    _, effort, batch = name.split(", ")
    if "failed" in row:
        return f"| {effort} | {batch.split()[1]} | {row['failed']} | | | | | | |"
    layout = ", channels last" if row["channels_last"] else ""
    use = "-" if row["utilisation"] is None else f"{row['utilisation']:.0f}%"
    peak = f"{row['peak_mib']:.0f}" if row["peak_mib"] else "-"
    cells = (
        effort, batch.split()[1], " x ".join(map(str, row["grid"])), row["precision"] + layout,
        f"{row['step_ms']:.1f}", f"{row['network_ms']:.1f}", f"{100 * row['share']:.0f}%", use,
        peak,
    )
    return f"| {' | '.join(cells)} |"


def _training_line(effort: str, row: dict[str, Any]) -> str:
    if "failed" in row:
        return f"- {effort}: {row['failed']}"
    reached = "not measured yet" if row["dice"] is None else f"{row['dice']:.3f}"
    end = "" if row["done"] else ", stopped there for lack of time"
    return (
        f"- {effort}: {row['steps']} of {row['of']} steps in {row['seconds']:.0f} s{end}; Dice on "
        f"held-out synthetic heads {reached}"
    )


def _apply_line(row: dict[str, Any]) -> str:
    if "failed" in row:
        return f"- applying: {row['failed']}"
    return (
        f"- applying standard after {row['steps']} steps to {row['scans']} scans: "
        f"{row['seconds']:.2f} s a scan (the first {row['first_seconds']:.2f} s); Dice "
        f"{row['dice']:.3f}, worst {row['worst']:.3f}"
    )


if __name__ == "__main__":
    main()
