"""How good the first suggestion is: by the network that comes with the program, and by shape.

    python benchmarks/effort/first_suggestion.py --data DIR [--half dev test] [--shape]
        [--model FILE] [--threshold 0.5 0.6] [--border -1 0]

DIR holds scans/ and masks/ of the same names; without it the benchmark says so and is skipped. The
people are split in halves by name, as for docs/accuracy.md: choices (threshold, border, which of
several networks) are made on "dev" and told on "test". The scan that is painted there is in "dev",
since nobody painted here.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "accuracy"),
                str(Path(__file__).resolve().parents[1])]
from experiment import PAINTED, in_the_experiment, split_people, stem  # noqa: E402

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan  # noqa: E402
from napari_singlestrip.engine.learning import first_network  # noqa: E402
from napari_singlestrip.engine.learning.model import load_model  # noqa: E402
from napari_singlestrip.engine.learning.segmenter import load_segmenter, predict, to_mask  # noqa: E402
from napari_singlestrip.engine.masks.growing import suggest_brain  # noqa: E402
from napari_singlestrip.engine.masks.metrics import dice, hd95_mm  # noqa: E402
from napari_singlestrip.engine.overrides import override  # noqa: E402

CPU = torch.device("cpu")
Found = tuple[str, float, float, float]  # way, Dice, HD95 in mm, seconds


def main() -> None:
    """Print a line for each scan, and means and worst of each way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--half", nargs="*", default=["dev", "test"], choices=["dev", "test"])
    parser.add_argument("--model", type=Path, default=first_network.PATH)
    parser.add_argument("--threshold", type=float, nargs="*", default=[])
    parser.add_argument("--border", type=float, nargs="*", default=[])
    parser.add_argument("--shape", action="store_true")
    options = parser.parse_args()
    if not (options.data / "scans").is_dir():
        print(f"skipped: there are no scans in {options.data}")
        return
    for half in options.half:
        scans = scans_of(options.data, half)
        rows = {stem(path): list(ways(path, options)) for path in scans}
        for name, found in rows.items():
            print(half, name, *(f"{way}: {d:.4f}, {mm:.1f} mm, {s:.1f} s;"
                                for way, d, mm, s in found), flush=True)
        for column in zip(*rows.values(), strict=True):
            dices = [d for _, d, _, _ in column]
            print(f"{half} {column[0][0]}: Dice {np.mean(dices):.4f}, worst {min(dices):.3f}, HD95 "
                  f"{np.mean([mm for *_, mm, _ in column]):.1f} mm, {len(dices)} scans")


def scans_of(data: Path, half: str) -> list[Path]:
    """The scans of a half of the people."""
    scans = in_the_experiment(data)
    _, test = split_people(scans, PAINTED)
    return test if half == "test" else sorted({*scans} - {*test})


def ways(path: Path, options: argparse.Namespace) -> Iterator[Found]:
    """Suggest the brain of a scan in each way, and measure."""
    scan = open_scan(path)
    reference = load_mask(options.data / "masks" / path.name, like=scan)
    volume = scan.load()

    def measured(way: str, mask: np.ndarray, began: float) -> Found:
        seconds = time.process_time() - began
        distance = hd95_mm(mask, reference, scan.grid.spacing) if mask.any() else np.nan
        return way, dice(mask, reference), distance, seconds

    if options.shape:
        began = time.process_time()
        yield measured("shape", suggest_brain(volume.data, scan.grid.spacing), began)
    began = time.process_time()
    segmenter = (load_segmenter(options.model, CPU) if options.model.suffix == ".pt"
                 else load_model(options.model, CPU).segmenter)
    found, own = predict(segmenter, volume), segmenter.settings.prediction
    thresholds, borders = options.threshold or [own.threshold], options.border or [own.border_mm]
    for threshold, border in product(thresholds, borders):
        changes = {"prediction.threshold": threshold, "prediction.border_mm": border}
        mask = to_mask(found, volume, override(segmenter.settings, changes))
        yield measured(f"{threshold:g}, {border:g} mm", mask, began)


if __name__ == "__main__":
    main()
