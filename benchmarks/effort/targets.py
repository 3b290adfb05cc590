"""Whether masks are as good as wanted after some minutes of a person.

    python benchmarks/effort/targets.py --data DIR --suggestion DIR --label DIR [--out DIR]

DIR of --data holds scans/ and masks/ of the same names; without it the benchmark says so and is
skipped. --suggestion and --label hold masks of the same names: those of *First suggestion*, and
those that a network predicted. The simulated person of person.py begins a first mask from nothing
(lasso round ten evenly spaced slices, or eight) or from the suggestion, and
corrects the predicted ones, where the program asks and by strokes. First masks are made of every
head, the painted one, too. What counts is the last slice that was finished in time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent), str(FOLDER.parent / "accuracy")]
from experiment import PAINTED, in_the_experiment, split_people, stem  # noqa: E402
from stepwise import Curve, curve_of  # noqa: E402

LASSOS = (10, 8)  # slices of a first mask from nothing; the fewer where time allows no more
MOST = 16


@dataclass(frozen=True)
class Target:
    """What is wanted."""

    begun: str
    seconds: int
    dice: float


TARGETS = (
    Target("label", 60, 0.97), Target("label", 180, 0.98),
    Target("suggestion", 180, 0.96), Target("suggestion", 360, 0.97),
    Target("nothing", 180, 0.96), Target("nothing", 360, 0.97),
)  # fmt: skip


def main() -> None:
    """Print a line for each target and half of the people."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--suggestion", type=Path, required=True)
    parser.add_argument("--label", type=Path, required=True)
    parser.add_argument("--out", type=Path,
                        default=FOLDER.parents[1] / "benchmark_results" / "effort_targets")
    options = parser.parse_args()
    if not (options.data / "scans").is_dir():
        print(f"skipped: there are no scans in {options.data}")
        return
    scans = in_the_experiment(options.data)
    _, test = split_people(scans, PAINTED)
    print("| begun from | seconds | wanted | half | scans | before | after, worst | reached by |"
          "\n|---|---|---|---|---|---|---|---|")
    for target in TARGETS:
        for half in ("test", "dev"):
            some = [p for p in scans if (p in test) == (half == "test")]
            if target.begun == "label":
                some = [p for p in some if stem(p) != PAINTED]
            curves = [curve_in(p, target, options) for p in some]
            print(f"| {target.begun} | {target.seconds} | {target.dice} | {half} | "
                  f"{told(curves, target)}", flush=True)


def curve_in(scan: Path, target: Target, options: argparse.Namespace) -> Curve:
    """The curve of a scan; from nothing, with as many outlines as there is time for."""
    reference, begun = options.data / "masks" / scan.name, target.begun
    if begun != "nothing":
        kept = options.out / begun / f"{stem(scan)}.json"
        return curve_of(scan, getattr(options, begun) / scan.name, reference, MOST, kept)
    for n in LASSOS:
        kept = options.out / f"{begun}_{n}" / f"{stem(scan)}.json"
        found = curve_of(scan, None, reference, n, kept, hand="lasso", order="even")
        if sum(step.seconds for step in found.steps) <= target.seconds:
            break
    return found


def reached(curve: Curve, seconds: float) -> float:
    """Dice after so many seconds."""
    dice, left = curve.first_dice, seconds
    for step in curve.steps:
        left -= step.seconds
        if left < 0:
            break
        dice = step.dice
    return dice


def told(curves: Sequence[Curve], target: Target) -> str:
    """Cells of a row."""
    dices = [reached(curve, target.seconds) for curve in curves]
    before = np.mean([curve.first_dice for curve in curves])
    return (f"{len(dices)} | {before:.4f} | {np.mean(dices):.4f}, {min(dices):.3f} | "
            f"{sum(d >= target.dice for d in dices)} |")


if __name__ == "__main__":
    main()
