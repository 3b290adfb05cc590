"""How long a person needs until all masks of a pool are right: with learning on, and without.

    python benchmarks/effort/pool.py --data DIR --study FOLDER [FOLDER ...] [--out DIR]
        [--slices 4] [--learn 2] [--round-seconds 765]

DIR holds scans/ and masks/ of the same names; without it the benchmark says so and is skipped. Each
FOLDER is a study of all scans, one painted, at effort quick, ranked once and once more after a
round of fine-tuning (`singlestrip run FOLDER --rounds 1`). It is read only: learning goes on in
copies in `--out`. Every curve and every round is one file, so that the script resumes where it was
stopped.

The simulated person of person.py goes down the ranking. In each mask he sets slices where the
program asks, until he has set `--slices` (what he can know), and, as a bound that nobody can know,
until the true Dice is `GOAL`. Arms: the masks of the first ranking; those after one round of
self-training; and "learning": whenever as many masks were corrected as the window waits for
(`ENOUGH_NEW`), the program's own commands fine-tune on them, predict and rank the others, and the
person goes on with these, at most `--learn` times. Either they are there at once, or after
`--round-seconds` in which he has gone on with the old ones.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent), str(FOLDER.parent / "accuracy")]
from effort import load  # noqa: E402
from experiment import PAINTED, command, in_the_experiment, split_people, stem  # noqa: E402
from source import commit  # noqa: E402
from stepwise import Curve, curve_of, steps_of  # noqa: E402

from napari_singlestrip.study.finetuning_plan import ENOUGH_NEW  # noqa: E402
from napari_singlestrip.study.study import Study  # noqa: E402
from napari_singlestrip.vocabulary import LATER_STAGES  # noqa: E402

GOAL = 0.975
MOST = 16  # slices of a mask; a person gives up then
Stop = Callable[[Curve], int]


@dataclass(frozen=True)
class Pool:
    """A study, the scans of other people in it, and where results go."""

    data: Path
    study: Path
    out: Path

    def order(self, folder: Path, round_: int) -> list[str]:
        """Names of the scans, best first."""
        scores = Study.open(folder).rounds.scores(round_)
        return [row.scan for row in sorted(scores, key=lambda row: row.rank)]

    def curve(self, name: str, folder: Path, round_: int) -> Curve:
        """Curve of a scan's mask of a round."""
        return curve_of(
            self.scan(name), Study.open(folder).rounds.pseudo_label_path(round_, name),
            self.data / "masks" / f"{name}.nii.gz", MOST,
            self.out / "curves" / f"{folder.name}_{round_}" / f"{name}.json",
        )

    def scan(self, name: str) -> Path:
        """File of a scan."""
        return self.data / "scans" / f"{name}.nii.gz"

    def correct(self, folder: Path, round_: int, name: str, n: int) -> None:
        """Keep a mask after `n` slices as corrected, with the program's own command."""
        study = Study.open(folder)
        if study.masks.path(name).is_file():
            return
        first = study.rounds.pseudo_label_path(round_, name)
        case = load(self.scan(name), first, self.data / "masks" / f"{name}.nii.gz", every=1)
        *_, (_, mask) = steps_of(case, n)
        image = nib.load(self.scan(name))
        whole = np.zeros(image.shape[:3], np.uint8)
        whole[case.box] = mask
        file = self.out / f"{name}.nii.gz"
        nib.save(nib.Nifti1Image(whole, image.affine), file)
        command("decide", folder, name, "correct", "--mask", file)
        file.unlink()


@dataclass(frozen=True)
class Done:
    """What became of one scan."""

    name: str
    dice: float
    seconds: float
    slices: int


def main() -> None:
    """Measure each study, and print the tables."""
    options = parse_arguments()
    if not (options.data / "scans").is_dir():
        print(f"skipped: there are no scans in {options.data}")
        return
    dev, test = split_people(in_the_experiment(options.data), PAINTED)
    halves = {"dev": {stem(p) for p in dev}, "test": {stem(p) for p in test}}
    rows: list[dict[str, object]] = []
    for folder in options.study:
        pool = Pool(options.data, folder, options.out / folder.name)
        pool.out.mkdir(parents=True, exist_ok=True)
        for arm, curves in arms(pool, options).items():
            rows += measured(folder.name, arm, curves, options.slices, halves)
        result = {"commit": commit(), "goal": GOAL, "rows": rows}
        (options.out / "pool.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
        print(page(rows), flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--study", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path,
                        default=FOLDER.parents[1] / "benchmark_results" / "effort_pool")
    parser.add_argument("--slices", type=int, default=4, help="set in each mask")
    parser.add_argument("--learn", type=int, default=2, help="rounds while the person works")
    parser.add_argument("--round-seconds", type=float, default=765.0)
    return parser.parse_args()


Curves = Mapping[str, Curve]


def arms(pool: Pool, options: argparse.Namespace) -> dict[str, Curves]:
    """Curves of all scans by arm, in the order in which they are corrected."""
    study = Study.open(pool.study)
    names = pool.order(pool.study, 0)
    found: dict[str, Curves] = {
        "first ranking": {name: pool.curve(name, pool.study, 0) for name in names}
    }
    if study.rounds.scores(1):
        found["one round of self-training"] = {
            name: pool.curve(name, pool.study, 1) for name in pool.order(pool.study, 1)
        }
    if options.learn:
        learned = learning(pool, options.slices, options.learn, ENOUGH_NEW)
        found["learning, masks at once"] = joined(pool, learned)
        late = later(found["first ranking"], learned, options)
        minutes = options.round_seconds / 60
        found[f"learning, masks after {minutes:.0f} minutes"] = joined(pool, late)
    return found


Part = tuple[Path, int, Sequence[str]]  # study, round, scans that are corrected from its masks


def learning(pool: Pool, n: int, times: int, enough: int) -> list[Part]:
    """Fine-tune each time enough masks were corrected; which scans came from which masks."""
    folder = pool.out / f"{pool.study.name}_learning"
    if not folder.is_dir():
        shutil.copytree(pool.study, folder)
        for later_round in Study.open(folder).rounds.numbers():
            if later_round:
                shutil.rmtree(Study.open(folder).rounds.folder(later_round))
    parts: list[Part] = []
    done: set[str] = set()
    for round_ in range(times + 1):
        left = [name for name in pool.order(folder, round_) if name not in done]
        some = left[:enough] if round_ < times else left
        parts.append((folder, round_, some))
        done |= set(some)
        if round_ < times:
            for name in some:
                pool.correct(folder, round_, name, n)
            command("run", folder, "--stages", ",".join(LATER_STAGES),
                    unless=Study.open(folder).rounds.scores_path(round_ + 1))
    return parts


def later(first: Curves, parts: Sequence[Part], options: argparse.Namespace) -> list[Part]:
    """The same where the first new masks come after some minutes, in which work goes on."""
    folder, _, some = parts[0]
    names, seconds = list(first), 0.0
    old = list(some)
    for name in names[len(old):]:
        if seconds >= options.round_seconds:
            break
        seconds += sum(step.seconds for step in first[name].steps[: options.slices])
        old.append(name)
    return [(folder, 0, old), (folder, 1, [name for name in names if name not in old])]


def joined(pool: Pool, parts: Sequence[Part]) -> Curves:
    """Curves of the scans of all parts."""
    return {name: pool.curve(name, folder, round_) for folder, round_, names in parts
            for name in names}


# --- what is told


def measured(
    study: str, arm: str, curves: Curves, n: int, halves: Mapping[str, set[str]]
) -> list[dict[str, object]]:
    """A row for each rule and half of the people."""
    rules: dict[str, Stop] = {f"{n} slices each": lambda curve: n, "true Dice": when_right}
    rows = []
    for rule, stop in rules.items():
        all_done = [finished(name, curve, stop(curve)) for name, curve in curves.items()]
        for half, names in {**halves, "all": set(curves)}.items():
            rows.append({"study": study, "arm": arm, "rule": rule, "half": half,
                         **summary([d for d in all_done if d.name in names])})
    return rows


def when_right(curve: Curve) -> int:
    """After how many slices the mask is as good as wanted, or all that were tried."""
    dices = [curve.first_dice, *(step.dice for step in curve.steps)]
    return next((n for n, value in enumerate(dices) if value >= GOAL), len(curve.steps))


def finished(name: str, curve: Curve, n: int) -> Done:
    """A mask after `n` slices."""
    steps = curve.steps[:n]
    return Done(name, steps[-1].dice if steps else curve.first_dice,
                sum(step.seconds for step in steps), n)


def summary(done: Sequence[Done]) -> dict[str, object]:
    """Figures of some scans; minutes are those of 16."""
    dices = np.array([d.dice for d in done])
    return {
        "scans": len(done), "slices": float(np.mean([d.slices for d in done])),
        "minutes_of_16": 16 * float(np.mean([d.seconds for d in done])) / 60,
        "dice": float(dices.mean()), "worst": float(dices.min()),
        "good": int((dices >= GOAL).sum()), "by_scan": [vars(d) for d in done],
    }


def page(rows: Sequence[Mapping[str, object]]) -> str:
    """A table."""
    lines = [
        f"| study | masks | stops after | half | slices | minutes for 16 | Dice, worst | {GOAL} "
        "reached |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        lines.append(
            f"| {r['study']} | {r['arm']} | {r['rule']} | {r['half']} | {r['slices']:.1f} | "
            f"{r['minutes_of_16']:.1f} | {r['dice']:.4f}, {r['worst']:.3f} | {r['good']} of "
            f"{r['scans']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
