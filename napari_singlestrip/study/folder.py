"""The part of a study that is not about masks: scans, settings, and the rounds of the worker."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from psygnal import Signal

from napari_singlestrip.atomic_files import exclusive
from napari_singlestrip.engine.config import Effort, Settings, settings_for
from napari_singlestrip.engine.imaging.scan_files import real_file
from napari_singlestrip.engine.imaging.scan_names import usable_name
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.changes import finish_change
from napari_singlestrip.study.document import (
    DOCUMENT_NAME,
    Role,
    ScanEntry,
    StudyDocument,
    find_scan_files,
    json_values,
    read_document,
    resolved_path,
    scan_entries,
    stored_references,
    write_document,
)
from napari_singlestrip.study.references import References, find_references
from napari_singlestrip.study.tables import ScoreRow, read_scores, write_scores

T = TypeVar("T")
EXTENSION = ".nii.gz"


@dataclass(frozen=True)
class _Index:
    """Scans by their name, by its plain spelling, and names by where the files are."""

    by_name: dict[str, ScanEntry]
    by_plain_name: dict[str, ScanEntry]
    by_path: dict[Path, str]

    @classmethod
    def of(cls, scans: Iterable[ScanEntry], folder: Path) -> _Index:
        by_name = {entry.name: entry for entry in scans}
        paths = {resolved_path(entry.path, folder): name for name, entry in by_name.items()}
        return cls(by_name, {usable_name(name): e for name, e in by_name.items()}, paths)


class StudyFolder:
    """Scans, settings and rounds of a study; `Study` adds masks and decisions.

    Attributes
    ----------
    folder : Path
        Absolute path of the study folder.
    changed : psygnal.Signal
        Emitted after a change made through this object, with what changed: "scans",
        "settings", "masks", "decisions", "scores" or "document" (after `reload`); by `follow`
        also after one that another program made.
    """

    changed = Signal(str)

    def __init__(self, folder: Path, document: StudyDocument) -> None:
        self.folder = folder
        self._document = document
        self._cache: dict[tuple[Path, object], tuple[object, object]] = {}
        self._seen: dict[str, dict[Path, object]] = {}  # by what, of files
        self._index_of: tuple[StudyDocument, _Index] | None = None

    def reload(self) -> None:
        """Read study.json again, after another program may have written it."""
        self._document = read_document(self.folder)
        self.changed.emit("document")

    def follow(self) -> None:
        """Look whether another program changed the study since the last look, and tell it.

        Raises
        ------
        UserError
            If study.json is damaged or gone; the study stays as it was known.
        """
        for what, paths in self._watched().items():
            before = self._seen.get(what)
            stamps: dict[Path, object] = {path: _stamp(path) for path in paths}
            self._seen[what] = stamps
            if what == "scans" and stamps != before:
                old, self._document = self._document, read_document(self.folder)
                if old != self._document:
                    self.changed.emit("scans" if old.scans != self._document.scans else "settings")
            elif before is not None and stamps != before:
                self.changed.emit(what)

    # --- scans and settings

    @property
    def name(self) -> str:
        """Name of the study: that of its folder."""
        return self.folder.name

    @property
    def scans(self) -> tuple[ScanEntry, ...]:
        """All scans, in the order in which they were added."""
        return self._document.scans

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all scans."""
        return tuple(entry.name for entry in self.scans)

    @property
    def effort(self) -> str:
        """The one dial: quick, standard or thorough."""
        return self._document.effort

    @property
    def overrides(self) -> dict[str, Any]:
        """Settings that differ from those of the effort (a copy)."""
        return dict(self._document.overrides)

    @property
    def references(self) -> Path | None:
        """Folder of reference masks, or None."""
        stored = self._document.references
        return None if stored is None else resolved_path(stored, self.folder)

    def scan(self, name: str) -> ScanEntry:
        """Return a scan by its name, in any spelling of Unicode, or as its file is called.

        Raises
        ------
        UserError
            If the study has no such scan; the hint lists close names.
        """
        index = self._index
        entry = index.by_name.get(name) or index.by_plain_name.get(usable_name(name))
        if entry is None:
            raise UserError(
                f"The study {self.name} has no scan {name!r}.", close_names(name, self.names)
            )
        return entry

    def scan_path(self, name: str) -> Path:
        """Return where the scan's file should be (it may be missing)."""
        return resolved_path(self.scan(name).path, self.folder)

    def add_scans(self, paths: Sequence[str | Path], role: Role = "pool") -> tuple[str, ...]:
        """Add scan files, or folders of them; return the names that are new.

        Files that the study has already, and its own masks, are passed over. No scan that is there
        changes its name; one that was removed comes back under its own.

        Raises
        ------
        UserError
            If there are no scans, or two cannot be told apart by name and folders.
        """
        files = find_scan_files(paths)  # may take long: others go on meanwhile
        with self._changing(document=True):
            known = {real_file(path) for path in self._index.by_path}
            made_here = (self.folder / "masks", self.folder / "rounds")
            found = [
                p
                for p in files
                if real_file(p) not in known and not any(p.is_relative_to(m) for m in made_here)
            ]
            new = scan_entries(found, self.folder, role, self.taken_names())
            names = tuple(entry.name for entry in new)
            if new:
                gone = tuple(e for e in self._document.removed if e.name not in names)
                self._write(scans=(*self.scans, *new), removed=gone)
        if new:
            self.changed.emit("scans")
        return names

    def taken_names(self) -> dict[str, Path]:
        """Names of the scans and of those that were removed, whose masks are kept; their files."""
        entries = (*self._document.removed, *self.scans)
        return {entry.name: resolved_path(entry.path, self.folder) for entry in entries}

    def name_of(self, path: Path) -> str | None:
        """Return the name of the scan in a file; None when it is not in the study."""
        return self._index.by_path.get(Path(os.path.abspath(path)))

    def remove_scan(self, name: str) -> None:
        """Take a scan out of the study; its files stay, and adding it again brings all back.

        Raises
        ------
        UserError
            If it is unknown, or the only one.
        """
        with self._changing(document=True):
            entry = self.scan(name)
            if len(self.scans) == 1:
                raise UserError(f"{name} is the only scan of the study.", "Add another one first.")
            others = tuple(e for e in self._document.removed if e.name != name)
            self._write(
                scans=tuple(e for e in self.scans if e != entry), removed=(*others, entry)
            )
        self.changed.emit("scans")

    def settings(
        self,
        effort: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> Settings:
        """Return the study's settings, with changes for one run on top.

        Raises
        ------
        UserError
            If a setting is unknown or out of range.
        """
        changes = {**self.overrides, **(overrides or {})}
        if seed is not None:
            changes["seed"] = seed
        return settings_for(cast(Effort, effort or self.effort), changes)

    def set_settings(
        self, overrides: Mapping[str, Any] | None = None, effort: str | None = None
    ) -> Settings:
        """Replace the overrides, the effort or both, and return the resulting settings.

        Raises
        ------
        UserError
            If a setting is unknown or out of range; nothing is changed then.
        """
        with self._changing(document=True):
            new_effort = self.effort if effort is None else effort
            new_overrides = json_values(self.overrides if overrides is None else overrides)
            settings = settings_for(cast(Effort, new_effort), new_overrides)
            self._write(effort=new_effort, overrides=new_overrides)
        self.changed.emit("settings")
        return settings

    def set_references(self, folder: str | Path | None) -> None:
        """Name the folder of reference masks, or None; they are only for evaluation."""
        stored = stored_references(folder, self.folder)
        with self._changing(document=True):
            self._write(references=stored)
        self.changed.emit("settings")

    def find_references(self) -> References:
        """Find the reference masks of all scans: once for a caller that asks for many.

        Raises
        ------
        UserError
            If the references cannot be read.
        """
        return find_references(self.references, {n: self.scan_path(n) for n in self.names})

    def reference_path(self, name: str) -> Path | None:
        """Return the reference mask of one scan, or None when there is none.

        Raises
        ------
        UserError
            If more than one could be meant, or the references cannot be read.
        """
        return self.find_references().of(name)

    # --- rounds: only the worker writes there

    def rounds(self) -> list[int]:
        """Numbers of the rounds that exist, ascending."""
        folders = (p for p in (self.folder / "rounds").glob("*") if p.is_dir())
        return sorted(
            int(p.name) for p in folders
            if p.name.isdecimal() and p == self.round_dir(int(p.name))
        )

    def current_round(self) -> int:
        """Number of the newest round; 0 when there is none yet."""
        return max(self.rounds(), default=0)

    def round_dir(self, round_: int) -> Path:
        """Folder of a round."""
        return self.folder / "rounds" / f"{round_:02d}"

    def pseudo_label_path(self, round_: int, name: str) -> Path:
        """Where the predicted mask of a scan is, or would be."""
        return self.round_dir(round_) / "pseudo_labels" / (self.scan(name).name + EXTENSION)

    def newest_pseudo_label(self, name: str) -> tuple[int, Path] | None:
        """Round and path of the newest predicted mask of a scan; None when there is none."""
        for round_ in reversed(self.rounds()):
            path = self.pseudo_label_path(round_, name)
            if path.exists():
                return round_, path
        return None

    def reconstruction_path(self, round_: int, name: str) -> Path:
        """Where the autoencoder's reconstruction of the predicted mask is, or would be."""
        return self.round_dir(round_) / "reconstructions" / (self.scan(name).name + EXTENSION)

    def scores_path(self, round_: int) -> Path:
        """Where the scores of a round are, or would be."""
        return self.round_dir(round_) / "scores.csv"

    def scores(self, round_: int) -> list[ScoreRow]:
        """Scores of a round as the worker wrote them; empty when it was not ranked yet.

        Raises
        ------
        UserError
            If scores.csv is damaged.
        """
        return list(self._read(self.scores_path(round_), read_scores))

    def score(self, round_: int, name: str) -> ScoreRow:
        """Return the scores of one mask; unknown ones if it was not ranked."""
        rows = self._read(self.scores_path(round_), _scores_by_name)
        return rows.get(name) or ScoreRow(name)

    def save_scores(self, round_: int, rows: Iterable[ScoreRow]) -> None:
        """Write the scores of a round (for the worker)."""
        write_scores(self.scores_path(round_), rows)
        self.changed.emit("scores")

    # --- inside

    @property
    def _index(self) -> _Index:
        """What the scans are found by, made once for each state of the document."""
        if self._index_of is None or self._index_of[0] is not self._document:
            self._index_of = (self._document, _Index.of(self.scans, self.folder))
        return self._index_of[1]

    @contextmanager
    def _changing(self, document: bool = False) -> Iterator[None]:
        """Keep others from changing the study; inside, it is known as it is on disk now.

        Parameters
        ----------
        document : bool
            Whether study.json itself is to be changed: two changes within one tick of the disk's
            clock may look like one, so it is read anew then.
        """
        with exclusive(self.folder / DOCUMENT_NAME):
            finish_change(self.folder)
            self._document = (
                read_document(self.folder) if document
                else self._read(self.folder / DOCUMENT_NAME, _document_at)
            )
            yield

    def _write(self, **changes: Any) -> None:
        """Change study.json; only within `_changing`."""
        document = StudyDocument.model_validate({**dict(self._document), **changes})
        write_document(self.folder, document)
        self._document = document
        self._saw("scans")

    def _saw(self, what: str) -> None:
        """Note a change of our own, while nobody else can make one: `follow` does not tell it."""
        self._seen[what] = {path: _stamp(path) for path in self._watched()[what]}

    def _watched(self) -> dict[str, tuple[Path, ...]]:
        """Files and folders that `follow` looks at, by what changed with them."""
        newest = self.round_dir(self.current_round())
        return {
            "scans": (self.folder / DOCUMENT_NAME,),
            "rounds": (self.folder / "rounds", newest / "segmenter.pt", newest / "scores.csv"),
        }

    def _read(self, path: Path, read: Callable[[Path], T]) -> T:
        """Read a table, or take it from memory when the file is the same as last time."""
        key = _stamp(path)
        if key is None:
            return read(path)
        found = self._cache.get((path, read))
        if found is None or found[0] != key:
            found = self._cache[path, read] = (key, read(path))
        return cast(T, found[1])


def _scores_by_name(path: Path) -> dict[str, ScoreRow]:
    return {row.scan: row for row in read_scores(path)}


def _document_at(path: Path) -> StudyDocument:
    return read_document(path.parent)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What tells a file from the one that replaces it; None without one."""
    try:
        stat = path.stat()
    except (OSError, ValueError):  # missing, or a path that cannot be: the reader says so
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def close_names(name: str, names: Sequence[str]) -> str:
    """Return the hint for an unknown name: those that resemble it, or the first few."""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    close = close or [n for n in names if name and name.lower() in n.lower()][:3]
    if close:
        return f"Did you mean {' or '.join(close)}?"
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"Its scans are: {', '.join(names[:10])}{more}."
