"""The scans of a study, with their names and files."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import overload

from napari_singlestrip.engine.imaging.scan_files import real_file, real_files
from napari_singlestrip.engine.imaging.scan_names import usable_name
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.dicom_sources import keep_sources
from napari_singlestrip.study.document import Role, ScanEntry, resolved_path
from napari_singlestrip.study.folder import StudyFolder
from napari_singlestrip.study.found_scans import find_scan_files, scan_entries
from napari_singlestrip.vocabulary import StudyPart


class _Index:
    """Scans by name and by normalised name, and names by path; each made when it is asked for.

    Opening a study of thousands needs only the first.
    """

    def __init__(self, scans: Iterable[ScanEntry], folder: Path) -> None:
        self.by_name = {entry.name: entry for entry in scans}
        self.names = tuple(self.by_name)
        self._folder = folder
        self._paths: dict[str, Path] = {}

    @cached_property
    def by_plain_name(self) -> dict[str, ScanEntry]:
        return {usable_name(name): entry for name, entry in self.by_name.items()}

    @cached_property
    def by_path(self) -> dict[Path, str]:
        return {self.path(entry): name for name, entry in self.by_name.items()}

    def path(self, entry: ScanEntry) -> Path:
        """Return the absolute path of a scan: made once, as the tables of the window ask often."""
        found = self._paths.get(entry.name)
        if found is None:
            found = self._paths[entry.name] = resolved_path(entry.path, self._folder)
        return found


class StudyScans(Sequence[ScanEntry]):
    """All scans of a study, in the order in which they were added.

    Parameters
    ----------
    folder : StudyFolder
    """

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder
        self._index_of: tuple[tuple[ScanEntry, ...], _Index] | None = None

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, index: int) -> ScanEntry: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[ScanEntry, ...]: ...

    def __getitem__(self, index: int | slice) -> ScanEntry | tuple[ScanEntry, ...]:
        return self.entries[index]

    @property
    def entries(self) -> tuple[ScanEntry, ...]:
        """All entries as a tuple; another object only when they have changed."""
        return self._folder.document.scans

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all scans."""
        return self._index.names

    def entry(self, name: str) -> ScanEntry:
        """Return a scan by its name, in any Unicode form, or by its file name.

        Raises
        ------
        UserError
            If the study has no such scan; the hint lists close names.
        """
        index = self._index
        entry = index.by_name.get(name) or index.by_plain_name.get(usable_name(name))
        if entry is None:
            raise UserError(
                f"The study {self._folder.name} has no scan {name!r}.",
                close_names(name, self.names),
            )
        return entry

    def path(self, name: str) -> Path:
        """Return the path of the scan's file (which may be missing)."""
        return self._index.path(self.entry(name))

    def name_of(self, path: Path) -> str | None:
        """Return the name of the scan in a file; None if it is not in the study."""
        return self._index.by_path.get(Path(os.path.abspath(path)))

    def taken_names(self) -> dict[str, Path]:
        """Names and files of the scans, including removed ones, whose masks are kept."""
        folder = self._folder
        gone = {e.name: resolved_path(e.path, folder.path) for e in folder.document.removed}
        return {**gone, **{entry.name: self._index.path(entry) for entry in self}}

    def add(self, paths: Sequence[str | Path], role: Role = "pool") -> tuple[str, ...]:
        """Add scan files, or folders of them; return the new names.

        Files that the study already has, and its own masks, are skipped. Existing scans keep their
        names; a removed scan gets its former name back.

        Raises
        ------
        UserError
            If there are no scans, or two cannot be told apart by name and folders.
        """
        files = find_scan_files(paths)  # may take long, so done before the lock is taken
        folder = self._folder
        with folder.changing(document=True):
            new = scan_entries(self._unknown(files), folder.path, role, self.taken_names())
            names = tuple(entry.name for entry in new)
            if new:
                gone = tuple(e for e in folder.document.removed if e.name not in names)
                folder.write_document(scans=(*self, *new), removed=gone)
        if new:
            keep_sources(folder.path, new)
            folder.changed.emit(StudyPart.SCANS)
        return names

    def remove(self, name: str) -> None:
        """Remove a scan; its files are kept, and adding it again restores everything.

        Raises
        ------
        UserError
            If it is unknown, or the only one.
        """
        folder = self._folder
        with folder.changing(document=True):
            entry = self.entry(name)
            if len(self) == 1:
                raise UserError(f"{name} is the only scan of the study.", "Add another one first.")
            others = tuple(e for e in folder.document.removed if e.name != name)
            folder.write_document(
                scans=tuple(e for e in self if e != entry), removed=(*others, entry)
            )
        folder.changed.emit(StudyPart.SCANS)

    def _unknown(self, files: Iterable[Path]) -> list[Path]:
        """Files that are neither in the study nor written by it."""
        known = real_files(self._index.by_path)
        made_here = tuple(self._folder.path / part for part in ("masks", "rounds"))
        return [
            p for p in files
            if real_file(p) not in known and not any(p.is_relative_to(m) for m in made_here)
        ]

    @property
    def _index(self) -> _Index:
        """Index of the scans, cached as long as they are the same."""
        entries = self.entries
        if self._index_of is None or self._index_of[0] is not entries:
            self._index_of = (entries, _Index(entries, self._folder.path))
        return self._index_of[1]


def close_names(name: str, names: Sequence[str]) -> str:
    """Return the hint for an unknown name: those that resemble it, or the first few."""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    close = close or [n for n in names if name and name.lower() in n.lower()][:3]
    if close:
        return f"Did you mean {' or '.join(close)}?"
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"Its scans are: {', '.join(names[:10])}{more}."
