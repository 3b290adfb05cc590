"""window.json: a window's state for a study; invalid entries are left out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import read_json

MAX_BYTES = 4 * 2**20


def read_window_file(path: Path) -> dict[str, Any]:
    """Return the stored state, with validated types.

    It is a convenience, so a missing or damaged file is ignored silently.
    """
    try:
        content = read_json(path, MAX_BYTES)
    except (FileNotFoundError, UserError):
        return {}
    if not isinstance(content, dict):
        return {}
    checked = {name: check(content.get(name)) for name, check in CHECKS.items()}
    return {name: v for name, v in checked.items() if v is not None and _can_be_written(v)}


def _can_be_written(value: Any) -> bool:
    """Whether it can be written as JSON (not NaN, no unpaired surrogates)."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return False
    return True


def _place(value: Any) -> list[int] | None:
    whole = isinstance(value, list) and all(type(n) is int and abs(n) < 2**31 for n in value)
    return value if whole and len(value) == 3 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _texts(value: Any) -> list[str] | None:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else None


def _notes(value: Any) -> dict[str, str] | None:
    if not isinstance(value, dict):
        return None
    return {name: note for name, note in value.items() if isinstance(note, str)}


def _estimates(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    return {effort: known for effort, known in value.items() if _is_estimate(known)}


def _is_estimate(known: Any) -> bool:
    seconds = known.get("seconds") if isinstance(known, dict) else None
    return isinstance(seconds, dict) and all(
        type(n) in (int, float) and 0 <= n < 1e9 and math.isfinite(n) for n in seconds.values()
    )


CHECKS: dict[str, Callable[[Any], Any]] = {
    "slice": _place, "step": _text, "scan": _text, "plane": _text, "watch": _text,
    "model_files": _texts, "notes": _notes, "estimates": _estimates, "learns_on": _flag,
}  # fmt: skip
