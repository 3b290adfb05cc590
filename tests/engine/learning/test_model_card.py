"""The card of a model: read from the file without torch, and in words."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from napari_singlestrip.engine.learning.checkpoint import save_checkpoint
from napari_singlestrip.engine.learning.model_card import (
    ModelCard,
    card_from_json,
    card_in_words,
    card_to_json,
    read_card,
)
from napari_singlestrip.errors import UserError

CARD = ModelCard(
    "study", 2, "2026-01-02T03:04:05+00:00", "0.1", ("kind", "card", "scan_[x]"), 0.912,
    (900.0, 1700.0), 0.03, "quick",
)  # fmt: skip


def write_model(path: Path, card: str, kind: str = "model") -> Path:
    weights = {"card": torch.zeros(2), "kind": "not this one"}
    state = {"segmenter": {"weights": weights}, "autoencoder": {}, "card": card}
    save_checkpoint(path, kind, state)
    return path


def test_card_survives_json() -> None:
    assert card_from_json(card_to_json(CARD)) == CARD
    empty = card_from_json(card_to_json(ModelCard()))
    assert math.isnan(empty.validation_dice)
    assert empty.volume_ml == (0.0, math.inf)


def test_what_a_newer_version_added_is_left_out() -> None:
    newer = {**json.loads(card_to_json(CARD)), "colour": "blue"}
    assert card_from_json(json.dumps(newer)) == CARD


def test_card_is_read_from_a_model_file(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.pt", card_to_json(CARD))
    assert read_card(path) == CARD


def test_reading_a_card_needs_no_torch(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.pt", card_to_json(CARD))
    program = (
        "import sys; from pathlib import Path; "
        "from napari_singlestrip.engine.learning.model_card import read_card; "
        f"assert read_card(Path({str(path)!r})).round == 2; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("kind", ["segmenter", "autoencoder"])
def test_a_checkpoint_is_no_model(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UserError, match=r"m\.pt is not a model"):
        read_card(write_model(tmp_path / "m.pt", card_to_json(CARD), kind))


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", None])
def test_other_files_are_no_models(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "m.pt"
    if content is None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", b"not a pickle")
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"m\.pt is not a model"):
        read_card(path)


def test_a_card_that_is_no_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"m\.pt is not a model"):
        read_card(write_model(tmp_path / "m.pt", "[1, 2]"))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model at"):
        read_card(tmp_path / "m.pt")


def test_words_tell_what_matters() -> None:
    words = card_in_words(CARD)
    for fact in ("study, round 2", "3 scans", "0.912", "900 to 1700 mL", "0.030", "- scan_[x]"):
        assert fact in words
    assert "not measured" in card_in_words(ModelCard())
    assert "not known" in card_in_words(ModelCard())
