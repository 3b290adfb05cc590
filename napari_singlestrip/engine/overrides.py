"""The settings of a run from an effort and a person's changes; names and values are checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from napari_singlestrip.engine.config import EFFORTS, PRESETS, Config, Effort, Settings
from napari_singlestrip.engine.stored_settings import RENAMED
from napari_singlestrip.errors import UserError


def setting_names(model: type[Config] = Settings, prefix: str = "") -> list[str]:
    """Dotted names of all settings, such as ``training.steps``."""
    names: list[str] = []
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, Config):
            names += setting_names(kind, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names


def settings_for(
    effort: Effort = "quick", overrides: Mapping[str, Any] | None = None, *, seed: int | None = None
) -> Settings:
    """Make the settings of an effort with a person's changes.

    Parameters
    ----------
    effort : {"quick", "standard", "thorough"}
        The preset.
    overrides : mapping of str to Any, optional
        Dotted setting names to values (text is read as JSON where that fits).
    seed : int, optional
        Seed of all randomness.

    Raises
    ------
    UserError
        If the effort or a setting is unknown, or a value is out of range.
    """
    if effort not in EFFORTS:
        raise UserError(f"Unknown effort {effort!r}.", f"Choose one of: {', '.join(EFFORTS)}.")
    changes = {**PRESETS[effort], **({} if seed is None else {"seed": seed}), **(overrides or {})}
    return override(Settings(effort=effort), changes)


def override(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """Return `settings` with dotted names set to new values, validated.

    Raises
    ------
    UserError
        If a name is unknown or a value is out of range.
    """
    tree = settings.model_dump()
    known = setting_names()
    for name, value in changes.items():
        if name not in known:
            raise UserError(f"Unknown setting {name!r}.", _did_you_mean(name, known))
        *groups, leaf = name.split(".")
        node = tree
        for group in groups:
            node = node[group]
        node[leaf] = _read(value)
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(str(part) for part in problem["loc"])
        raise UserError(
            f"Setting {name} cannot be {problem['input']!r}: {problem['msg']}.",
            "Choose a value in its range (`singlestrip run --help`).",
        ) from error


def parse_assignments(assignments: list[str]) -> dict[str, str]:
    """Split ``["training.steps=500"]`` into names and values.

    Raises
    ------
    UserError
        If an entry has no equals sign.
    """
    pairs: dict[str, str] = {}
    for text in assignments:
        name, sign, value = text.partition("=")
        if not sign:
            raise UserError(f"Cannot read --set {text!r}.", "Write it as NAME=VALUE.")
        pairs[name.strip()] = value.strip()
    return pairs


def _read(value: Any) -> Any:
    import json

    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return {"True": True, "False": False}.get(value, value)


def _did_you_mean(name: str, known: list[str]) -> str:
    import difflib

    if name in RENAMED:
        return f"It is called {RENAMED[name]} now."
    leaf_matches = [k for k in known if k.split(".")[-1] == name.split(".")[-1]]
    close = leaf_matches or difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"Settings are: {', '.join(known)}."
