#!/usr/bin/env python3
"""Make napari_singlestrip/sample_data/finished.zip: train on the sample heads, and pack the result.

    python tools/make_sample_study.py WORK_FOLDER [--keep-networks | --tuned]

Runs the real pipeline at quick effort (a few minutes on two cores; run again, it goes on) on twelve
sample heads, the first of which counts as painted, up to the first ranking. Then it leaves out
what is only needed to continue training, stores weights in half precision and heat maps in steps of
1/16, and says whether predictions are the same as before.

With --keep-networks those of the present pack are taken, and nothing is trained: for when other
heads than the painted one have changed, of which they know nothing.

With --tuned the study of the present pack is fine-tuned, with the two masks ranked last corrected
and the three ranked first accepted, and what that adds and changes becomes finetuned.zip.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_map
from napari_singlestrip.engine.learning.checkpoint import load_checkpoint, save_checkpoint
from napari_singlestrip.engine.learning.prediction import to_mask
from napari_singlestrip.engine.learning.segmenter import load_segmenter, predict
from napari_singlestrip.events import Event
from napari_singlestrip.pipeline import stages
from napari_singlestrip.sample_data import sample_name
from napari_singlestrip.sample_data.finished_study import (
    FOLDER,
    PACK,
    TUNED_PACK,
    Heads,
    fold,
    unfold,
)
from napari_singlestrip.sample_data.making import make_samples
from napari_singlestrip.study.document import DOCUMENT_NAME
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import write_records

HEADS = Heads(n=12, seed=0, spacing_mm=2.0)
# Not what a window, a worker or a training left behind.
LEFT_OUT = (
    "thumbnails", "drafts", "job.log", "window.json", "window.lock", "study.json.bak",
    "first_pass.pt", "refreshed_labels",
)
NOT_KEPT = ("weights", "optimiser", "rng")
OF_SCANS = ("pseudo_labels", "reconstructions", "heat_maps", "doubts", "scores.csv")
HEAT_STEPS = 16
N_CORRECTED, N_ACCEPTED = 2, 3


def main(work: Path, keep_networks: bool) -> None:
    """Train in `work`, and write the pack."""
    study = make_study(work)
    if keep_networks:
        take_networks(study)
    show(stages.run(study, rounds=0))
    lean = pack(study, work / "packed", PACK)
    compare(study, lean)


def main_tuned(work: Path) -> None:
    """Fine-tune the study of the pack in `work`, and write what that adds and changes."""
    show(make_samples(work, HEADS.n, seed=HEADS.seed, spacing_mm=HEADS.spacing_mm))
    study = Study.open(unfold(work))
    if study.rounds.current() == 0:
        decide(study)
    show(stages.run(study, rounds=1))
    pack(study, work / "packed", TUNED_PACK, over=PACK)


def decide(study: Study) -> None:
    """Correct what is ranked last, accept what is ranked first."""
    names = [row.scan for row in sorted(study.rounds.scores(0), key=lambda row: row.rank or 0)]
    for name in names[-N_CORRECTED:]:
        truth = study.references.path(name)
        assert truth is not None
        mask = load_mask(truth, like=open_scan(study.scans.path(name)))
        study.masks.save(name, mask, "corrected")
    for name in names[:N_ACCEPTED]:
        study.decisions.decide(name, "accepted")


def pack(study: Study, folder: Path, out: Path, over: Path | None = None) -> Study:
    """Pack a copy of a study that holds no more than eyes and prediction need."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(study.folder, folder, ignore=shutil.ignore_patterns(*LEFT_OUT, ".*"))
    lean = Study.open(folder)
    for round_ in lean.rounds.numbers()[1:]:  # doubts/ holds what the window shows of them
        shutil.rmtree(lean.rounds.folder(round_) / "heat_maps")
    slim(lean)
    fold(folder, HEADS, out, over)
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")
    return lean


def make_study(work: Path) -> Study:
    """Make heads and a study of them, or open what is there."""
    show(make_samples(work, HEADS.n, seed=HEADS.seed, spacing_mm=HEADS.spacing_mm))
    folder, painted = work / FOLDER, sample_name(0)
    if (folder / DOCUMENT_NAME).is_file():
        return Study.open(folder)
    masks = work / "masks"
    return Study.create(
        folder, [work / "scans"], {painted: masks / f"{painted}.nii.gz"}, references=masks,
        overrides={"seed": HEADS.seed},
    )


def take_networks(study: Study) -> None:
    """Take what was learned from the painted head, and the previews, from the present pack."""
    with TemporaryDirectory() as folder:
        packed = Study.open(unfold(Path(folder)))
        shutil.copytree(packed.rounds.folder(0), study.rounds.folder(0), dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns(*OF_SCANS))


def slim(study: Study) -> None:
    """Leave out what only training needs and where this was run; round what only eyes see."""
    records = study.masks.records()
    write_records(study.folder / "masks" / "provenance.json",
                  {name: replace(record, source="") for name, record in records.items()})
    for round_ in study.rounds.numbers():
        for kind in ("segmenter", "autoencoder"):
            path = study.rounds.folder(round_) / f"{kind}.pt"
            save_checkpoint(path, kind, _lean(load_checkpoint(path, kind)))
        for path in (study.rounds.folder(round_) / "heat_maps").glob("*.nii.gz"):
            scan = open_scan(path)
            save_map(path.with_name("new.nii.gz"), _rounded(scan.read_float()), like=scan)
            path.with_name("new.nii.gz").replace(path)


def _lean(saved: dict[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in saved.items() if k not in (*NOT_KEPT, "format", "kind")}
    kept["average"] = {name: value.half() for name, value in saved["average"].items()}
    return kept


def _rounded(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.round(values * HEAT_STEPS) / HEAT_STEPS


def compare(whole: Study, lean: Study) -> None:
    """Say how far the masks of the lean network are from those in the study."""
    network = load_segmenter(lean.rounds.folder(0) / "segmenter.pt", torch.device("cpu"))
    for name in lean.scans.names[1:3]:
        scan = open_scan(whole.scans.path(name))
        volume = scan.load()
        mask = to_mask(predict(network, volume), volume, network.settings)
        kept = load_mask(lean.rounds.pseudo_label_path(0, name), like=scan)
        dice = 2 * np.count_nonzero(mask & kept) / (mask.sum() + kept.sum())
        print(f"{name}: Dice of half to single precision {dice:.4f}")


def show(events: Iterable[Event]) -> None:
    """Say what a job says."""
    for event in events:
        print(event)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--keep-networks", action="store_true")
    parser.add_argument("--tuned", action="store_true")
    options = parser.parse_args()
    if options.tuned:
        main_tuned(options.work.absolute())
    else:
        main(options.work.absolute(), options.keep_networks)
