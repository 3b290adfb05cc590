"""Which masks a round learns from, and the record of where each came from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from napari_singlestrip.atomic_files import write_json_atomic
from napari_singlestrip.engine.config import FinetuningConfig
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.study import Study

Kind = Literal["painted", "corrected", "accepted", "selected"]
TRUSTED: tuple[Kind, ...] = ("painted", "corrected")


@dataclass(frozen=True)
class TrainingMask:
    """A mask that is learned from.

    Attributes
    ----------
    scan : str
        Name of the scan.
    kind : {"painted", "corrected", "accepted", "selected"}
        Made by a person, accepted by a person, or selected by the ranking.
    path : str
        Of the mask, relative to the study folder.
    weight : float
        How often it is drawn, relative to the others.
    round, rank, autoencoder_error
        Of the pseudo-label it is or was; None for a painted mask.
    """

    scan: str
    kind: Kind
    path: str
    weight: float
    round: int | None = None
    rank: int | None = None
    autoencoder_error: float | None = None


def masks_by_hand(study: Study, weight: float = 1.0) -> list[TrainingMask]:
    """Painted and corrected masks.

    Raises
    ------
    UserError
        If there is none.
    """
    labelled, decisions = study.labelled(), study.decisions()
    masks = []
    for kind, names in (("painted", labelled.painted), ("corrected", labelled.corrected)):
        for name in names:
            decision = decisions[name]
            path = study.mask_path(name).relative_to(study.folder).as_posix()
            masks.append(
                TrainingMask(name, kind, path, weight, decision.round, decision.rank)  # type: ignore[arg-type]
            )
    if not masks:
        raise UserError(
            f"The study {study.name} has no painted mask to learn from.",
            "Paint one, or give its file: "
            f"`singlestrip decide {study.folder} SCAN correct --mask FILE`.",
        )
    return masks


def masks_of_round(study: Study, round_: int, config: FinetuningConfig) -> list[TrainingMask]:
    """Masks that round `round_` is fine-tuned on: by hand, accepted, and perhaps selected.

    A rejected mask is never among them, nor one of a scan that is held out, nor one that was
    predicted in the place of an accepted one: nobody has seen it.

    Parameters
    ----------
    study : Study
    round_ : int
        At least 1; pseudo-labels come from the round before, or from the one that was accepted.
    config : FinetuningConfig
    """
    masks = masks_by_hand(study, weight=float(config.trusted_weight))
    masks += _accepted(study)
    if not takes_selected(len(masks), config):
        return masks
    return masks + _selected(study, round_ - 1, taken={mask.scan for mask in masks})


def takes_selected(n_decided: int, config: FinetuningConfig) -> bool:
    """Whether masks that only the ranking found good are learned from, too.

    Parameters
    ----------
    n_decided : int
        Masks painted, corrected or accepted.
    config : FinetuningConfig
    """
    if config.pseudo_labels == "auto":
        return n_decided < config.enough
    return config.pseudo_labels == "selected"


def lacks_ranking(study: Study, round_: int, config: FinetuningConfig) -> bool:
    """Whether round `round_` was to learn from selected masks, but nothing was ranked to select.

    Parameters
    ----------
    study : Study
    round_ : int
        At least 1.
    config : FinetuningConfig
    """
    labelled = study.labelled()
    n_decided = sum(map(len, (labelled.painted, labelled.corrected, labelled.accepted)))
    decided = study.decisions().keys() - study.stale_decisions().keys()
    undecided = any(e.role == "pool" and e.name not in decided for e in study.scans)
    ranked = study.scores_path(round_ - 1).is_file()
    return undecided and not ranked and takes_selected(n_decided, config)


def write_training_set(path: Path, masks: Iterable[TrainingMask]) -> None:
    """Record the provenance of every mask of a round."""
    rows = [asdict(mask) for mask in masks]
    write_json_atomic(path, [{k: _finite(v) for k, v in row.items()} for row in rows])


def _finite(value: object) -> object:
    """JSON has no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _accepted(study: Study) -> list[TrainingMask]:
    decisions = study.decisions()
    masks = []
    for name in study.labelled().accepted:
        d = decisions[name]
        path = study.pseudo_label_path(d.round or 0, name).relative_to(study.folder).as_posix()
        masks.append(
            TrainingMask(name, "accepted", path, 1.0, d.round, d.rank, d.autoencoder_error)
        )
    return masks


def _selected(study: Study, round_: int, taken: set[str]) -> list[TrainingMask]:
    rejected = {n for n, d in study.decisions().items() if d.state == "rejected"}
    pool = {entry.name for entry in study.scans if entry.role == "pool"}
    masks = []
    for row in study.scores(round_):
        if not row.selected or row.scan in taken | rejected or row.scan not in pool:
            continue
        path = study.pseudo_label_path(round_, row.scan)
        if path.is_file():
            relative = path.relative_to(study.folder).as_posix()
            masks.append(TrainingMask(
                row.scan, "selected", relative, 1.0, round_, row.rank, row.autoencoder_error
            ))
    return masks
