"""Telling DICOM files from others, by their first bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

_MAGIC_AT, _MAGIC = 128, b"DICM"
_LOOKED_AT = 300  # files that are enough to judge a folder by


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do."""
    try:
        with path.open("rb") as file:
            return file.read(_MAGIC_AT + len(_MAGIC))[_MAGIC_AT:] == _MAGIC
    except OSError:
        return False


def files_below(folder: Path) -> Iterator[Path]:
    """All files in a folder at any depth but hidden ones, always in one order."""
    for top, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(top, name)
            if not name.startswith(".") and path.is_file():  # reading a pipe would block forever
                yield path


def holds_dicom(folder: Path) -> bool:
    """Whether there is DICOM in a folder, by its first files."""
    return folder.is_dir() and any(map(is_dicom, islice(files_below(folder), _LOOKED_AT)))
