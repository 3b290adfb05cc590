"""Which autoencoder scores the masks of a round, and whether it was trained on all manual masks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from napari_singlestrip.engine.learning.checkpoint import load_checkpoint
from napari_singlestrip.engine.learning.training import is_done
from napari_singlestrip.study.round_folder import RoundFolder
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.training_set import TrainingMask

KIND = "autoencoder"


def autoencoder_path(study: Study, round_: int) -> Path | None:
    """Checkpoint of the latest autoencoder, trained in this round or an earlier one.

    Parameters
    ----------
    study : Study
    round_ : int

    Returns
    -------
    Path or None
        None if there is none.
    """
    paths = (RoundFolder(study.rounds.folder(n)).autoencoder for n in range(round_, -1, -1))
    return next((path for path in paths if is_done(path, KIND)), None)


def fingerprint(study: Study, masks: Iterable[TrainingMask]) -> list[str]:
    """Scans with the times of their masks: a different list means different masks."""
    records = study.masks.records()
    return sorted(f"{mask.scan} {records[mask.scan].time}" for mask in masks)


def knows(path: Path, study: Study, masks: Iterable[TrainingMask]) -> bool:
    """Whether an autoencoder was trained on exactly these masks.

    Checkpoints of earlier versions lack this; they are assumed to be trained on the painted masks.
    """
    masks = list(masks)
    learned = load_checkpoint(path, KIND).get("masks")
    if learned is None:
        return all(mask.kind == "painted" for mask in masks)
    return bool(learned == fingerprint(study, masks))
