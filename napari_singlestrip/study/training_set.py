"""The training masks of a round, and the record of their provenance."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from napari_singlestrip.engine.config import FinetuningConfig
from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import write_json_atomic
from napari_singlestrip.study.decisions import Labelled
from napari_singlestrip.study.study import Study

Kind = Literal["painted", "corrected", "accepted", "selected"]
TRUSTED: tuple[Kind, ...] = ("painted", "corrected")


@dataclass(frozen=True)
class TrainingMask:
    """A training mask.

    Attributes
    ----------
    scan : str
        Name of the scan.
    kind : {"painted", "corrected", "accepted", "selected"}
        Made by a person, accepted by a person, or selected by the ranking.
    path : str
        Of the mask, relative to the study folder.
    weight : float
        How often it is sampled, relative to the others.
    round, rank, autoencoder_error
        Of the pseudo-label it is or was corrected from; None for a painted mask.
    digest : str
        Of its file (`file_digest`), to detect later changes.
    """

    scan: str
    kind: Kind
    path: str
    weight: float
    round: int | None = None
    rank: int | None = None
    autoencoder_error: float | None = None
    digest: str = ""


def masks_by_hand(
    study: Study, weight: float = 1.0, labelled: Labelled | None = None
) -> list[TrainingMask]:
    """Painted and corrected masks.

    Parameters
    ----------
    study : Study
    weight : float
        Of each of them.
    labelled : Labelled, optional
        The scans by their decision, where they are known: finding them looks at every mask.

    Raises
    ------
    UserError
        If there is none.
    """
    labelled = labelled or study.decisions.labelled()
    decisions = study.decisions.all()
    masks = []
    for kind, names in (("painted", labelled.painted), ("corrected", labelled.corrected)):
        for name in names:
            decision = decisions[name]
            path = study.masks.path(name).relative_to(study.folder).as_posix()
            masks.append(
                TrainingMask(
                    name, kind, path, weight, decision.round, decision.rank,  # type: ignore[arg-type]
                    digest=study.masks.digest(name),
                )
            )
    if not masks:
        raise UserError(
            f"The study {study.name} has no painted mask to train on.",
            "Paint one, or give its file: "
            f"`singlestrip decide {study.folder} SCAN correct --mask FILE`.",
        )
    return masks


def masks_of_round(study: Study, round_: int, config: FinetuningConfig) -> list[TrainingMask]:
    """Masks on which round `round_` is fine-tuned: manual, accepted, and perhaps selected.

    Never included are rejected masks, masks of held-out scans, and predictions that replaced an
    accepted mask, which were not reviewed.

    Parameters
    ----------
    study : Study
    round_ : int
        At least 1; pseudo-labels come from the previous round, or from the round of an accepted
        mask.
    config : FinetuningConfig
    """
    labelled = study.decisions.labelled()
    masks = masks_by_hand(study, float(config.trusted_weight), labelled)
    masks += _accepted(study, labelled)
    if not takes_selected(len(masks), config):
        return masks
    return masks + _selected(study, round_ - 1, taken={mask.scan for mask in masks})


def takes_selected(n_decided: int, config: FinetuningConfig) -> bool:
    """Whether undecided masks selected by the ranking are used for training as well.

    Parameters
    ----------
    n_decided : int
        Number of painted, corrected or accepted masks.
    config : FinetuningConfig
    """
    if config.pseudo_labels == "auto":
        return n_decided < config.min_reviewed_masks
    return config.pseudo_labels == "selected"


def lacks_ranking(study: Study, round_: int, config: FinetuningConfig) -> bool:
    """Whether round `round_` should train on selected masks, but the previous one is not ranked.

    Parameters
    ----------
    study : Study
    round_ : int
        At least 1.
    config : FinetuningConfig
    """
    labelled = study.decisions.labelled()
    n_decided = sum(map(len, (labelled.painted, labelled.corrected, labelled.accepted)))
    decided = study.decisions.all().keys() - study.decisions.stale().keys()
    undecided = any(e.role == "pool" and e.name not in decided for e in study.scans)
    ranked = study.rounds.scores_path(round_ - 1).is_file()
    return undecided and not ranked and takes_selected(n_decided, config)


def write_training_set(path: Path, masks: Iterable[TrainingMask]) -> None:
    """Record the provenance of every mask of a round."""
    rows = [asdict(mask) for mask in masks]
    write_json_atomic(path, [{k: _finite(v) for k, v in row.items()} for row in rows])


def _finite(value: object) -> object:
    """Replace NaN, which JSON lacks."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _accepted(study: Study, labelled: Labelled) -> list[TrainingMask]:
    decisions = study.decisions.all()
    masks = []
    for name in labelled.accepted:
        d = decisions[name]
        masks.append(
            TrainingMask(
                name, "accepted", study.rounds.pseudo_label_in_study(d.round or 0, name), 1.0,
                d.round, d.rank, d.autoencoder_error, d.mask
            )
        )
    return masks


def _selected(study: Study, round_: int, taken: set[str]) -> list[TrainingMask]:
    rejected = {n for n, d in study.decisions.all().items() if d.state == "rejected"}
    pool = {entry.name for entry in study.scans if entry.role == "pool"}
    masks = []
    for row in study.rounds.scores(round_):
        if not row.selected or row.scan in taken | rejected or row.scan not in pool:
            continue
        path = study.rounds.pseudo_label_path(round_, row.scan)
        if path.is_file():
            masks.append(TrainingMask(
                row.scan, "selected", study.rounds.pseudo_label_in_study(round_, row.scan), 1.0,
                round_, row.rank, row.autoencoder_error, row.mask_digest,
            ))
    return masks
