"""Under which names the results of scans are in a folder: each scan has its own, however often.

A name in the folder belongs to the scan that it was given to first. That scan is known again by
where it lies and by what is in its file: another person's ``T1.nii.gz`` gets another name, a file
that was moved keeps its name, and a file that was replaced is not the scan that it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from napari_singlestrip.engine.imaging.scan_files import real_file
from napari_singlestrip.engine.imaging.scan_identity import fingerprint
from napari_singlestrip.engine.imaging.scan_names import name_key, name_scans, stem_of
from napari_singlestrip.engine.imaging.scan_search import made_for
from napari_singlestrip.study.document import study_names
from napari_singlestrip.study.volumes_table import (
    MASK_SUFFIX,
    NAMES,
    TABLE,
    AppliedRow,
    add_rows,
    alone,
    read_table,
)


@dataclass(frozen=True)
class AppliedNames:
    """Names of the scans that a model is applied to.

    Attributes
    ----------
    names : dict of Path to str
        Absolute paths, in the order in which they were given.
    refused : dict of Path to str
        Scans to leave alone, each with the reason.
    fingerprint : callable
        Of a scan's file; read once.
    """

    names: dict[Path, str]
    refused: dict[Path, str]
    fingerprint: Callable[[Path], str]


def applied_names(
    model: Path, files: Iterable[Path], out: Path, *, again: bool = False
) -> AppliedNames:
    """Name scans that a model is applied to.

    A scan that the folder has results of is called as there, one of the study as in the study, and
    any other like its file, with folders in front where that name is another scan's.

    Parameters
    ----------
    model : Path
        A study folder, or a model file.
    files : iterable of Path
    out : Path
        The folder for the results; may be missing.
    again : bool
        Masks are to be replaced, also those of files that were replaced.

    Raises
    ------
    UserError
        If two scans cannot be told apart by name and folders, or the study or the table in the
        folder is damaged.
    """
    paths = list(dict.fromkeys(Path(os.path.abspath(file)) for file in files))
    rows = _owners(out)
    naming = _Naming(out, {row.scan: Path(row.file) for row in rows})
    known = _known_again(paths, rows, naming.fingerprint)
    naming.names = {file: row.scan for file, row in known.items()}
    naming.name_rest(paths, study_names(model))
    if not again:
        for file, row in known.items():
            if why := naming.why_changed(file, row):
                naming.refused[file] = why
    names = {file: naming.names[file] for file in paths if file not in naming.refused}
    return AppliedNames(names, naming.refused, naming.fingerprint)


def reserve_names(
    model: Path, files: Iterable[Path], out: Path, *, again: bool = False
) -> AppliedNames:
    """`applied_names` that no other job will give: several may begin in one folder at once.

    Raises
    ------
    UserError
        As `applied_names`; also if the folder cannot be written.
    """
    with alone(out / NAMES):
        named = applied_names(model, files, out, again=again)
        known = {row.scan for row in _owners(out)}
        new = [
            AppliedRow(name, file=str(file))
            for file, name in named.names.items() if name not in known
        ]
        if new:
            add_rows(out / NAMES, new)
    return named


def _owners(out: Path) -> list[AppliedRow]:
    """Whose the names in a folder are: those with results, and those that jobs began with."""
    begun = {row.scan: row for row in read_table(out / NAMES) if Path(row.file).exists()}
    done = {row.scan: row for row in read_table(out / TABLE) if row.file}
    return list((begun | done).values())


def _known_again(
    files: Iterable[Path], rows: Sequence[AppliedRow], fingerprint_of: Callable[[Path], str]
) -> dict[Path, AppliedRow]:
    """Find the scans that have results: the same place, or the same content moved here."""
    at_place = {real_file(Path(row.file)): row for row in rows}
    known = {file: row for file in files if (row := at_place.get(real_file(file)))}
    here = {row.scan for row in known.values()}
    moved: dict[tuple[str, str], list[AppliedRow]] = {}
    for row in rows:
        if row.fingerprint and row.scan not in here and not Path(row.file).exists():
            moved.setdefault((_stem_key(Path(row.file)), row.fingerprint), []).append(row)
    stems = {stem for stem, _ in moved}
    for file in files:
        if file in known or (stem := _stem_key(file)) not in stems:  # it need not be read
            continue
        if found := moved.get((stem, fingerprint_of(file))):
            known[file] = found.pop(0)
    return known


def _stem_key(file: Path) -> str:
    return name_key(stem_of(file))


@dataclass
class _Naming:
    """Names in a folder of results: those that are taken, and those that are given now."""

    out: Path
    taken: dict[str, Path]  # by whom
    names: dict[Path, str] = field(default_factory=dict)
    refused: dict[Path, str] = field(default_factory=dict)
    fingerprint: Callable[[Path], str] = field(default_factory=lambda: cache(fingerprint))

    def name_rest(self, files: Sequence[Path], of_study: Mapping[Path, str]) -> None:
        """Name the files that have no name yet."""
        used = {name_key(name) for name in self.taken}
        for file in files:
            if file in self.names or file not in of_study:
                continue
            name = of_study[file]
            if name_key(name) not in used and not self._is_of_another(file, name):
                self.names[file] = name
        self.taken |= {name: file for file, name in self.names.items()}
        while rest := [f for f in files if f not in self.names and f not in self.refused]:
            self._name(rest)

    def _name(self, files: Sequence[Path]) -> None:
        """Name files, but for those whose masks would be where those of other scans are."""
        naming = name_scans(files, self.taken)
        given = set(files)
        if any(other in given for _, other in naming.clashes):
            naming.checked()
        for file, other in naming.clashes:
            self.refused[file] = (
                f"{file} has the name and folder of {other}, whose mask is in {self.out.name}. "
                "Rename it, or choose another --out."
            )
        for file, name in naming.names.items():
            if self._is_of_another(file, name):
                self.taken[name] = self.out / (name + MASK_SUFFIX)
            else:
                self.names[file] = name
        self.taken |= {name: file for file, name in self.names.items()}

    def _is_of_another(self, file: Path, name: str) -> bool:
        """Whether the mask of this name says that it was made for another scan."""
        mask = self.out / (name + MASK_SUFFIX)
        owner = made_for(mask) if mask.is_file() else None
        return bool(owner) and owner != self.fingerprint(file)

    def why_changed(self, file: Path, row: AppliedRow) -> str:
        """Why the mask that is there is not that of the file; empty if it is."""
        if not row.mask or not row.fingerprint or not (self.out / row.mask).is_file():
            return ""
        if self.fingerprint(file) in ("", row.fingerprint):
            return ""
        return (
            f"{file} has changed since {row.mask} in {self.out.name} was made: that is the mask of "
            "what it was. Use --again to replace it, or move it away or choose another --out to "
            "keep it."
        )
