"""The trained model of a study: opening, describing and exporting it."""


from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from napari_singlestrip import __version__
from napari_singlestrip.engine.imaging.scan_files import check_file_name
from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.engine.learning.model import Model, load_model, save_model
from napari_singlestrip.engine.learning.model_card import CARD_SUFFIX, ModelCard, card_in_words
from napari_singlestrip.engine.overrides import override
from napari_singlestrip.errors import UserError
from napari_singlestrip.failures import attempt
from napari_singlestrip.files.atomic import write_text_atomic
from napari_singlestrip.files.temporary import remove_leftovers
from napari_singlestrip.pipeline.autoencoder_choice import autoencoder_path
from napari_singlestrip.pipeline.export_forms import Form, write_form
from napari_singlestrip.pipeline.round_segmenter import segmenter_of_round
from napari_singlestrip.study.document import DOCUMENT_NAME
from napari_singlestrip.study.round_facts import (
    describe_round,
    is_trained,
    newest_trained_round,
    trained_rounds,
)
from napari_singlestrip.study.round_folder import RoundFolder
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import now
from napari_singlestrip.texts import printable

# Tolerance beyond the training range before a result is flagged: volumes differ by a third between
# healthy adults (Luders et al. 2002), and errors are slightly larger on new scans.
VOLUME_ROOM = 1.25
ERROR_ROOM = 1.5


def open_model(path: Path, device: torch.device, round_: int | None = None) -> Model:
    """Open a study's latest trained round (or the given one), or an exported model.

    Raises
    ------
    UserError
        If there is none.
    """
    if not path.is_dir() and path.name != DOCUMENT_NAME:
        if round_ is not None:
            raise UserError(f"{path} holds one model only.", "Leave the round (--round) out.")
        return load_model(path, device)
    study = Study.open(path)
    round_ = _trained(study, round_)
    segmenter = segmenter_of_round(study, round_, study.settings(), device)
    return Model(segmenter, model_card(study, round_))


def _trained(study: Study, round_: int | None) -> int:
    """Return the requested or the latest round; raise unless it is trained."""
    found = newest_trained_round(study) if round_ is None else round_
    if found is None:
        raise UserError(
            f"The study {study.name} has no trained model yet.",
            f"Run `singlestrip run {study.folder}` first.",
        )
    if not is_trained(study, found):
        raise UserError(
            f"Round {found} of the study {study.name} is not trained.",
            f"Trained rounds: {', '.join(str(r.round) for r in trained_rounds(study)) or 'none'}.",
        )
    return found


def export_model(
    study: Study, path: Path, round_: int | None = None, *, form: Form = "singlestrip"
) -> Path:
    """Export a trained model of a study to one file.

    Parameters
    ----------
    study : Study
    path : Path
        The file to write.
    round_ : int, optional
        Round whose model is written, instead of the newest.
    form : {"singlestrip", "onnx", "synthstrip"}
        For this program (as safetensors with that extension), or for others.

    Returns
    -------
    Path
        The model card (Markdown), written beside the model.

    Raises
    ------
    UserError
        If nothing is trained, or the file cannot be written, or has the name of a scan.
    """
    check_file_name(path)
    round_ = _trained(study, round_)
    card = model_card(study, round_)
    remove_leftovers(path.parent)
    segmenter = segmenter_of_round(study, round_, study.settings(), torch.device("cpu"))
    if form == "singlestrip":
        checkpoint = RoundFolder(study.rounds.folder(round_)).segmenter
        save_model(path, checkpoint, autoencoder_path(study, round_), card, segmenter.settings)
    else:
        write_form(path, form, segmenter, card)
    beside = path.with_name(path.stem + CARD_SUFFIX)
    write_text_atomic(beside, card_in_words(card))
    return beside


def model_card(study: Study, round_: int) -> ModelCard:
    """Make the card of a model, with the range of volumes and errors in training."""
    trained = describe_round(study, round_)
    flagged = {row.scan for row in study.rounds.scores(round_) if row.flag}
    usual = [row for row in study.rounds.scores(round_) if row.scan not in flagged]
    volumes = [row.volume_ml for row in usual] + _volumes_by_hand(study)
    errors = [row.autoencoder_error for row in usual if math.isfinite(row.autoencoder_error)]
    return ModelCard(
        study=printable(study.name), round=round_, created=now(), version=__version__,
        training_scans=tuple(map(printable, trained.scans)),
        validation_dice=trained.validation_dice, volume_ml=_with_room(volumes),
        max_error=max(errors) * ERROR_ROOM if errors else math.inf,
        effort=trained.effort,
    )


def _with_room(volumes: Sequence[float]) -> tuple[float, float]:
    known = [volume for volume in volumes if math.isfinite(volume)]
    return (min(known) / VOLUME_ROOM, max(known) * VOLUME_ROOM) if known else (0.0, math.inf)


def _volumes_by_hand(study: Study) -> list[float]:
    """Volumes of the masks in masks/, without reading scans, which may be missing."""
    volumes = []
    for name in study.masks.names():
        volume = attempt(_volume_by_hand, study, name)
        if isinstance(volume, float):  # an unreadable one is left out
            volumes.append(volume)
    return volumes


def _volume_by_hand(study: Study, name: str) -> float:
    file = open_scan(study.masks.path(name))
    mask = load_mask(file.path, like=file)
    return float(mask.sum() * file.grid.voxel_ml)


def in_doubt(card: ModelCard, volume_ml: float, error: float = math.nan) -> str:
    """Describe how a mask exceeds the range of the training data; empty if it does not.

    Parameters
    ----------
    card : ModelCard
    volume_ml : float
    error : float
        Of the autoencoder; NaN if not measured.
    """
    low, high = card.volume_ml
    words = []
    if not low <= volume_ml <= high:
        words.append(f"volume {_ml(volume_ml)} mL is outside {_ml(low)} to {_ml(high)} mL")
    if error > card.max_error:
        words.append(f"autoencoder error {error:.3f} is above {card.max_error:.3f}")
    return "; ".join(words)


def _ml(volume: float) -> str:
    """Three digits, or all of a large volume: never an exponent."""
    return f"{volume:.0f}" if volume >= 100 else f"{volume:.3g}"


def with_overrides(model: Model, overrides: Mapping[str, Any]) -> Model:
    """Return the model with other prediction settings.

    Raises
    ------
    UserError
        If a setting is unknown, out of range, or not one of the prediction.
    """
    other = [name for name in overrides if not name.startswith("prediction.")]
    if other:
        raise UserError(
            f"Setting {other[0]} cannot be changed for a trained model.",
            "Only settings of the prediction can: prediction.threshold, prediction.flip, ...",
        )
    settings = override(model.segmenter.settings, overrides)
    return replace(model, segmenter=replace(model.segmenter, settings=settings))
