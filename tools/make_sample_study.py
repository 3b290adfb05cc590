#!/usr/bin/env python3
"""Make napari_singlestrip/sample_data/finished.zip: train on the sample heads, and pack the result.

    python tools/make_sample_study.py WORK_FOLDER

Runs the real pipeline at quick effort (a few minutes on two cores; run again, it goes on) on twelve
sample heads, the first of which counts as painted, up to the first ranking. Then it leaves out
what is only needed to go on training, stores weights in half precision and heat maps in steps of
1/16, and says whether predictions are the same as before.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_map
from napari_singlestrip.engine.learning.checkpoint import load_checkpoint, save_checkpoint
from napari_singlestrip.engine.learning.segmenter import load_segmenter, predict, to_mask
from napari_singlestrip.events import Event
from napari_singlestrip.pipeline import stages
from napari_singlestrip.sample_data import sample_name
from napari_singlestrip.sample_data.finished_study import FOLDER, PACK, Heads, fold
from napari_singlestrip.sample_data.making import make_samples
from napari_singlestrip.study.document import DOCUMENT_NAME
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import write_records

HEADS = Heads(n=12, seed=0, spacing_mm=2.0)
# Not what a window, a worker or the next training left behind.
LEFT_OUT = ("thumbnails", "drafts", "job.log", "window.json", "window.lock", "study.json.bak")
NOT_KEPT = ("weights", "optimiser", "rng")
HEAT_STEPS = 16


def main(work: Path) -> None:
    """Train in `work`, and write the pack."""
    study = make_study(work)
    show(stages.run(study, rounds=0))
    lean = work / "packed"
    shutil.rmtree(lean, ignore_errors=True)
    shutil.copytree(study.folder, lean, ignore=shutil.ignore_patterns(*LEFT_OUT, ".*"))
    slim(Study.open(lean))
    fold(lean, HEADS, PACK)
    print(f"{PACK}: {PACK.stat().st_size / 1e6:.2f} MB")
    compare(study, Study.open(lean))


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


def slim(study: Study) -> None:
    """Leave out what only training needs and where this was run; round what only eyes see."""
    records = study.mask_records()
    write_records(study.folder / "masks" / "provenance.json",
                  {name: replace(record, source="") for name, record in records.items()})
    for round_ in study.rounds():
        for kind in ("segmenter", "autoencoder"):
            path = study.round_dir(round_) / f"{kind}.pt"
            save_checkpoint(path, kind, _lean(load_checkpoint(path, kind)))
        for path in (study.round_dir(round_) / "heat_maps").glob("*.nii.gz"):
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
    network = load_segmenter(lean.round_dir(0) / "segmenter.pt", torch.device("cpu"))
    for name in lean.names[1:3]:
        scan = open_scan(whole.scan_path(name))
        mask = to_mask(predict(network, scan.load()), scan.grid, network.settings)
        kept = load_mask(lean.pseudo_label_path(0, name), like=scan)
        dice = 2 * np.count_nonzero(mask & kept) / (mask.sum() + kept.sum())
        print(f"{name}: Dice of half to single precision {dice:.4f}")


def show(events: Iterable[Event]) -> None:
    """Say what a job says."""
    for event in events:
        print(event)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
