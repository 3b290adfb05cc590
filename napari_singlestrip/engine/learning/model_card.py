"""The model card: provenance and training data of a model, readable without torch."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from napari_singlestrip.engine.learning.archive import DAMAGE, open_archive
from napari_singlestrip.engine.learning.tensor_file import is_tensor_file, read_header
from napari_singlestrip.errors import UserError

CARD_SUFFIX = "_card.md"
MAX_CARD_CHARACTERS = 4 * 2**20  # the names of 100,000 training scans
CARD_HINT = "Choose a file that `singlestrip export` or the button Model file wrote."

Name = Annotated[str, Field(max_length=2000)]  # of a file or folder, escaped where needed
Amount = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class ModelCard:
    """Provenance and training data of a model.

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
        Names of the training scans.
    validation_dice : float
        On held-out synthetic heads, 0 to 1; NaN if never measured.
    volume_ml : (float, float)
        Range of mask volumes in training; a result outside of it is flagged.
    max_error : float
        Largest autoencoder error in training; a result above it is flagged.
    effort : str
        "quick", "standard" or "thorough"; empty if not known.
    """

    study: Name = ""
    round: Annotated[int, Field(ge=0, lt=10**6)] = 0
    created: Name = ""
    version: Name = ""
    training_scans: tuple[Name, ...] = ()
    validation_dice: float = float("nan")
    volume_ml: tuple[Amount, Amount] = (0.0, float("inf"))
    max_error: Amount = float("inf")
    effort: Name = ""

    @property
    def name(self) -> str:
        """Name of the model in tables."""
        return f"{self.study}, round {self.round}" if self.study else f"round {self.round}"


def card_to_json(card: ModelCard) -> str:
    """Serialise a card for a model file."""
    return json.dumps(asdict(card))


def card_from_json(text: Any) -> ModelCard:
    """Inverse of `card_to_json`; unknown fields of newer versions are ignored.

    Raises
    ------
    ValueError
        If it is not a card: not JSON, too long, or with a value of the wrong type or out of range.
    """
    if not isinstance(text, str):
        raise ValueError("it is no text")
    if len(text) > MAX_CARD_CHARACTERS:
        raise ValueError(f"it has {len(text)} characters")
    try:
        return TypeAdapter(ModelCard).validate_json(text, strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise ValueError(f"{place}: {problem['msg']}".removeprefix(": ")) from error


def read_card(path: Path) -> ModelCard:
    """Read the card of a model file, in milliseconds and without torch.

    The pickle of a torch file is parsed, never executed: the card is the last JSON text in it.

    Raises
    ------
    UserError
        If the file is missing, damaged or not a model.
    """
    try:
        if is_tensor_file(path):
            header = read_header(path)
            if header["kind"] != "model":
                raise ValueError("a checkpoint")
            return card_from_json(header["card"])
        with open_archive(path) as archive:
            words = archive.texts()
        if words[words.index("kind") + 1] != "model":
            raise ValueError("a checkpoint")
        # The JSON of the networks' settings is recognised by this entry.
        cards = [w for w in words if w.startswith("{") and '"conform"' not in w]
        return card_from_json(cards[-1])
    except FileNotFoundError:
        raise UserError(f"There is no model at {path}.", "Choose another file.") from None
    except UserError as error:
        raise UserError(error.what, CARD_HINT) from error
    except DAMAGE as error:
        raise UserError(
            f"{path.name} is not a model of napari-singlestrip, or it is damaged.",
            CARD_HINT,
        ) from error


def card_in_words(card: ModelCard) -> str:
    """Describe a model as Markdown."""
    low, high = card.volume_ml
    seen = f"{low:.0f} to {high:.0f} mL" if math.isfinite(high) else "not known"
    error = f"{card.max_error:.3f}" if math.isfinite(card.max_error) else "not known"
    dice = "not measured" if math.isnan(card.validation_dice) else f"{card.validation_dice:.3f}"
    n = len(card.training_scans)
    scans = "\n".join(f"- {name}" for name in card.training_scans)
    return f"""# Brain extraction model: {card.name}

It segments the brain in head MRI. It was trained on the masks of {n} scan{"s" * (n != 1)}, with
synthetic images generated from them (domain randomisation).

| | |
|---|---|
| Study | {card.study} |
| Round of self-training | {card.round} |
| Effort | {card.effort or "not known"} |
| Exported | {card.created} |
| Made by | napari-singlestrip {card.version} |
| Dice on held-out synthetic heads | {dice} |
| Brain volumes without a flag | {seen} |
| Autoencoder errors without a flag | up to {error} |

The Dice above tells how well training went, not how accurate masks of real scans are. Inspect the
masks, above all those that are flagged. For research, not for diagnosis.

To use it: `singlestrip apply MODEL SCAN... --out DIR`, or step 5 of the window.

## Training scans

{scans}
"""
