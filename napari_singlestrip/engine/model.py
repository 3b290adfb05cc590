"""A model that can be applied: segmenter, autoencoder and a card that says where it comes from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from napari_singlestrip.engine.autoencoder import Autoencoder, autoencoder_from
from napari_singlestrip.engine.checkpoint import load_checkpoint, save_checkpoint
from napari_singlestrip.engine.segmenter import Segmenter, segmenter_from

# What applying needs; optimiser and random state stay behind.
_KEPT = ("settings", "spacing_mm", "shape", "offset", "average")


@dataclass(frozen=True)
class ModelCard:
    """Where a model comes from and what it has seen; readable without torch once exported.

    Attributes
    ----------
    study : str
        Name of the study it was trained in.
    round : int
        Round of self-training.
    created : str
        ISO 8601, UTC.
    version : str
        Of napari-singlestrip.
    training_scans : tuple of str
        Names of the scans it learned from.
    validation_dice : float
        On held-out synthetic heads, 0 to 1; NaN if never measured.
    volume_ml : (float, float)
        Range of mask volumes seen; outside of it a result is flagged.
    max_error : float
        Largest autoencoder error seen; above it a result is flagged.
    """

    study: str = ""
    round: int = 0
    created: str = ""
    version: str = ""
    training_scans: tuple[str, ...] = ()
    validation_dice: float = float("nan")
    volume_ml: tuple[float, float] = (0.0, float("inf"))
    max_error: float = float("inf")


@dataclass(frozen=True)
class Model:
    """What `apply` needs."""

    segmenter: Segmenter
    autoencoder: Autoencoder | None = None
    card: ModelCard = field(default_factory=ModelCard)


def load_model(path: Path, device: torch.device) -> Model:
    """Read an exported model; nothing in the file is executed.

    Raises
    ------
    UserError
        If the file is missing, damaged, not a model or of a newer version.
    """
    saved = load_checkpoint(path, "model")
    drawn = saved["autoencoder"]
    card = json.loads(saved["card"])
    card = {k: tuple(v) if isinstance(v, list) else v for k, v in card.items()}
    return Model(
        segmenter_from(saved["segmenter"], device),
        autoencoder_from(drawn, device) if drawn else None,
        ModelCard(**card),
    )


def save_model(path: Path, segmenter: Path, autoencoder: Path | None, card: ModelCard) -> None:
    """Put two checkpoints and a card into one file.

    Parameters
    ----------
    path : Path
        The file to make.
    segmenter, autoencoder : Path
        Checkpoints of the training.
    card : ModelCard
    """
    save_checkpoint(path, "model", {
        "segmenter": _lean(load_checkpoint(segmenter, "segmenter")),
        "autoencoder": _lean(load_checkpoint(autoencoder, "autoencoder")) if autoencoder else {},
        "card": json.dumps(asdict(card)),
    })


def _lean(saved: dict[str, Any]) -> dict[str, Any]:
    return {name: saved[name] for name in _KEPT if name in saved}
