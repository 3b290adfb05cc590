"""window.json: what a window remembers of a study; what is no such thing is left out."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_singlestrip.errors import UserError
from napari_singlestrip.files import read_json

MAX_BYTES = 4 * 2**20


def read_window_file(path: Path) -> dict[str, Any]:
    """Return what is remembered, with the types that those who ask for it rely on.

    It is a convenience: a file that is missing or damaged is not worth a word.
    """
    try:
        content = read_json(path, MAX_BYTES)
    except (FileNotFoundError, UserError):
        return {}
    if not isinstance(content, dict):
        return {}
    checked = {name: CHECKS.get(name, _as_it_is)(value) for name, value in content.items()}
    return {name: value for name, value in checked.items() if value is not None}


def _as_it_is(value: Any) -> Any:
    return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


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
    "step": _text, "scan": _text, "plane": _text, "watch": _text, "model_files": _texts,
    "notes": _notes, "estimates": _estimates,
}  # fmt: skip
