"""The whole method: seconds from one painted mask to ranked pseudo-labels and a fine-tuned model.

    python benchmarks/speed/method.py [--data DIR] [--efforts quick standard] [--out DIR]

The product's own commands are run, on DIR's scans/ and masks/ (reference masks of the same names)
or on sample heads: new, run (to the first ranking), run (fine-tuning). References are read for the
Dice only. OUT/EFFORT keeps the study, a mosaic of each round and results.json; an effort that has
its results.json is not run again, and takes its place in the table.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Table, machine, parser, process, report

from napari_singlestrip.engine.imaging.geometry import conform, resample
from napari_singlestrip.engine.imaging.grid import Volume
from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.pipeline import previews
from napari_singlestrip.sample_data import sample_name, write_sample_heads
from napari_singlestrip.study.ranking_report import ranking_report
from napari_singlestrip.study.round_folder import RoundFolder
from napari_singlestrip.study.study import Study

GREEN = np.array([0.2, 0.9, 0.3], np.float32)
SAMPLE_HEADS = 12
ASKED = {"quick": 600.0}  # seconds in all


def main() -> None:
    options = parse_arguments()
    with kept_or_temporary(options.out) as out:
        scans, masks = heads(options, out)
        found = {effort: results(options, effort, scans, masks, out) for effort in options.efforts}
    # That of when it was measured, which may be an earlier call.
    load = ", ".join(dict.fromkeys(result.get("load", "unknown") for result in found.values()))
    report(tables(found, options), options, load)


def parse_arguments() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--efforts", nargs="*", default=["quick"])
    made.add_argument("--out", type=Path, metavar="DIR", help="kept; a temporary folder otherwise")
    made.add_argument("--painted", default="sub-07_studyforrest_T1w", help="scan of --data")
    made.add_argument("--leave-out", nargs="*", default=["EPI", "mouse"], help="words in names")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--set", nargs="*", default=[], dest="changes", metavar="NAME=VALUE")
    return made.parse_args()


@contextmanager
def kept_or_temporary(out: Path | None) -> Iterator[Path]:
    """The folder asked for, or one that is gone afterwards."""
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="singlestrip-") as name:
        yield Path(name)


def heads(options: argparse.Namespace, out: Path) -> tuple[list[Path], Path]:
    """Scans, the painted one first, and the folder of their reference masks."""
    if options.data is None:
        scans, masks = write_sample_heads(out / "heads", SAMPLE_HEADS)
        options.painted = sample_name(0)
        return scans, masks[0].parent
    scans = [
        path for path in sorted((options.data / "scans").iterdir())
        if not any(word in path.name for word in options.leave_out)
    ]
    scans.sort(key=lambda path: not path.name.startswith(options.painted))
    return scans, options.data / "masks"


def results(
    options: argparse.Namespace, effort: str, scans: list[Path], masks: Path, out: Path
) -> dict[str, Any]:
    """Run one effort, unless its results are there."""
    folder = out / effort
    done = folder / "results.json"
    if done.is_file():
        return dict(json.loads(done.read_text(encoding="utf-8")))
    load = machine()["load"]
    study = folder / "study"
    singlestrip = [sys.executable, "-m", "napari_singlestrip"]
    if not study.exists():
        painted = f"{options.painted}={masks / options.painted}.nii.gz"
        process([*singlestrip, "new", study, *scans, "--mask", painted, "--reference", masks,
                 "--effort", effort, "--quiet"])
    words = ["--seed", str(options.seed), "--quiet"]
    for change in options.changes:
        words += ["--set", change]
    first = process([*singlestrip, "run", study, "--stages", "train,autoencoder,predict,rank",
                     *words])
    second = process([*singlestrip, "run", study, "--rounds", "1", *words])
    found = {"load": load, "first": vars(first), "second": vars(second),
             **described(Study.open(study))}
    for round_ in (0, 1):
        picture = mosaic(Study.open(study), round_)
        previews.save_picture(folder / f"mosaic_{round_:02d}.png", picture, 2)
    done.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def described(study: Study) -> dict[str, Any]:
    """Device, Dice of each scan and what the scores are worth, of both rounds."""
    frozen = RoundFolder(study.rounds.folder(0)).settings
    rounds = []
    for round_ in (0, 1):
        found = ranking_report(study, round_)
        rounds.append({
            "dice": {row.score.scan: row.dice for row in found.rows if row.dice is not None},
            "spearman": {score: value.spearman for score, value in found.correlations.items()},
        })
    device = json.loads(frozen.read_text(encoding="utf-8"))["device"]
    return {"device": device, "rounds": rounds}


def tables(found: dict[str, dict[str, Any]], options: argparse.Namespace) -> list[Table]:
    """Seconds with the Dice they buy; then Dice by contrast."""
    whole = Table(
        "From one painted mask",
        ["effort", "device", "to ranked masks, s (CPU s)", "Dice (worst)",
         "to the fine-tuned model, s more (CPU s)", "Dice (worst)", "in all, s", "asked",
         "reached"],
    )
    contrasts = Table("By contrast", ["effort", "round", "contrast", "scans", "Dice (worst)"])
    for effort, result in found.items():
        first, second = result["first"], result["second"]
        total, asked = first["wall"] + second["wall"], ASKED.get(effort)
        whole.add(
            effort, result["device"], f"{first['wall']:.0f} ({first['cpu']:.0f})",
            in_words(result["rounds"][0]["dice"]), f"{second['wall']:.0f} ({second['cpu']:.0f})",
            in_words(result["rounds"][1]["dice"]), total, asked or "-",
            "-" if asked is None else "yes" if total <= asked else "no",
        )
        for round_, figures in enumerate(result["rounds"]):
            for contrast, dice in by_contrast(figures["dice"]).items():
                contrasts.add(effort, str(round_), contrast, str(len(dice)), in_words(dice))
            worth = figures["spearman"]
            contrasts.notes.append(
                f"{effort}, round {round_}: Spearman with Dice of the autoencoder's error "
                f"{worth['autoencoder_error']:.2f}, of agreement {worth['consistency']:.2f}."
            )
    kind = "sample heads" if options.data is None else "real heads"
    whole.notes.append(f"{kind}, seed {options.seed}; Dice of the pool's pseudo-labels.")
    return [whole, contrasts]


def by_contrast(dice: dict[str, float]) -> dict[str, dict[str, float]]:
    """All, then each contrast, which is how names end."""
    groups = {"all": dice}
    for name, value in sorted(dice.items()):
        groups.setdefault(name.rsplit("_", 1)[-1], {})[name] = value
    return groups


def in_words(dice: dict[str, float]) -> str:
    """Mean, and the worst scan."""
    values = list(dice.values())
    return f"{np.mean(values):.3f} ({min(values):.3f})" if values else "-"


def mosaic(study: Study, round_: int) -> np.ndarray:
    """All pseudo-labels (red) and references (green) in three planes, best rank first."""
    pictures, references = [], study.references.find()
    for row in ranking_report(study, round_).rows:
        scan = open_scan(study.scans.path(row.score.scan))
        volume = scan.load()
        seen = conform(volume, 2.5)
        masks = []
        for path in (study.rounds.pseudo_label_path(round_, scan.name), references.of(scan.name)):
            array = load_mask(path, like=scan).astype(np.float32)
            masks.append(resample(Volume(array, volume.affine), seen.grid) > 0.5)
        picture = previews.head_picture(seen.data, masks[0])
        picture[previews.outline(previews.three_planes(masks[1]))] += GREEN
        pictures.append(np.clip(picture, 0, 1))
    return previews.montage(pictures, 3)


if __name__ == "__main__":
    main()
