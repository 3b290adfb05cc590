"""The whole method on real heads: from one painted mask to pseudo-labels and a fine-tuned model.

    python benchmarks/real_heads.py [DATA] [OUT] [--painted sub-07_studyforrest_T1w]

DATA holds scans/ and masks/ (reference masks of the same names); without such a folder the
benchmark says so and is skipped. The product's own commands are
run: new, run (to the first ranking), run (fine-tuning). References are only for evaluation. Prints
seconds, Dice per contrast and correlations, and writes OUT/results.json and a mosaic a round.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from napari_singlestrip import previews
from napari_singlestrip.engine.geometry import conform, resample
from napari_singlestrip.engine.grid import Volume
from napari_singlestrip.engine.volume import load_mask, open_scan
from napari_singlestrip.ranking_report import ranking_report
from napari_singlestrip.study import Study

ROOT = Path(__file__).resolve().parents[1]
GREEN = np.array([0.2, 0.9, 0.3], np.float32)


def main() -> None:
    options = parse_arguments()
    if not (options.data / "scans").is_dir():
        print(f"skipped: there are no scans in {options.data}")
        return
    study_folder = options.out / "study"
    seconds = {}
    if not study_folder.exists():
        make_study(options, study_folder)
    begun = ["--stages", "train,autoencoder,predict,rank"]
    seconds["first ranking"] = timed("run", study_folder, *begun, *settings(options))
    if options.rounds:
        seconds["fine-tuning"] = timed(
            "run", study_folder, "--rounds", options.rounds, *settings(options)
        )
    study = Study.open(study_folder)
    results = {"seconds": seconds, "rounds": {}}
    for round_ in study.rounds():
        results["rounds"][round_] = describe(study, round_)
        picture = mosaic(study, round_)
        previews.save_picture(options.out / f"mosaic_{round_:02d}.png", picture, 2)
    (options.out / "results.json").write_text(json.dumps(results, indent=2))
    print(json.dumps(seconds))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", default=ROOT.parent / "shared" / "data")
    parser.add_argument("out", type=Path, nargs="?", default=ROOT / "benchmark_results")
    parser.add_argument("--painted", default="sub-07_studyforrest_T1w")
    parser.add_argument("--leave-out", nargs="*", default=["EPI", "mouse"])
    parser.add_argument("--effort", default="quick")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], dest="changes")
    return parser.parse_args()


def make_study(options: argparse.Namespace, folder: Path) -> None:
    scans = [
        path for path in sorted((options.data / "scans").iterdir())
        if not any(word in path.name for word in options.leave_out)
    ]
    painted = options.data / "masks" / f"{options.painted}.nii.gz"
    timed(
        "new", folder, *scans, "--mask", f"{options.painted}={painted}",
        "--reference", options.data / "masks", "--effort", options.effort,
    )


def settings(options: argparse.Namespace) -> list[str]:
    words = ["--seed", str(options.seed)]
    for change in options.changes:
        words += ["--set", change]
    return words


def timed(*words: object) -> float:
    """Run a command of the product and return its seconds."""
    start = time.monotonic()
    command = [sys.executable, "-m", "napari_singlestrip", *map(str, words), "--quiet"]
    subprocess.run(command, check=True)
    return round(time.monotonic() - start, 1)


def describe(study: Study, round_: int) -> dict[str, object]:
    """Print and return Dice per contrast and what the scores are worth."""
    report = ranking_report(study, round_)
    dices = {row.score.scan: row.dice for row in report.rows if row.dice is not None}
    groups = {"all": list(dices.values())}
    for name, dice in dices.items():
        groups.setdefault(name.rsplit("_", 1)[-1], []).append(dice)
    print(f"round {round_}")
    for group, values in groups.items():
        print(f"  {group:8s} n {len(values):3d}  mean {np.mean(values):.4f}  min {min(values):.3f}")
    for score, value in report.correlations.items():
        print(f"  {score:20s} Spearman {value.spearman:.2f}  Pearson {value.pearson:.2f}")
    return {
        "dice": dices,
        "spearman": {score: value.spearman for score, value in report.correlations.items()},
    }


def mosaic(study: Study, round_: int) -> np.ndarray:
    """All pseudo-labels (red) and references (green) in three planes, best rank first."""
    pictures = []
    for row in ranking_report(study, round_).rows:
        scan = open_scan(study.scan_path(row.score.scan))
        volume = scan.load()
        seen = conform(volume, 2.5)
        masks = []
        for path in (study.pseudo_label_path(round_, scan.name), study.reference_path(scan.name)):
            array = load_mask(path, like=scan).astype(np.float32)
            masks.append(resample(Volume(array, volume.affine), seen.grid) > 0.5)
        picture = previews.head_picture(seen.data, masks[0])
        picture[previews.outline(previews.three_planes(masks[1]))] += GREEN
        pictures.append(np.clip(picture, 0, 1))
    return previews.montage(pictures, 3)


if __name__ == "__main__":
    main()
