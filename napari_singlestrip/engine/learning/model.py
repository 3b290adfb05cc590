"""A model that can be applied: segmenter, autoencoder and a card that says where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.engine.learning.autoencoder import Autoencoder, autoencoder_from
from napari_singlestrip.engine.learning.checkpoint import load_checkpoint, save_checkpoint
from napari_singlestrip.engine.learning.model_card import ModelCard, card_from_json, card_to_json
from napari_singlestrip.engine.learning.saved_state import malformed
from napari_singlestrip.engine.learning.segmenter import Segmenter, segmenter_from
from napari_singlestrip.engine.stored_settings import settings_text

# What applying needs; optimiser and random state are left out.
_KEPT = ("settings", "spacing_mm", "shape", "offset", "average")


@dataclass(frozen=True)
class Model:
    """The networks and settings that `apply` needs."""

    segmenter: Segmenter
    card: ModelCard = field(default_factory=ModelCard)

    @property
    def autoencoder(self) -> Autoencoder | None:
        """What recognises leaks and measures masks."""
        return self.segmenter.autoencoder


def load_model(path: Path, device: torch.device) -> Model:
    """Read an exported model; nothing in the file is executed.

    Raises
    ------
    UserError
        If the file is missing, damaged, not a model or of a newer version.
    """
    saved = load_checkpoint(path, "model")
    drawn = saved.get("autoencoder")
    try:
        card = card_from_json(saved.get("card"))
    except ValueError as error:
        raise malformed(path, f"card: {error}") from error
    autoencoder = None if drawn == {} else autoencoder_from(drawn, device, path)
    segmenter = segmenter_from(saved.get("segmenter"), device, path)
    return Model(replace(segmenter, autoencoder=autoencoder), card)


def save_model(
    path: Path, segmenter: Path, autoencoder: Path | None, card: ModelCard, settings: Settings
) -> None:
    """Combine two checkpoints and a card in one file.

    Parameters
    ----------
    path : Path
        The file to write.
    segmenter, autoencoder : Path
        Checkpoints of the training.
    card : ModelCard
    settings : Settings
        Those that the segmenter predicts with.
    """
    trained = {
        **load_checkpoint(segmenter, "segmenter"), "settings": settings_text(settings)
    }
    save_checkpoint(path, "model", {
        "segmenter": _lean(trained),
        "autoencoder": _lean(load_checkpoint(autoencoder, "autoencoder")) if autoencoder else {},
        "card": card_to_json(card),
    })


def _lean(saved: dict[str, Any]) -> dict[str, Any]:
    return {name: saved[name] for name in _KEPT if name in saved}
