"""Settings of earlier versions are read under today's names; those of newer ones are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import torch

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.engine.overrides import setting_names, settings_for
from napari_singlestrip.engine.stored_settings import (
    RENAMED,
    SETTINGS_FORMAT,
    NewerSettings,
    settings_content,
    settings_from,
    settings_text,
    upgrade_1_to_2,
)
from napari_singlestrip.errors import UserError

CHANGED = settings_for("standard", {
    "synthesis.isointense_probability": 0.25, "training.context_scale": 2.0,
    "training.context_fraction": 0.125, "autoencoder.retrain_each_round": False,
    "finetuning.min_reviewed_masks": 3, "conform.spacing_mm": 3.0,
}, seed=7)


def as_format_1(settings: Settings) -> dict[str, Any]:
    """What format 1 stored: the old names, nested, without a number."""
    content = settings.model_dump(mode="json")
    for old, new in RENAMED.items():
        group, name = new.split(".")
        content[group][old.split(".")[1]] = content[group].pop(name)
    if content["finetuning"]["start"] == "previous":
        content["finetuning"]["start"] = "before"
    return content


@pytest.mark.parametrize("settings", [Settings(), CHANGED])
def test_settings_of_format_1_keep_their_values(settings: Settings) -> None:
    assert settings_from(as_format_1(settings)) == settings


def test_settings_come_back_from_their_file() -> None:
    assert settings_from(settings_content(CHANGED)) == CHANGED
    assert settings_from(json.loads(settings_text(CHANGED))) == CHANGED
    assert json.loads(settings_text(CHANGED))["format"] == SETTINGS_FORMAT


def test_every_renamed_setting_exists_under_its_new_name_only() -> None:
    names = set(setting_names())
    assert set(RENAMED.values()) <= names
    assert not set(RENAMED) & names


def test_what_a_person_set_is_renamed_and_the_rest_stays() -> None:
    old = {"finetuning.start": "before", "training.wide": "2", "seed": 3, "unknown": None}
    assert upgrade_1_to_2(old) == {
        "finetuning.start": "previous", "training.context_scale": "2", "seed": 3, "unknown": None,
    }
    assert upgrade_1_to_2({"finetuning.start": "scratch"}) == {"finetuning.start": "scratch"}


@pytest.mark.parametrize(
    "content", [[], "x", None, {"format": 0}, {"format": True}, {"format": "2"},
                {"format": 2, "seed": -1}, {"training": 3},
                {"format": 1, "kept_warm": True}]
)
def test_what_cannot_be_read_is_a_value_error(content: Any) -> None:
    with pytest.raises(ValueError) as caught:
        settings_from(content)
    assert not isinstance(caught.value, NewerSettings)


@pytest.mark.parametrize(("content", "word"), [
    ({"format": SETTINGS_FORMAT + 1}, f"format {SETTINGS_FORMAT + 1}"),
    ({"format": 2, "network": {"attention": 3}}, "network.attention"),
    ({"format": 2, "kept_warm": True}, "kept_warm"),
    ({"format": 2, "seed": -1, "network": {"architecture": "unet7"}}, "architecture = 'unet7'"),
])
def test_what_this_version_does_not_know_was_made_by_a_newer_one(
    content: dict[str, Any], word: str
) -> None:
    with pytest.raises(NewerSettings, match=word):
        settings_from(content)


def test_a_typed_old_name_tells_the_new_one() -> None:
    with pytest.raises(UserError, match=r"Unknown setting 'finetuning\.enough'") as caught:
        settings_for("quick", {"finetuning.enough": 3})
    assert caught.value.hint == "It is called finetuning.min_reviewed_masks now."


def test_a_study_of_format_1_opens(tmp_path: Path) -> None:
    """The study that is shipped, as it was stored before settings were renamed."""
    from napari_singlestrip import sample_data
    from napari_singlestrip.engine.learning.autoencoder import load_autoencoder
    from napari_singlestrip.study.round_folder import RoundFolder

    with ZipFile(Path(sample_data.__file__).with_name("finished.zip")) as finished:
        finished.extractall(tmp_path)
    folder = RoundFolder(tmp_path / "rounds" / "00")
    stored = json.loads(folder.settings.read_text())
    stored["settings"] = as_format_1(settings_for("quick", {"finetuning.min_reviewed_masks": 5}))
    assert stored["settings"]["finetuning"]["enough"] == 5 and "format" not in stored["settings"]
    folder.settings.write_text(json.dumps(stored))
    settings = folder.read_settings()
    assert settings is not None and settings.finetuning.min_reviewed_masks == 5
    assert load_autoencoder(folder.autoencoder, torch.device("cpu"))
