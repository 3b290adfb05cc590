"""Studies that were open lately: a person's preference, kept with the settings of programs."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSettings

from napari_singlestrip.study_document import DOCUMENT_NAME

MAX_RECENT = 5
KEY = "recent_studies"


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
