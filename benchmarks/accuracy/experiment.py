"""Accuracy from one label: the paper's comparisons, through the product's own commands.

    python benchmarks/accuracy/experiment.py [DATA] [OUT] [--seeds 0 1 2] [--folds 0 1 all]
        [--arms control ae_k ...] [--minutes 60] [--effort quick] [--painted NAME]
    python benchmarks/accuracy/keep.py OUT NAME
    python benchmarks/accuracy/tables.py --page docs/accuracy_tables.md

DATA holds scans/ and masks/ of the same names; without it the benchmark says so and is skipped.
Every arm of every fold and seed is one result file in OUT, so that the experiment can be run in
parts: what is there already is not run again, and no new arm is begun after `--minutes`. The first
seed runs all arms, the others the main ones.

The people are split in halves. One half joins the painted scan as the unlabelled pool, the other is
never seen by training, ranking or selection, and is predicted with `singlestrip apply`; the second
fold swaps them. In fold "all" everybody is in the pool, as with a person who wants masks of just
these scans, and it is the pool that is measured. Reference masks are read by the evaluation and, in
the arms that say so, by the stand-in for a person (oracle, corrected) - never by the method.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))
from source import commit

from napari_singlestrip.engine.masks.evaluation import evaluate_folders
from napari_singlestrip.engine.overrides import parse_assignments, settings_for
from napari_singlestrip.study.ranking_report import RankingReport, ranking_report
from napari_singlestrip.study.study import Study

ROOT = Path(__file__).resolve().parents[2]
PAINTED = "sub-07_studyforrest_T1w"
LEFT_OUT = ("mouse", "EPI")
POOR = "_poor_"  # in the names of scans that are in pools only; see poor_scans.py
K_SHARE = 0.5  # of the pool, in the arms that take k pseudo-labels
CORRECTED = (1, 2, 4, 8)
ORDERS = ("top", "worst", "random")
DEFAULT = "default"  # what the program does when nobody decides
SELECTING = ("ae_k", "tta_k", "rank_k", "random_k", "oracle_k")
LABELS = (3, 5, 99)
WORST_AND_BEST = "corrected_4_worst_ae_k"  # what a person does who sees the ranking
ALL_CORRECTED = "corrected_99_top"
MAIN = (
    "initial", "control", "control_synthetic", DEFAULT, "ae_k", "tta_k", "random_k",
    "corrected_4_top", ALL_CORRECTED,
)
FIRST_NETWORKS = (
    "segmenter.pt", "autoencoder.pt", "settings.json", "training_set.json", "metrics.jsonl",
)
PICTURED = ("initial", DEFAULT)  # whose masks are kept, for the mosaics
OF_ALL = ("initial", "ae_k")  # in fold "all"
ARMS = tuple(dict.fromkeys((
    *MAIN, *SELECTING, "all", "two_rounds", WORST_AND_BEST,
    *(f"corrected_{n}_{order}" for order in ORDERS for n in CORRECTED),
    *(f"labels_{n}" for n in LABELS),
)))


def main() -> None:
    options = parse_arguments()
    if no_data(options):
        return
    write_about(options)
    until = time.monotonic() + 60 * options.minutes
    for seed in options.seeds:
        for fold in options.folds:
            piece = Piece(options, fold, seed)
            for arm in options.arms or arms_of(fold, first=seed == options.seeds[0]):
                if piece.result(arm).is_file():
                    continue
                if time.monotonic() > until:
                    print("The time is up; the same command goes on from here.")
                    return
                piece.run(arm)


def parse_arguments() -> argparse.Namespace:
    parser = arguments(__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--folds", nargs="*", default=["0", "1", "all"], choices=["0", "1", "all"])
    parser.add_argument("--arms", nargs="*", choices=ARMS)
    return parser.parse_args()


def write_about(options: argparse.Namespace) -> None:
    """Say what was measured; an experiment in parts may be of several commits."""
    file = options.out / "about.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    commits = dict.fromkeys([*before.get("commits", "").split(), commit()])
    options.out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({
        "commits": " ".join(commits), "effort": options.effort, "painted": options.painted,
        "settings": " ".join(options.changes),
    }, indent=1), encoding="utf-8")


def no_data(options: argparse.Namespace) -> bool:
    """Say so if there are no scans to measure on."""
    missing = not (options.data / "scans").is_dir()
    if missing:
        print(f"skipped: there are no scans in {options.data}")
    return missing


def arguments(description: str | None) -> argparse.ArgumentParser:
    """What all parts of the experiment are told."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", default=ROOT.parent / "shared" / "data")
    default_out = ROOT / "benchmark_results" / "accuracy"
    parser.add_argument("out", type=Path, nargs="?", default=default_out)
    parser.add_argument("--painted", default=PAINTED)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--effort", default="quick")
    parser.add_argument("--set", nargs="*", default=[], dest="changes", metavar="NAME=VALUE")
    return parser


def arms_of(fold: str, *, first: bool) -> tuple[str, ...]:
    """Arms of a piece: all for the first seed, the main ones for the others."""
    if fold == "all":
        return OF_ALL
    return ARMS if first else MAIN


def in_the_experiment(data: Path) -> list[Path]:
    """All scans but those of other species and sequences, which beyond.py is about."""
    return sorted(
        path for path in (data / "scans").glob("*")
        if not any(word in path.name for word in LEFT_OUT)
    )


def split_people(scans: Sequence[Path], painted: str) -> tuple[list[Path], list[Path]]:
    """Halves of the other people's scans: every second person, in the order of their names."""
    others = [p for p in scans if person(p.name) != person(painted)]
    people = sorted({person(p.name) for p in others})
    first = set(people[::2])
    halves: tuple[list[Path], list[Path]] = ([], [])
    for path in others:
        halves[person(path.name) not in first].append(path)
    return halves


def person(name: str) -> str:
    """Whom a scan shows: what stands before the first underscore."""
    return name.split("_")[0]


class Piece:
    """One fold with one seed: a study, and one copy of it for each arm."""

    def __init__(self, options: argparse.Namespace, fold: str, seed: int) -> None:
        scans = in_the_experiment(options.data)
        halves = split_people(scans, options.painted)
        if fold == "all":
            self.pool = self.measured = [*halves[0], *halves[1]]
        else:
            self.pool, self.measured = halves[int(fold)], halves[1 - int(fold)]
        self.measured = [path for path in self.measured if POOR not in path.name]
        self.painted = next(p for p in scans if p.name.startswith(options.painted))
        self.masks = options.data / "masks"
        self.out = options.out / f"fold-{fold}_seed-{seed}"
        self.folder = self.out / "study"
        self.seed, self.effort, self.changes = seed, options.effort, options.changes
        self.fold = fold

    def result(self, arm: str) -> Path:
        """Where the figures of an arm are, or would be."""
        return self.out / f"{arm}.json"

    def run(self, arm: str) -> None:
        """Run an arm and write its figures."""
        began = time.monotonic()
        initial = self.initial()
        if arm == "initial":
            study = initial
        elif arm.startswith("labels_"):
            study = self._with_labels(arm, int(arm.removeprefix("labels_")))
        else:
            study = self._fine_tuned(initial, arm)
        figures = self._measure(study, arm)
        figures["seconds"] = round(time.monotonic() - began, 1)
        self.result(arm).write_text(json.dumps(figures, indent=1))
        mean = np.mean([row["dice"] for row in figures["unseen"]])
        print(f"{self.out.name} {arm}: unseen {mean:.4f}, {figures['seconds']} s", flush=True)
        if study.folder != initial.folder:
            shutil.rmtree(study.folder)

    def initial(self) -> Study:
        """The first ranking, from the painted scan alone."""
        if not self.folder.exists():
            self.new(self.folder, [self.painted])
            self._take_first_networks()
        command("run", self.folder, "--stages", "train,autoencoder,predict,rank", *self.options(),
                unless=self.folder / "rounds" / "00" / "scores.csv")
        return Study.open(self.folder)

    def _take_first_networks(self) -> None:
        """Copy those of another fold of this seed: they are of the painted scan alone."""
        for other in sorted(self.out.parent.glob(f"fold-*_seed-{self.seed}/study/rounds/00")):
            if all((other / name).is_file() for name in (*FIRST_NETWORKS, "scores.csv")):
                mine = self.folder / "rounds" / "00"
                mine.mkdir(parents=True)
                for name in FIRST_NETWORKS:
                    shutil.copy2(other / name, mine)
                return

    def _with_labels(self, arm: str, n: int) -> Study:
        """Train on more labels, the painted scan and others of the pool, drawn at random.

        For as many steps as the other arms take in both of their trainings.
        """
        folder = self.out / arm
        # The same order for every n: more labels are the fewer ones, and others.
        rng = np.random.default_rng([self.seed, 77, *self.fold.encode()])
        drawn = rng.permutation(len(self.pool))[: n - 1]
        self.new(folder, [self.painted, *(self.pool[i] for i in sorted(drawn))])
        settings = settings_for(self.effort, parse_assignments(self.changes))
        steps = settings.training.steps + settings.finetuning.steps
        words = ["--set", f"training.steps={steps}"]
        command("run", folder, "--stages", "train", *self.options(), *words)
        return Study.open(folder)

    def new(self, folder: Path, painted: Sequence[Path]) -> None:
        """Make a study of the pool with the masks of some."""
        shutil.rmtree(folder, ignore_errors=True)
        given = [f"--mask={stem(p)}={self.masks / p.name}" for p in painted]
        command("new", folder, self.painted, *self.pool, *given,
                "--reference", self.masks, "--effort", self.effort)

    def _fine_tuned(self, initial: Study, arm: str) -> Study:
        folder = self.out / arm
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(initial.folder, folder)
        self._decide(Study.open(folder), arm)
        # These train on what the program would; other arms are told what to train on.
        which = "auto" if arm == DEFAULT or arm.startswith("corrected_") else "decided"
        words = ["--set", f"finetuning.pseudo_labels={which}"]
        if arm == "control_synthetic":
            words += ["--set", "finetuning.real_fraction=0"]
        stages = "finetune,autoencoder,predict,rank"
        command("run", folder, "--stages", stages, *words, *self.options())
        if arm == "two_rounds":
            self._decide(Study.open(folder), "ae_k")
            command("run", folder, "--stages", stages, *words, *self.options())
        return Study.open(folder)

    def _decide(self, study: Study, arm: str) -> None:
        """Be the person, or the rule, of an arm."""
        report = ranking_report(study, study.rounds.current())
        if arm == "all":
            self._accept(study, [row.score.scan for row in report.rows])
        elif arm in (*SELECTING, "two_rounds"):
            for name in set(study.decisions.all()) - {stem(self.painted)}:
                study.decisions.forget(name)
            k = round(K_SHARE * len(report.rows))
            self._accept(study, self._order(report, arm)[:k])
        elif arm == WORST_AND_BEST:
            self._decide(study, "ae_k")
            self._correct(study, self._order(report, "worst")[:4])
        elif arm.startswith("corrected_"):
            _, n, order = arm.split("_")
            self._correct(study, self._order(report, order)[: int(n)])

    def _order(self, report: RankingReport, rule: str) -> list[str]:
        """Names of the pool as a rule takes them: rank, top and worst in the program's order."""
        rows = list(report.rows)
        if rule == "ae_k":
            rows.sort(key=lambda row: row.score.autoencoder_error)
        elif rule == "tta_k":
            rows.sort(key=lambda row: -row.score.consistency)
        elif rule == "oracle_k":
            rows.sort(key=lambda row: -(row.dice or 0))
        elif rule.startswith("random"):
            rows = [rows[i] for i in np.random.default_rng([self.seed, 5]).permutation(len(rows))]
        elif rule == "worst":
            rows.reverse()
        return [row.score.scan for row in rows]

    def _correct(self, study: Study, names: Sequence[str]) -> None:
        for name in names:
            command("decide", study.folder, name, "correct",
                    "--mask", self.masks / f"{name}.nii.gz")

    def _accept(self, study: Study, names: Sequence[str]) -> None:
        for name in names:
            study.decisions.decide(name, "accepted")

    def _measure(self, study: Study, arm: str) -> dict[str, object]:
        """Dice and distances on unseen people; on the pool, with what the scores are worth."""
        kept = self.out / f"applied_{arm}" if arm in PICTURED else None
        figures: dict[str, object] = {"unseen": self.applied(study.folder, kept=kept)}
        newest = study.rounds.current()
        if study.rounds.scores_path(newest).is_file():
            report = ranking_report(study, newest)
            figures["pool"] = {r.score.scan: r.dice for r in report.rows}
            figures["errors"] = {r.score.scan: r.score.autoencoder_error for r in report.rows}
            figures["consistency"] = {r.score.scan: r.score.consistency for r in report.rows}
            figures["spearman"] = {k: v.spearman for k, v in report.correlations.items()}
        return figures

    def applied(
        self, study: Path, *words: str, kept: Path | None = None
    ) -> list[dict[str, object]]:
        """Apply a study's latest model to those who are measured, and measure."""
        out = kept or self.out / "applied"
        shutil.rmtree(out, ignore_errors=True)
        command("apply", study, *self.measured, "--out", out, *words)
        rows = evaluated(out, self.masks)
        if kept is None:
            shutil.rmtree(out)
        nothing = {stem(path) for path in self.measured} - {row["scan"] for row in rows}
        if unknown := [name for name in nothing if not (self.masks / f"{name}.nii.gz").is_file()]:
            raise SystemExit(f"No reference in {self.masks} for {', '.join(sorted(unknown))}.")
        return rows + [{"scan": name, "dice": 0.0} for name in sorted(nothing)]

    def options(self) -> list[str]:
        """Options of `singlestrip run`."""
        return run_options(self.seed, self.changes)


def evaluated(masks: Path, references: Path) -> list[dict[str, object]]:
    """Figures of all masks in a folder."""
    rows = [row for row in evaluate_folders(masks, references) if math.isfinite(row.dice)]
    kept = ("dice", "hd95_mm", "mean_surface_distance_mm", "volume_difference_percent")
    return [{"scan": r.name, **{field: getattr(r, field) for field in kept}} for r in rows]


def stem(path: Path) -> str:
    """Name of a scan."""
    return path.name.removesuffix(".nii.gz")


def run_options(seed: int, changes: Sequence[str]) -> list[str]:
    """Seed and settings, as `singlestrip run` takes them."""
    return ["--seed", str(seed), *(word for change in changes for word in ("--set", change))]


def command(*words: object, unless: Path | None = None) -> None:
    """Run a command of the product, unless its result is there already."""
    if unless is not None and unless.exists():
        return
    line = [sys.executable, "-m", "napari_singlestrip", *map(str, words)]
    if words[0] in ("new", "run", "apply"):
        line.append("--quiet")
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
