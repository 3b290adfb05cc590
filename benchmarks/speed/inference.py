"""From a scan's file to its mask's file: ours, deepbet's and brainextractor's, as whole processes.

    python benchmarks/speed/inference.py [--data DIR] [--study DIR] [--standard-study DIR]

The scan is a T1w head on 256^3 voxels of 1 mm: one of --data, or else a sample head. Peers that
are not installed are skipped. Models: those of --study and --standard-study; where one is not
given, a model is trained for a few steps, which is enough for timing but not for a good mask. The
Dice with a reference mask says what the time bought. Then many scans in one process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil
from measuring import (
    ROOT,
    Table,
    Usage,
    judged,
    machine,
    median,
    parser,
    process,
    processes_in_turns,
    report,
    stopwatch,
)

sys.path.append(str(ROOT / "benchmarks"))
from other_tools import COMMANDS, is_installed

from napari_singlestrip.engine.imaging.geometry import resample
from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.engine.masks.metrics import dice
from napari_singlestrip.sample_data import render_head, write_sample_heads
from napari_singlestrip.study.volumes_table import MASK_SUFFIX

SIDE = 256
SCAN, REFERENCE = "sub-09_seg3d_T1w", "reference.nii.gz"  # not the scan that models train on
ASKED = {"quick": 0.5, "standard": 1.0}  # of deepbet's CPU seconds
STEPS = {"quick": 300, "standard": 40}
READ_AND_WRITE = (
    "import sys, nibabel as n, numpy as p; i = n.load(sys.argv[1]); d = p.asanyarray(i.dataobj); "
    "n.save(n.Nifti1Image((d > d.mean()).astype(p.uint8), i.affine), sys.argv[2])"
)
STAGES = (
    ("napari_singlestrip.pipeline.trained_model", "open_model", "opening the model"),
    ("napari_singlestrip.engine.imaging.scan", "Scan.load", "reading the scan"),
    ("napari_singlestrip.engine.learning.segmenter", "conform", "to the network's grid"),
    ("napari_singlestrip.engine.learning.segmenter", "_predict_all", "network (floor of the rest)"),
    ("napari_singlestrip.pipeline.apply", "to_mask", "to the scan's grid, leaks and border"),
    ("napari_singlestrip.pipeline.apply", "score_mask", "autoencoder, to flag masks"),
    ("napari_singlestrip.pipeline.apply", "save_mask", "writing the mask"),
)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--scans", type=int, default=100, help="in one process")
    options = arguments.parse_args()
    load = machine()["load"]
    with tempfile.TemporaryDirectory(prefix="singlestrip-") as name:
        folder = Path(name)
        scan = make_scan(options.data, folder)
        models = {
            "quick": options.study or train(folder, options.data, "quick"),
            "standard": options.standard_study or train(folder, options.data, "standard"),
        }
        given = {"quick": bool(options.study), "standard": bool(options.standard_study)}
        tables = [
            one_scan(scan, models, given, folder, options),
            stages(scan, models, folder),
            many_scans(scan, models["quick"], folder, options.scans),
        ]
    report(tables, options, load)


def make_scan(data: Path | None, folder: Path) -> Path:
    """A head on 256^3 voxels of 1 mm, and its mask beside it."""
    if data is not None and (path := data / "scans" / f"{SCAN}.nii.gz").is_file():
        scan = open_scan(path)
        mask = load_mask(data / "masks" / path.name, like=scan)
        volume = scan.load()
    else:
        head = render_head(1, spacing_mm=2.0)
        volume, mask = Volume(head.data.astype(np.float32), head.affine), head.mask
    middle = (volume.affine @ [*((np.array(mask.shape) - 1) / 2), 1])[:3]
    affine = np.eye(4)
    affine[:3, 3] = middle - (SIDE - 1) / 2
    grid = Grid((SIDE,) * 3, affine)
    values = resample(volume, grid, fill=0.0)
    values *= 1000 / np.percentile(values, 99.9)
    inside = resample(Volume(mask.astype(np.float32), volume.affine), grid, fill=0.0) > 0.5
    path = folder / "scan_T1w.nii.gz"
    nib.save(nib.Nifti1Image(np.clip(values, 0, 4000).astype(np.int16), affine), path)
    nib.save(nib.Nifti1Image(inside.astype(np.uint8), affine), folder / REFERENCE)
    return path


def train(folder: Path, data: Path | None, effort: str) -> Path:
    """Train a model for a few steps, on the painted scan of the data or on a sample head."""
    study = folder / effort
    painted = None if data is None else next((data / "scans").glob("sub-07*T1w.nii.gz"), None)
    if painted is not None:
        mask = painted.parent.parent / "masks" / painted.name
    else:
        scans, masks = write_sample_heads(folder / f"heads_{effort}", 2, spacing_mm=2.0)
        painted, mask = scans[0], masks[0]
    name = painted.name.removesuffix(".nii.gz")
    process(ours("new", study, painted, "--mask", f"{name}={mask}"))
    process(ours(
        "run", study, "--effort", effort, "--stages", "train,autoencoder",
        "--set", f"training.steps={STEPS[effort]}", "--set", "autoencoder.steps=20",
    ))
    return study


def ours(*arguments: str | Path) -> list[str | Path]:
    """Our command line."""
    return [sys.executable, "-m", "napari_singlestrip", *arguments]


def one_scan(
    scan: Path, models: dict[str, Path], given: dict[str, bool], folder: Path,
    options: argparse.Namespace,
) -> Table:
    """Let the tools take turns on one scan."""
    table = Table(
        f"From file to mask file, {SIDE}^3, whole processes (medians)",
        ["tool", "CPU s", "s", "peak MiB", "CPU, of deepbet's", "asked", "reached", "Dice"],
    )
    masks = {
        effort: folder / f"out_{effort}" / f"scan_T1w{MASK_SUFFIX}" for effort in models
    }
    commands: dict[str, Sequence[str | Path]] = {
        effort: ours("apply", model, scan, "--overwrite", "--out", masks[effort].parent)
        for effort, model in models.items()
    }
    for name, command in COMMANDS.items():
        if not is_installed(name):
            table.notes.append(f"{name} is skipped: it is not installed.")
            continue
        masks[name] = folder / f"{name}.nii.gz"
        commands[name] = [*command, scan, masks[name]]
    floor = folder / "floor.nii.gz"
    commands["floor: import torch"] = [sys.executable, "-c", "import torch"]
    commands["floor: read, write"] = [sys.executable, "-c", READ_AND_WRITE, scan, floor]
    if "brainextractor" in commands:
        compile_brainextractor(commands["brainextractor"][0], folder)
    usages = processes_in_turns(commands, options.repeats, once=["brainextractor"])
    for name in commands:
        add_row(table, name, usages, overlap(masks[name], folder) if name in masks else "-")
    for effort, ready in given.items():
        if not ready:
            table.notes.append(
                f"{effort}: a model of {STEPS[effort]} steps, for timing only; its Dice says only "
                "whether a brain was found."
            )
    table.notes.append(
        "Dice with a reference mask made by another tool: what counts as brain differs between "
        "tools by more than a few hundredths."
    )
    table.notes.append("brainextractor (BET) takes its turn once only, with its code compiled.")
    return table


def compile_brainextractor(command: str | Path, folder: Path) -> None:
    """Let it compile itself, which it does when it is first run, on a small ball."""
    away = np.indices((40,) * 3) - 19.5
    ball = 1000 * np.clip(15 - np.sqrt((away**2).sum(0)), 0, 1)
    nib.save(nib.Nifti1Image(ball.astype(np.int16), np.diag([6, 6, 6, 1])), folder / "ball.nii.gz")
    process([command, folder / "ball.nii.gz", folder / "ball_mask.nii.gz"])


def add_row(table: Table, name: str, usages: dict[str, list[Usage]], found: str | float) -> None:
    """Add the medians of one tool."""
    cpu = median([usage.cpu for usage in usages[name]])
    wall = median([usage.wall for usage in usages[name]])
    peak = f"{max(usage.peak_mib for usage in usages[name]):.0f}"
    share, asked, reached = "-", "-", "-"
    if "deepbet" in usages:
        ratio = cpu / median([usage.cpu for usage in usages["deepbet"]])
        share = f"{ratio:.2f}"
        if name in ASKED:
            asked, reached = f"at most {ASKED[name]}", judged(ratio, ASKED[name])
    table.add(name, cpu, wall, peak, share, asked, reached, found)


def overlap(path: Path, folder: Path) -> str | float:
    """Dice of a mask with the reference."""
    if not path.is_file():
        return "no brain"
    found, reference = (np.asanyarray(nib.load(p).dataobj) > 0 for p in (path, folder / REFERENCE))
    return float(dice(found, reference))


def stages(scan: Path, models: dict[str, Path], folder: Path) -> Table:
    """Say where our time goes, in one process that is warm."""
    from napari_singlestrip.pipeline.apply import apply

    table = Table("Where the time of ours goes, second scan of a process (CPU ms)", ["stage"])
    columns: list[dict[str, float]] = []
    for effort, model in models.items():
        out = folder / f"stages_{effort}"
        list(apply(model, [scan], out, device="cpu"))
        with stopwatch(STAGES, "the rest") as taken:
            list(apply(model, [scan], out, device="cpu", overwrite=True))
        table.columns.append(effort)
        columns.append(taken)
    for words in [*(stage[2] for stage in STAGES), "the rest"]:
        table.add(words, *(1e3 * column[words] for column in columns))
    table.add("together", *(1e3 * sum(column.values()) for column in columns))
    return table


def many_scans(scan: Path, model: Path, folder: Path, n: int) -> Table:
    """Apply to one scan again and again, in one process, and watch its memory."""
    copies = folder / "copies"
    copies.mkdir()
    for i in range(n):
        (copies / f"head-{i:03d}_T1w.nii.gz").symlink_to(scan)
    child = subprocess.Popen(
        ours("apply", model, copies, "--out", folder / "many", "--events"),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.PIPE, text=True,
    )
    watched, seen = psutil.Process(child.pid), []
    assert child.stdout is not None
    for line in child.stdout:
        if json.loads(line).get("event") == "Progress":
            times = watched.cpu_times()
            spent = times.user + times.system
            seen.append((spent, time.perf_counter(), watched.memory_info().rss / 2**20))
    child.wait()
    cpu, clock, memory = np.array(seen).T
    table = Table(f"{n} scans in one process, quick", ["what", "first half", "second half"])
    half = n // 2
    for what, at in (("CPU s a scan, after the first", cpu), ("s a scan by the clock", clock)):
        each = np.diff(at)
        table.add(what, np.median(each[:half]), np.median(each[half:]))
    table.add("memory after a scan, MiB (median)", *(
        f"{np.median(part):.0f}" for part in (memory[:half], memory[half:])
    ))
    table.notes.append(f"First scan, with the start of the process: {cpu[0]:.2f} CPU s.")
    table.notes.append("While a scan is predicted, the next is read and the last one written.")
    return table


if __name__ == "__main__":
    main()
