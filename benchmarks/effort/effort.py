"""How much of a person's work it takes until a mask is right: curves over slices and seconds.

    python benchmarks/effort/effort.py --data DIR [--first DIR] [--out DIR] [--half test]
        [--orders even doubt worst] [--hands strokes lasso] [--seeds 0 1] [--every 1]

DIR of --data holds scans/ and masks/ of the same names; without it the benchmark says so and is
skipped. --first holds first masks of the same names; without it a network is trained on the
painted scan with the program's own commands. A simulated person (person.py) sets slices right, one
after another, each on the mask as it is by then; the rest of the mask follows in the ways of
ways.py. Nobody of the painted person is measured; the others are split in halves, dev and test,
as in benchmarks/accuracy/experiment.py.

Orders: `even`, as many evenly spaced slices as are to be set; `doubt`, the slice that the program
asks for next; `worst`, the slice with the largest true error, which nobody can know.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent), str(FOLDER.parent / "accuracy")]
from experiment import PAINTED, command, in_the_experiment, person, split_people, stem  # noqa: E402
from person import Hand  # noqa: E402
from source import commit  # noqa: E402
from table import page  # noqa: E402
from ways import alone, ways  # noqa: E402

from napari_singlestrip.engine.imaging.scan import open_scan  # noqa: E402
from napari_singlestrip.engine.masks.cleanup import bounding_box  # noqa: E402
from napari_singlestrip.engine.masks.metrics import dice, hd95_mm  # noqa: E402
from napari_singlestrip.engine.masks.next_slice import next_slice  # noqa: E402
from napari_singlestrip.engine.masks.spreading import Follower, SetSlice  # noqa: E402

COUNTS = (1, 3, 5, 10)
ROOM_MM = 25.0
WAYS = ("slices alone", "one Gaussian", "surface only", "surface and picture")


@dataclass(frozen=True, eq=False)
class Case:
    """A scan with its first mask and its reference, cut to the brain (`box` of the scan)."""

    name: str
    image: np.ndarray
    first: np.ndarray
    reference: np.ndarray
    spacing: tuple[float, float, float]
    axis: int
    box: tuple[slice, ...]


def main() -> None:
    options = parse_arguments()
    if not (options.data / "scans").is_dir():
        print(f"skipped: there are no scans in {options.data}")
        return
    options.out.mkdir(parents=True, exist_ok=True)
    scans = in_the_experiment(options.data)
    halves = dict(zip(("dev", "test"), split_people(scans, options.painted), strict=True))
    chosen = [p for half in options.half for p in halves[half]]
    first = options.first or first_masks(options, scans)
    rows = []
    for path in chosen:
        began = time.process_time()
        case = load(path, first / path.name, options.data / "masks" / path.name, options.every)
        rows += measured(case, options)
        print(f"{case.name}: {time.process_time() - began:.0f} s of processor", flush=True)
        result = {"commit": commit(), "half": options.half, "every": options.every, "rows": rows}
        (options.out / "effort.json").write_text(json.dumps(result), encoding="utf-8")
    (options.out / "effort.md").write_text(page(rows), encoding="utf-8")
    print(page(rows))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--first", type=Path)
    default = FOLDER.parents[1] / "benchmark_results" / "effort"
    parser.add_argument("--out", type=Path, default=default)
    parser.add_argument("--painted", default=PAINTED)
    parser.add_argument("--half", nargs="*", choices=("dev", "test"), default=["test"])
    orders = ("even", "doubt", "worst")
    parser.add_argument("--orders", nargs="*", choices=orders, default=orders)
    parser.add_argument("--hands", nargs="*", choices=("strokes", "lasso"), default=["strokes"])
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=WAYS)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument(
        "--every", type=int, default=1, help="take every n-th voxel within slices: quicker"
    )
    return parser.parse_args()


def first_masks(options: argparse.Namespace, scans: Sequence[Path]) -> Path:
    """Masks of a network that learned the painted scan alone, at effort quick."""
    study, out = options.out / "study", options.out / "first"
    painted = next(p for p in scans if stem(p) == options.painted)
    mask = f"--mask={stem(painted)}={options.data / 'masks' / painted.name}"
    command("new", study, painted, mask, "--effort", "quick", unless=study)
    command("run", study, "--stages", "train", "--seed", "0",
            unless=study / "rounds" / "00" / "segmenter.pt")
    others = [p for p in scans if p != painted]
    command("apply", study, *others, "--out", out, unless=out)
    return out


def load(scan: Path, first: Path, reference: Path, every: int) -> Case:
    """Read a case; with `every`, fewer voxels within slices."""
    opened = open_scan(scan)
    spacing, affine = opened.grid.spacing, opened.grid.affine
    masks = [np.asarray(nib.load(p).dataobj) > 0 for p in (first, reference)]
    thick = max(spacing) > 1.5 * min(spacing)
    upright = np.abs(affine[2, :3]) / np.asarray(spacing)
    axis = int(np.argmax(spacing if thick else upright))
    box = bounding_box(masks[0] | masks[1])
    assert box is not None, f"{scan}: no mask"
    few = every if max(opened.grid.shape) > 100 else 1
    cut = tuple(
        slice(max(side.start - round(ROOM_MM / s), 0), side.stop + round(ROOM_MM / s),
              1 if a == axis else few)
        for a, (side, s) in enumerate(zip(box, spacing, strict=True))
    )
    i, p, l = (s * (1 if a == axis else few) for a, s in enumerate(spacing))  # noqa: E741
    image, first_mask, true = (np.ascontiguousarray(a[cut]) for a in (opened.load().data, *masks))
    return Case(stem(scan), image, first_mask, true, (i, p, l), axis, cut)


def measured(case: Case, options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """All curves of a case."""
    yield row(case, case.first, {"n": 0, "seconds": 0.0, "way": "", "order": "", "hand": "",
                                 "seed": 0})
    for seed in options.seeds:
        for hand in options.hands:
            for order in options.orders:
                for way in options.ways:
                    said = {"way": way, "order": order, "hand": hand, "seed": seed}
                    yield from curve(case, said)


def curve(case: Case, said: dict[str, object]) -> Iterator[dict[str, object]]:
    """Figures after some slices; evenly spaced ones are others for each number of them."""
    if said["order"] == "even":
        for n in COUNTS:
            *_, last = corrected(case, said, even_slices(case, n))
            yield row(case, last[0], {**said, "n": n, "seconds": last[1]})
        return
    for n, (mask, seconds) in enumerate(corrected(case, said, [None] * max(COUNTS)), start=1):
        if n in COUNTS:
            yield row(case, mask, {**said, "n": n, "seconds": seconds})


def corrected(
    case: Case, said: dict[str, object], slices: Sequence[int | None]
) -> Iterator[tuple[np.ndarray, float]]:
    """The mask after each slice, and the person's seconds until then."""
    hand = Hand(case.reference, case.spacing, int(str(said["seed"])))
    follow = ways(case.first, case.image, case.spacing)[str(said["way"])]
    asking = getattr(follow, "__self__", None)
    mask, edited, seconds = case.first, case.first.copy(), 0.0
    done: list[SetSlice] = []
    for index in slices:
        if index is None:
            index = chosen_slice(case, mask, done, str(said["order"]), asking)
        if said["hand"] == "lasso":
            drawn, took = hand.lasso(case.axis, index)
        else:
            drawn, took = hand.strokes(case.axis, index, np.moveaxis(mask, case.axis, 0)[index])
        np.moveaxis(edited, case.axis, 0)[index] = drawn
        seconds += took
        done.append(SetSlice(case.axis, index))
        mask = follow(edited, done)
        yield mask, seconds


def chosen_slice(
    case: Case, mask: np.ndarray, done: Sequence[SetSlice], order: str, asking: Follower | None
) -> int:
    """Where to go next: by the program's doubt, or by the true error."""
    if order == "doubt":
        asking = asking or Follower(alone(case.first, mask, done), case.spacing)
        found = next_slice(asking.doubt(), done, case.spacing, case.axis)
        return found.index if found else mask.shape[case.axis] // 2
    others = tuple(a for a in range(3) if a != case.axis)
    wrong = np.count_nonzero(mask ^ case.reference, axis=others)
    wrong[[s.index for s in done]] = -1
    return int(wrong.argmax())


def even_slices(case: Case, n: int) -> list[int]:
    """Evenly spaced over the brain, which a person sees."""
    others = tuple(a for a in range(3) if a != case.axis)
    used = np.flatnonzero(case.reference.any(axis=others))
    places = used[0] + (used[-1] - used[0]) * (np.arange(n) + 0.5) / n
    return [int(p) for p in np.rint(places)]


def row(case: Case, mask: np.ndarray, said: dict[str, object]) -> dict[str, object]:
    """One point of a curve."""
    return {
        "scan": case.name, "person": person(case.name), **said,
        "dice": dice(mask, case.reference),
        "hd95_mm": hd95_mm(mask, case.reference, case.spacing),
    }


if __name__ == "__main__":
    main()
