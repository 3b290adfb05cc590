"""Settings as stored in files, translating the names of earlier versions.

Every file with settings (study.json, settings.json of a round, checkpoints, models) states their
format; without one it is format 1. Settings that a person types are not translated: an old name is
an error that gives the new one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from napari_singlestrip.engine.config import Settings

SETTINGS_FORMAT = 2

# Names of format 1 and their names since format 2.
RENAMED = {
    "synthesis.tie_probability": "synthesis.isointense_probability",
    "training.wide": "training.context_scale",
    "training.wide_fraction": "training.context_fraction",
    "autoencoder.each_round": "autoencoder.retrain_each_round",
    "finetuning.enough": "finetuning.min_reviewed_masks",
}
_START = "finetuning.start"  # "before" in format 1, "previous" since


class NewerSettings(ValueError):
    """Settings, or values of them, that this version does not know."""


def settings_content(settings: Settings) -> dict[str, Any]:
    """Return the content to store: plain values, and their format."""
    return {"format": SETTINGS_FORMAT, **settings.model_dump(mode="json")}


def settings_text(settings: Settings) -> str:
    """Return the content to store, as JSON text."""
    return json.dumps(settings_content(settings))


def settings_from(content: Mapping[str, Any]) -> Settings:
    """Read what `settings_content` stored, in this version or an earlier one.

    Raises
    ------
    NewerSettings
        If it was written by a newer version: the message says how one sees that.
    ValueError
        If it is invalid.
    """
    if not isinstance(content, Mapping):
        raise ValueError("settings are a table of names and values")
    values = dict(content)
    found = values.pop("format", 1)
    if type(found) is not int or found < 1:
        raise ValueError(f"format {found!r}")
    if found > SETTINGS_FORMAT:
        raise NewerSettings(f"format {found} of settings, where {SETTINGS_FORMAT} is read")
    for format_ in range(found, SETTINGS_FORMAT):
        values = _nested(UPGRADES[format_](_flat(values)))
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        if found == SETTINGS_FORMAT and (unknown := unknown_in(error)):
            raise NewerSettings(f"setting {unknown}") from error
        raise


def unknown_in(error: ValidationError) -> str:
    """Return the name (with its value, if that is the reason) that is unknown; empty if none is.

    A new setting does not change the format number, so that an earlier version finds a name, or
    one of several words for a value, that it does not know.
    """
    for problem in error.errors(include_url=False):
        name = ".".join(str(part)[:80] for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            return name
        if problem["type"] == "literal_error":
            return f"{name} = {problem['input']!r:.60}"
    return ""


def upgrade_1_to_2(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Translate dotted names and values of format 1 to format 2; others are kept."""
    values = {RENAMED.get(name, name): value for name, value in overrides.items()}
    if values.get(_START) == "before":
        values[_START] = "previous"
    return values


UPGRADES: dict[int, Callable[[Mapping[str, Any]], dict[str, Any]]] = {1: upgrade_1_to_2}


def _flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted names; groups are one level deep."""
    values: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            values |= {f"{name}.{leaf}": part for leaf, part in value.items()}
        else:
            values[name] = value
    return values


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in values.items():
        group, dot, leaf = name.partition(".")
        if dot:
            tree.setdefault(group, {})[leaf] = value
        else:
            tree[name] = value
    return tree
