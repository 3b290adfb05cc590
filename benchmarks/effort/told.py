"""Whether the program can tell, while slices are set, how good a mask is by now.

    python benchmarks/effort/told.py --data DIR --first NAME=DIR [NAME=DIR ...] [--out DIR]
        [--hand strokes lasso] [--order doubt even]

DIR of --data holds scans/ and masks/ of the same names; without it the benchmark says so and is
skipped. Each NAME=DIR holds masks of the same names to begin with. Each slice that is set was
predicted without knowing it, so that its error there is a sample of the mask's. The curve

    log(1 - Dice) = level + slope * log(1 - Dice of all set slices, as seen before and as set)

and the gain of a further slice are fitted on the people of the half "dev", with the program's own
order and strokes, and told on the half "test". The interval is that of a new person: the root mean
square of the residuals, each person left out in turn, times 2.353 (Student's t, 90%, three degrees
of freedom: the half has four people). The gain of a further slice is a share of 1 - Dice, by the
number of slices. What is fitted stands in napari_singlestrip/engine/judging/dice_so_far.py.
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
from experiment import PAINTED, in_the_experiment, person, split_people, stem  # noqa: E402
from stepwise import curve_of, seen_error  # noqa: E402

FIRST, LAST = 4, 10  # number of slices
STUDENT_T = 2.353
LEAST_ERROR = 0.002  # where nothing was wrong


@dataclass(frozen=True)
class Point:
    """A mask after some slices.

    Attributes
    ----------
    person, begun : str
        Whose, and from which first mask.
    n : int
        Slices.
    seen : float
        1 - Dice of all set slices, as seen before and as set.
    dice, next_dice : float
        True Dice of the mask, and with one slice more.
    """

    person: str
    begun: str
    n: int
    seen: float
    dice: float
    next_dice: float


@dataclass(frozen=True)
class Fitted:
    """Level and slope; half a width in log(1 - Dice); gain of the next slice: a share over n."""

    level: float
    slope: float
    half_width: float
    gain: float

    def middle(self, points: Sequence[Point]) -> np.ndarray:
        """Expected log(1 - Dice)."""
        return self.level + self.slope * logs(points)


def main() -> None:
    """Print what was fitted, and how far off it is."""
    options = parse_arguments()
    if not (options.data / "scans").is_dir():
        print(f"skipped: there are no scans in {options.data}")
        return
    dev, test = (
        {(hand, order): points_of(options, half, hand, order)
         for hand in options.hand for order in options.order}
        for half in split_people(in_the_experiment(options.data), PAINTED)
    )
    fitted = fit(next(iter(dev.values())))
    seen = [p.seen for p in next(iter(dev.values()))]
    print(fitted, f"fitted between {min(seen):.4f} and {max(seen):.4f}\n")
    print("| half | hand, order | begun from | masks | mean absolute error | too high by | "
          "in the interval | its width | gain told, true |\n|---|---|---|---|---|---|---|---|---|")
    for half, found in (("dev", dev), ("test", test)):
        for (hand, order), points in found.items():
            for begun in ("all", *dict.fromkeys(p.begun for p in points)):
                some = [p for p in points if begun in ("all", p.begun)]
                print(f"| {half} | {hand}, {order} | {begun} | {told(fitted, some)}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--first", nargs="+", required=True)
    parser.add_argument("--out", type=Path,
                        default=FOLDER.parents[1] / "benchmark_results" / "effort_told")
    parser.add_argument("--hand", nargs="*", default=["strokes", "lasso"])
    parser.add_argument("--order", nargs="*", default=["doubt", "even"])
    return parser.parse_args()


def points_of(
    options: argparse.Namespace, scans: Sequence[Path], hand: str, order: str
) -> list[Point]:
    """All masks after some slices."""
    found = []
    for begun, folder in (named.split("=", 1) for named in options.first):
        for scan in scans:
            kept = options.out / f"{begun}_{hand}_{order}" / f"{stem(scan)}.json"
            steps = curve_of(scan, Path(folder) / scan.name, options.data / "masks" / scan.name,
                             LAST + 1, kept, hand=hand, order=order).steps
            found += [
                Point(person(scan.name), begun, n, max(seen_error(steps[:n]), LEAST_ERROR),
                      steps[n - 1].dice, steps[n].dice)
                for n in range(FIRST, LAST + 1)
            ]
    return found


def logs(points: Sequence[Point]) -> np.ndarray:
    return np.log([p.seen for p in points])


def fit(points: Sequence[Point]) -> Fitted:
    """Least squares; the width by leaving each person out."""
    level, slope = line(points)
    beside = []
    for who in {p.person for p in points}:
        a, b = line([p for p in points if p.person != who])
        left = [p for p in points if p.person == who]
        beside.append(errors(left) - a - b * logs(left))
    root = float(np.sqrt(np.mean(np.concatenate(beside) ** 2)))
    gained, left = (sum(p.next_dice - p.dice for p in points),
                    sum((1 - p.dice) / p.n for p in points))
    return Fitted(level, slope, STUDENT_T * root, gained / left)


def errors(points: Sequence[Point]) -> np.ndarray:
    return np.log([1 - p.dice for p in points])


def line(points: Sequence[Point]) -> tuple[float, float]:
    slope, level = np.polyfit(logs(points), errors(points), 1)
    return float(level), float(slope)


def told(fitted: Fitted, points: Sequence[Point]) -> str:
    """Cells of a row."""
    middle, true = fitted.middle(points), np.array([p.dice for p in points])
    dice = 1 - np.exp(middle)
    within = np.abs(errors(points) - middle) <= fitted.half_width
    width = np.exp(middle + fitted.half_width) - np.exp(middle - fitted.half_width)
    gain = np.mean((1 - dice) * fitted.gain / [p.n for p in points])
    real = np.mean([p.next_dice - p.dice for p in points])
    return (f"{len(points)} | {np.abs(dice - true).mean():.4f} | {(dice - true).mean():+.4f} | "
            f"{within.mean():.2f} | {width.mean():.3f} | {gain:.4f}, {real:.4f} |")


if __name__ == "__main__":
    main()
