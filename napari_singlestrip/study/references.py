"""Matching reference masks to the scans of a study, with one listing of the folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from napari_singlestrip.errors import UserError
from napari_singlestrip.study.document import resolved_path, stored_references
from napari_singlestrip.study.folder import StudyFolder
from napari_singlestrip.study.scans import StudyScans
from napari_singlestrip.vocabulary import StudyPart


@dataclass(frozen=True)
class References:
    """The reference masks of the scans of a study.

    Attributes
    ----------
    exact : mapping of str to Path
        Masks by their names.
    matched : mapping of str to Path
        By scan name: matched by file name and folders.
    doubtful : mapping of str to list of Path
        By scan name: ambiguous matches.
    """

    exact: Mapping[str, Path] = field(default_factory=dict)
    matched: Mapping[str, Path] = field(default_factory=dict)
    doubtful: Mapping[str, list[Path]] = field(default_factory=dict)

    def of(self, name: str) -> Path | None:
        """Return the reference mask of a scan, or None if there is none.

        It has the name of the scan in the study, or else the same file name, in folders with the
        same names as far as needed to distinguish it from others.

        Raises
        ------
        UserError
            If the match is ambiguous.
        """
        if name in self.exact:
            return self.exact[name]
        if name in self.doubtful:
            raise UserError(
                f"It is not clear which mask belongs to {name}, such as {self.doubtful[name][0]}.",
                f"Call it {name}_mask, or put the masks in folders named like those of the scans.",
            )
        return self.matched.get(name)


class StudyReferences:
    """The reference masks of a study, for evaluation only, never for training.

    Parameters
    ----------
    folder : StudyFolder
    scans : StudyScans
    """

    def __init__(self, folder: StudyFolder, scans: StudyScans) -> None:
        self._folder, self._scans = folder, scans

    @property
    def folder(self) -> Path | None:
        """Folder of the reference masks, or None."""
        stored = self._folder.document.references
        return None if stored is None else resolved_path(stored, self._folder.path)

    def set_folder(self, folder: str | Path | None) -> None:
        """Set the folder of reference masks, or None."""
        stored = stored_references(folder, self._folder.path)
        with self._folder.changing(document=True):
            self._folder.write_document(references=stored)
        self._folder.changed.emit(StudyPart.SETTINGS)

    def find(self) -> References:
        """Find the reference masks of all scans, for callers that need many.

        Raises
        ------
        UserError
            If the references cannot be read.
        """
        paths = {name: self._scans.path(name) for name in self._scans.names}
        return find_references(self.folder, paths)

    def path(self, name: str) -> Path | None:
        """Return the reference mask of one scan, or None if there is none.

        Raises
        ------
        UserError
            If the match is ambiguous, or the references cannot be read.
        """
        return self.find().of(name)


def find_references(folder: Path | None, scans: Mapping[str, Path]) -> References:
    """Find the reference masks of all scans; a scan that lies there is none of itself.

    Parameters
    ----------
    folder : Path or None
        Where they are; None if there are none.
    scans : mapping of str to Path
        Names in the study, and files.

    Raises
    ------
    UserError
        If the references cannot be read.
    """
    if folder is None or not folder.is_dir():
        return References()
    from napari_singlestrip.engine.imaging.scan_names import find_masks, match, possible_names

    masks = without_scans(find_masks(folder), scans)
    exact: dict[str, Path] = {}
    for path, names in masks.items():
        if len(names) == 1:
            exact.setdefault(names[0], path)
    longest_first = {
        name: sorted({name, *possible_names(path)}, key=len, reverse=True)
        for name, path in scans.items()
    }
    return References(exact, *match(longest_first, masks))


def without_scans(
    masks: Mapping[Path, tuple[str, ...]], scans: Mapping[str, Path]
) -> dict[Path, tuple[str, ...]]:
    """Leave out files that are scans of the study themselves, under whatever path."""
    own = {os.path.realpath(scan) for scan in scans.values()}
    return {path: names for path, names in masks.items() if os.path.realpath(path) not in own}
