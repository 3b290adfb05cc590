"""A person's preferences, kept with the settings of programs: studies opened lately, launchers.

A launcher is a command that is run: it must not come from a study, which somebody may have sent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import QSettings

from napari_singlestrip.study.document import DOCUMENT_NAME

MAX_RECENT = 5
KEY = "recent_studies"
LAUNCHERS = "launchers"


def settings() -> QSettings:
    """Where preferences are kept."""
    return QSettings("napari-singlestrip", "napari-singlestrip")


def recent_studies() -> list[Path]:
    """Folders of the studies that were open last, newest first; those that are gone left out."""
    stored = settings().value(KEY) or []
    paths = [Path(text) for text in ([stored] if isinstance(stored, str) else stored)]
    return [path for path in paths if (path / DOCUMENT_NAME).is_file()]


def remember_study(folder: Path) -> None:
    """Put a study at the top of the list."""
    others = [path for path in recent_studies() if path != folder]
    settings().setValue(KEY, [str(path) for path in [folder, *others][:MAX_RECENT]])


def launcher_of(study: Path) -> list[str]:
    """Return the words that start the jobs of a study elsewhere; none for this computer."""
    return _launchers().get(str(study), [])


def set_launcher(study: Path, words: Sequence[str]) -> None:
    """Keep the words that start the jobs of a study elsewhere."""
    settings().setValue(LAUNCHERS, json.dumps({**_launchers(), str(study): list(words)}))


def _launchers() -> dict[str, list[str]]:
    """What is kept; what is no list of words is passed over."""
    try:
        found = json.loads(settings().value(LAUNCHERS) or "{}")
    except (TypeError, ValueError, RecursionError):
        return {}
    return {
        study: [word for word in words if isinstance(word, str)]
        for study, words in (found.items() if isinstance(found, dict) else ())
        if isinstance(words, list)
    }
