"""The choices of the method, each changed alone: what it does to the Dice, or to the ranking.

    python benchmarks/accuracy/choices.py [DATA] [OUT] [--groups network fine-tuning ...]
        [--only WORDS] [--seeds 0] [--minutes 60]

Begins with the first studies that experiment.py left in OUT (folds 0 and 1 of a seed), and makes
them if they are not there. Each choice is one result file in OUT/choices, as the arms of the
experiment are; what is there is not run again. People that are measured are never in the pool, but
for the choices of the ranking, which are judged by the correlation of the error with the Dice.

One seed tells what may be worth another look; give that choice, and "nothing", more of them:
`--only nothing finetuning.real_fraction=0 --seeds 0 1 2`.

network: trained on the painted scan, applied to all others. prediction: the same network, applied
otherwise. ranking: another autoencoder, or another error, for the same masks. fine-tuning: one
round on what the ranking selects.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from experiment import Piece, arguments, command, no_data

from napari_singlestrip.study.ranking_report import ranking_report
from napari_singlestrip.study.study import Study

SETTINGS: dict[str, tuple[str, ...]] = {
    "network": (
        "",
        "seed=1",
        "seed=2",
        "label_map.method=quantiles",
        "label_map.method=gmm",
        "label_map.n_bins=[[2,4]]",
        "label_map.n_bins=[[3,3]]",
        "label_map.n_bins=[[6,8]]",
        "label_map.n_bins=[[1,3],[2,3],[2,4],[3,3],[3,4]]",
        "label_map.n_bins=[[3,3],[4,6],[6,8],[8,12],[12,16]]",
        "label_map.denoise=0",
        "label_map.denoise=1.5",
        "label_map.bias_field=0",
        "label_map.oversampling=1",
        "label_map.supervoxels=6",
        "label_map.parts=3",
        "synthesis.isointense_probability=0",
        "synthesis.shapes_probability=0",
        "synthesis.shapes_probability=0.5",
        "synthesis.rotation_deg=30",
        "synthesis.rotation_deg=45",
        "synthesis.warp_std=0.02",
        "synthesis.warp_std=0.05",
        "synthesis.blend=0",
        "synthesis.blend=1",
        "synthesis.bias_std=0.25",
        "synthesis.bias_std=1",
        "synthesis.noise_std=0.03",
        "synthesis.blur_fwhm=1",
        "synthesis.thick_slices=1",
        "synthesis.intensity_std=0",
        "synthesis.crop_probability=0",
        "training.context_fraction=0",
        "training.cross_entropy=0",
        "training.ema=0",
        "training.steps=900",
        "training.steps=3600",
        "network.target=distance",
        "network.norm=channel",
        "network.architecture=synthstrip",
        "conform.spacing_mm=5",
        "conform.spacing_mm=3",
    ),
    "prediction": (
        "",
        "prediction.flip=false",
        "prediction.windows=1",
        "prediction.pitch_deg=0",
        "prediction.threshold=0.5",
        "prediction.threshold=0.7",
        "prediction.largest_component=false",
    ),
    "ranking": (
        "",
        "ranking.views=1",
        "ranking.pitch_deg=0",
        "ranking.error=mse ranking.score=autoencoder",
        "ranking.error=surface ranking.score=autoencoder",
        "autoencoder.latent=8",
        "autoencoder.latent=128",
        "autoencoder.corruption_probability=0",
        "autoencoder.corruption_probability=1",
        "autoencoder.rotation_deg=20",
        "autoencoder.warp_std=0.01",
        "autoencoder.warp_std=0.035",
        "autoencoder.scaling=0.2",
        "autoencoder.centred=false autoencoder.translation=0.15",
        "autoencoder.max_side=48",
        "autoencoder.steps=400",
        "autoencoder.steps=2400",
    ),
    "fine-tuning": (
        "",
        "finetuning.real_fraction=0",
        "finetuning.real_fraction=0.5",
        "finetuning.real_fraction=1",
        "finetuning.steps=1800",
        "finetuning.learning_rate=0.001",
        "finetuning.label_maps=1",
        "finetuning.start=scratch",
        "finetuning.soft_labels=true",
        "finetuning.trusted_weight=1",
        "ranking.fraction=0.4",
        "ranking.fraction=0.5",
        "ranking.fraction=1",
        "ranking.select=varied",
        "ranking.score=autoencoder",
        "ranking.score=consistency",
    ),
}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--groups", nargs="*", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--only", nargs="*", help="just these choices; 'nothing' is one")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    options = parser.parse_args()
    if no_data(options):
        return
    until = time.monotonic() + 60 * options.minutes
    for group in options.groups:
        for words in wanted(SETTINGS[group], options.only, options.seeds):
            file = result_file(options.out, group, words)
            if file.is_file():
                continue
            if time.monotonic() > until:
                print("The time is up; the same command goes on from here.")
                return
            began = time.monotonic()
            figures = MEASURES[group](options, words)
            figures |= {"words": words, "seconds": round(time.monotonic() - began, 1)}
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(figures, indent=1), encoding="utf-8")
            print(f"{group}: {words or 'as it is'}, {figures['seconds']} s", flush=True)


def wanted(choices: Sequence[str], only: Sequence[str] | None, seeds: Sequence[int]) -> list[str]:
    """Choices to be measured; a seed other than 0 is one more word."""
    if only is None:
        only = [words or "nothing" for words in choices]
    elif unknown := set(only) - {"nothing", *choices}:
        raise SystemExit(f"No such choice: {', '.join(sorted(unknown))}.")
    return [
        f"seed={seed} {words}".strip() if seed else words
        for seed in seeds for words in choices if (words or "nothing") in only
    ]


def seed_and_changes(words: str) -> tuple[int, list[str]]:
    """Take the seed from among the words of a choice; 0 without one."""
    parts = words.split()
    seeds = [part for part in parts if part.startswith("seed=")]
    return int(seeds[0].removeprefix("seed=")) if seeds else 0, [p for p in parts if p not in seeds]


def result_file(out: Path, group: str, words: str) -> Path:
    """Where the figures of a choice are, or would be."""
    slug = "".join(c if c.isalnum() or c in "._=-" else "-" for c in words)
    return out / "choices" / group / f"{slug or 'default'}.json"


def network(options: argparse.Namespace, words: str) -> dict[str, object]:
    """Train again, and apply to everybody else."""
    seed, changes = seed_and_changes(words)
    piece = _piece(options, "all", seed, options.out / "choices" / "study", changes)
    piece.new(piece.folder, [piece.painted])
    command("run", piece.folder, "--stages", "train", *piece.options())
    figures = {"unseen": piece.applied(piece.folder)}
    shutil.rmtree(piece.out)
    return figures


def prediction(options: argparse.Namespace, words: str) -> dict[str, object]:
    """Apply the first networks otherwise."""
    seed, changes = seed_and_changes(words)
    rows = []
    for fold in ("0", "1"):
        piece = _piece(options, fold, seed, options.out)
        rows += piece.applied(piece.initial().folder, *_set(changes))
    return {"unseen": rows}


def ranking(options: argparse.Namespace, words: str) -> dict[str, object]:
    """Score the first masks with another autoencoder, or otherwise."""
    seed, changes = seed_and_changes(words)
    figures: dict[str, object] = {}
    for fold in ("0", "1", "all"):
        piece = _piece(options, fold, seed, options.out)
        folder = _copy(piece)
        if any(change.startswith("autoencoder.") for change in changes):
            (folder / "rounds" / "00" / "autoencoder.pt").unlink()
        command("run", folder, "--stages", "autoencoder,rank", *_set(changes), *piece.options())
        report = ranking_report(Study.open(folder), 0)
        figures[fold] = {k: v.spearman for k, v in report.correlations.items()}
        shutil.rmtree(folder)
    return {"spearman": figures}


def fine_tuning(options: argparse.Namespace, words: str) -> dict[str, object]:
    """One round on what the ranking selects, when nobody decides."""
    seed, changes = seed_and_changes(words)
    rows = []
    for fold in ("0", "1"):
        piece = _piece(options, fold, seed, options.out)
        folder = _copy(piece)
        # One after the other: asked for together, a new round is begun, and then ranked.
        # Always ranked again, since a study may be of a time with other defaults.
        for stage in ("rank", "finetune"):
            command("run", folder, "--stages", stage, *_set(changes), *piece.options())
        rows += piece.applied(folder)
        shutil.rmtree(folder)
    return {"unseen": rows}


MEASURES: dict[str, Callable[[argparse.Namespace, str], dict[str, object]]] = {
    "network": network, "prediction": prediction, "ranking": ranking, "fine-tuning": fine_tuning,
}


def _piece(
    options: argparse.Namespace, fold: str, seed: int, out: Path, changes: Sequence[str] = ()
) -> Piece:
    """A piece of the experiment, perhaps elsewhere and with settings changed."""
    changed = argparse.Namespace(**vars(options))
    changed.out, changed.changes = out, [*options.changes, *changes]
    return Piece(changed, fold, seed)


def _copy(piece: Piece) -> Path:
    """A copy of the study of a piece, to be changed."""
    folder = piece.out / "choice"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(piece.initial().folder, folder)
    return folder


def _set(changes: Sequence[str]) -> list[str]:
    return [part for change in changes for part in ("--set", change)]


if __name__ == "__main__":
    main()
