"""A study of tiny volumes, to test what a study remembers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import ScoreRow

SHAPE = (6, 7, 8)


def write_volume(path: Path, values: np.ndarray[Any, Any] | None = None) -> Path:
    """Write a small scan, or the given values as one."""
    if values is None:
        values = np.random.default_rng(0).random(SHAPE, dtype=np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.diag([1.0, 2.0, 3.0, 1.0])), path)
    return path


def cube(size: int = 3) -> np.ndarray[Any, Any]:
    """Return a mask with a cube in it."""
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[1 : 1 + size, 1 : 1 + size, 1 : 1 + size] = 1
    return mask


def predict(study: Study, round_: int, *names: str) -> None:
    """Do what a worker does, in short: write pseudo-labels and scores."""
    for name in names:
        write_volume(study.rounds.pseudo_label_path(round_, name), cube())
    rows = [ScoreRow(name, 0.1 * rank, 0.9, 27.0, rank) for rank, name in enumerate(names, 1)]
    study.rounds.save_scores(round_, rows)
