"""How good a first mask is by how many outlines: lasso on slices, then one interpolation.

    python benchmarks/effort/first_mask.py --data DIR [--scans NAME ...] [--seeds 0 1]

DIR holds scans/ and masks/ of the same names; without it the benchmark says so and is skipped. The
simulated person of person.py, whose hand wobbles, goes round each piece of the brain on evenly
spaced slices. An outline is a polygon through the borders of voxels, as the mouse draws it; what it
encloses is computed by the program, as are the slices between.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]
from person import Hand, outline_mm  # noqa: E402
from skimage.measure import find_contours  # noqa: E402

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan  # noqa: E402
from napari_singlestrip.engine.masks.mask_tools import interpolate_slices, painted_slices  # noqa: E402
from napari_singlestrip.engine.masks.metrics import dice  # noqa: E402
from napari_singlestrip.engine.masks.outlines import enclosed  # noqa: E402

COUNTS = (6, 8, 10, 12)
SMALLEST_MM = 15.0  # nobody goes round a smaller piece
INSET = 0.02  # of the brain's length: the first and the last slice show more than a speck
AXES = ("first", "second", "third")


@dataclass(frozen=True)
class Made:
    """A first mask: how many outlines it took, and how good it is."""

    slices: int
    outlines: int
    dice: float


def first_mask(hand: Hand, axis: int, n: int) -> Made:
    """Go round the brain on `n` slices and fill between."""
    used = painted_slices(hand.reference, axis)
    room = INSET * (used[-1] - used[0])
    mask, outlines = np.zeros_like(hand.reference), 0
    places = np.unique(np.round(np.linspace(used[0] + room, used[-1] - room, n)).astype(int))
    plane = tuple(s for a, s in enumerate(hand.spacing) if a != axis)
    for place in places:
        drawn, _ = hand.lasso(axis, int(place))
        made, n_lines = by_lasso(drawn, (plane[0], plane[1]))
        np.moveaxis(mask, axis, 0)[place] = made
        outlines += n_lines
    return Made(len(places), outlines,
                dice(interpolate_slices(mask, axis, hand.spacing), hand.reference))


def by_lasso(drawn: np.ndarray, plane: tuple[float, float]) -> tuple[np.ndarray, int]:
    """Go round what is to be drawn; holes take a stroke of their own, with Shift."""
    made, n = np.zeros_like(drawn), 0
    for line in find_contours(np.pad(drawn, 1).astype(float), 0.5):
        area = enclosed(line - 1, drawn.shape)
        if outline_mm(area, plane) >= SMALLEST_MM:
            made ^= area
            n += 1
    return made, n


def main() -> None:
    """Print a table: Dice by slices, for each axis of each scan."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scans", nargs="*", default=["sub-07_studyforrest_T1w"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1])
    options = parser.parse_args()
    if not (options.data / "scans").is_dir():
        print(f"skipped: there are no scans in {options.data}")
        return
    print("| scan | across axis | slices | outlines | Dice |\n|---|---|---|---|---|")
    for name in options.scans:
        scan = open_scan(options.data / "scans" / f"{name}.nii.gz")
        reference = load_mask(options.data / "masks" / f"{name}.nii.gz", like=scan)
        for axis, n in ((axis, n) for axis in range(3) for n in COUNTS):
            made = [first_mask(Hand(reference, scan.grid.spacing, seed), axis, n)
                    for seed in options.seeds]
            outlines = " to ".join(map(str, sorted({m.outlines for m in made})))
            print(f"| {name} | {AXES[axis]} | {made[0].slices} | {outlines} | "
                  f"{np.mean([m.dice for m in made]):.3f} |", flush=True)


if __name__ == "__main__":
    main()
