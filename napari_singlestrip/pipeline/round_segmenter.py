"""The segmenter of a round, and the settings it predicts with.

The threshold of the mask is chosen here, for the study's scans and their ranking, new scans,
exported models, soft labels and live prediction alike.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from napari_singlestrip.engine.config import PredictionConfig, Settings
from napari_singlestrip.engine.learning.autoencoder import load_autoencoder
from napari_singlestrip.engine.learning.segmenter import Segmenter, load_segmenter
from napari_singlestrip.engine.overrides import override
from napari_singlestrip.pipeline.autoencoder_choice import autoencoder_path
from napari_singlestrip.study.round_facts import describe_round
from napari_singlestrip.study.round_folder import RoundFolder
from napari_singlestrip.study.study import Study


def segmenter_of_round(
    study: Study, round_: int, settings: Settings, device: torch.device
) -> Segmenter:
    """Load the segmenter of a round, with its autoencoder, to predict with the present settings.

    The checkpoint holds the settings of its training. The settings of the prediction may be changed
    later, except for the choice between the two thresholds, which depends on whether the network
    was trained on real scans.

    Parameters
    ----------
    study : Study
    round_ : int
    settings : Settings
        Those of the study, or of a run.
    device : torch.device

    Raises
    ------
    UserError
        If the checkpoint is missing, damaged or of a newer version.
    """
    segmenter = load_segmenter(RoundFolder(study.rounds.folder(round_)).segmenter, device)
    drawn = autoencoder_path(study, round_)
    if drawn is not None:
        segmenter = replace(segmenter, autoencoder=load_autoencoder(drawn, device))
    real = _has_seen_real(study, round_, segmenter.settings)
    return _set_to(segmenter, prediction_settings(settings, real=real).prediction)


def segmenter_in_training(
    checkpoint: Path, prediction: PredictionConfig, device: torch.device
) -> Segmenter:
    """Load a segmenter that is being trained, to predict as the training says.

    Parameters
    ----------
    checkpoint : Path
    prediction : PredictionConfig
        Of `prediction_settings`, depending on its training data.
    device : torch.device

    Raises
    ------
    UserError
        If the checkpoint is missing or damaged.
    """
    return _set_to(load_segmenter(checkpoint, device), prediction)


def _set_to(segmenter: Segmenter, prediction: PredictionConfig) -> Segmenter:
    settings = segmenter.settings.model_copy(update={"prediction": prediction})
    return replace(segmenter, settings=settings)


def prediction_settings(settings: Settings, *, real: bool) -> Settings:
    """Settings of the prediction: training on real scans changes the threshold."""
    if not real:
        return settings
    return override(settings, {"prediction.threshold": settings.finetuning.threshold})


def real_fraction_at_first(settings: Settings, n_painted: int) -> float:
    """Fraction of steps on real scans in the first training; 0 for one, to avoid overfitting."""
    return settings.training.real_fraction if n_painted > 1 else 0.0


def _has_seen_real(study: Study, round_: int, trained_with: Settings) -> bool:
    """Whether the network of a round was trained on real scans."""
    if round_:
        return trained_with.finetuning.real_fraction > 0
    return real_fraction_at_first(trained_with, len(describe_round(study, 0).scans)) > 0
