"""Which autoencoder judges the masks of a round, and whether it knows all masks made by hand."""

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
    """Checkpoint of the newest autoencoder that was trained by a round.

    Parameters
    ----------
    study : Study
    round_ : int

    Returns
    -------
    Path or None
        None if there is none.
    """
    paths = (RoundFolder(study.round_dir(n)).autoencoder for n in range(round_, -1, -1))
    return next((path for path in paths if is_done(path, KIND)), None)


def fingerprint(study: Study, masks: Iterable[TrainingMask]) -> list[str]:
    """Scans, with when their masks were made: another list means other masks."""
    records = study.mask_records()
    return sorted(f"{mask.scan} {records[mask.scan].time}" for mask in masks)


def knows(path: Path, study: Study, masks: Iterable[TrainingMask]) -> bool:
    """Whether an autoencoder was trained on just these masks.

    One of an earlier version, which does not say, is taken to know those that were painted.
    """
    masks = list(masks)
    learned = load_checkpoint(path, KIND).get("masks")
    if learned is None:
        return all(mask.kind == "painted" for mask in masks)
    return bool(learned == fingerprint(study, masks))
