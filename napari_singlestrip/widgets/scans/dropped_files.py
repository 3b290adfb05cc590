"""Sorting dropped or chosen files and folders into usable scans and problems."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_singlestrip.engine.imaging.scan_names import name_scans
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.document import DOCUMENT_NAME
from napari_singlestrip.study.found_scans import find_scan_files

MAX_TOLD = 3


@dataclass(frozen=True)
class Incoming:
    """The scans and problems found.

    Attributes
    ----------
    scans : tuple of Path
        Scan files with unique names.
    problems : tuple of str
        One sentence for each file that is left out.
    """

    scans: tuple[Path, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def left_out(self) -> str:
        """The first problems as text; empty if there are none."""
        more = len(self.problems) - MAX_TOLD
        told = " ".join(self.problems[:MAX_TOLD])
        return f"Left out: {told}" + (f" And {more} more." if more > 0 else "") if told else ""


def study_among(paths: Iterable[Path]) -> Path | None:
    """The study among files and folders: its folder, or its study.json."""
    for path in paths:
        if path.name == DOCUMENT_NAME:
            return path.parent
        if (path / DOCUMENT_NAME).is_file():
            return path
    return None


def sort_out(paths: Sequence[Path], known: Mapping[str, Path] | None = None) -> Incoming:
    """Find the scans among files and folders, skipping unusable ones.

    Parameters
    ----------
    paths : sequence of Path
    known : mapping of str to Path, optional
        Names that are taken, and their files.
    """
    problems: list[str] = []
    found: dict[Path, None] = {}
    for path in paths:
        try:
            these = find_scan_files([path])
            found |= dict.fromkeys(these)
            problems += these.notes
        except UserError as error:
            problems.append(str(error))
    named = set((known or {}).values())
    clashes = name_scans((file for file in found if file not in named), known).clashes
    problems += [f"{file} has the same name as {other}." for file, other in clashes]
    left_out = {file for file, _ in clashes}
    return Incoming(tuple(file for file in found if file not in left_out), tuple(problems))


def suggested_place(paths: Sequence[Path]) -> Path:
    """Suggest a folder for a new study: beside the files, or in the home folder.

    Parameters
    ----------
    paths : sequence of Path
        Not empty.
    """
    folders = [path if path.is_dir() else path.parent for path in paths]
    folder = Path(os.path.commonpath([os.path.abspath(path) for path in folders]))
    parent = folder.parent
    if parent == folder or not os.access(parent, os.W_OK):
        parent = home()
    return free_name(parent / f"{folder.name or 'scans'}_singlestrip")


def free_name(place: Path) -> Path:
    """Return `place`, with a number appended if it exists."""
    free, number = place, 2
    while free.is_file() or (free.is_dir() and any(free.iterdir())):
        free, number = place.with_name(f"{place.name}_{number}"), number + 1
    return free


def home() -> Path:
    """Default folder for studies."""
    return Path.home() / "singlestrip"
