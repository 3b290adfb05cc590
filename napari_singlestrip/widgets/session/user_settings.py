"""User preferences, stored with the system's application settings: recent studies, launchers.

A launcher is a command, so it must not be stored in a study, which may come from elsewhere.
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
NAPARI_PANELS = "napari_panels"
FOLLOW_LIVE = "follow_while_correcting"


def settings() -> QSettings:
    """The store of preferences."""
    return QSettings("napari-singlestrip", "napari-singlestrip")


def recent_studies() -> list[Path]:
    """Folders of recent studies, latest first, without missing ones."""
    stored = settings().value(KEY) or []
    paths = [Path(text) for text in ([stored] if isinstance(stored, str) else stored)]
    return [path for path in paths if (path / DOCUMENT_NAME).is_file()]


def remember_study(folder: Path) -> None:
    """Move a study to the top of the list."""
    others = [path for path in recent_studies() if path != folder]
    settings().setValue(KEY, [str(path) for path in [folder, *others][:MAX_RECENT]])


def napari_panels_wanted() -> bool:
    """Whether napari's layer list and controls are shown beside our dock (default: no)."""
    return str(settings().value(NAPARI_PANELS)).lower() == "true"  # stored as text


def want_napari_panels(wanted: bool) -> None:
    """Store the choice."""
    settings().setValue(NAPARI_PANELS, wanted)


def follow_live_wanted() -> bool:
    """Whether the rest of a mask follows each stroke (default: yes)."""
    return str(settings().value(FOLLOW_LIVE)).lower() != "false"


def want_follow_live(wanted: bool) -> None:
    """Store the choice."""
    settings().setValue(FOLLOW_LIVE, wanted)


def launcher_of(study: Path) -> list[str]:
    """Return the launcher of a study's jobs; empty for this computer."""
    return _launchers().get(str(study), [])


def set_launcher(study: Path, words: Sequence[str]) -> None:
    """Store the launcher of a study's jobs."""
    settings().setValue(LAUNCHERS, json.dumps({**_launchers(), str(study): list(words)}))


def _launchers() -> dict[str, list[str]]:
    """The stored lists; invalid entries are skipped."""
    try:
        found = json.loads(settings().value(LAUNCHERS) or "{}")
    except (TypeError, ValueError, RecursionError):
        return {}
    return {
        study: [word for word in words if isinstance(word, str)]
        for study, words in (found.items() if isinstance(found, dict) else ())
        if isinstance(words, list)
    }
