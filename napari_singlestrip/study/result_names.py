"""Names of the results in a folder: each scan has its own, which stays the same in later runs.

A name in the folder belongs to the first scan that got it. That scan is recognised by its path and
by the content of its file: another participant's ``T1.nii.gz`` gets another name, a file that was
moved keeps its name, and a file whose content was replaced is a different scan.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from napari_singlestrip.engine.imaging.scan_files import real_file
from napari_singlestrip.engine.imaging.scan_identity import fingerprint
from napari_singlestrip.engine.imaging.scan_names import name_key, name_scans, stem_of
from napari_singlestrip.engine.imaging.scan_search import made_for
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.derivative import known_links
from napari_singlestrip.study.document import study_names
from napari_singlestrip.study.layout import Kind, Layout, Place, choose_layout
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
    """Names of the scans to which a model is applied.

    Attributes
    ----------
    names : dict of Path to str
        Absolute paths, in the given order.
    refused : dict of Path to str
        Scans that are skipped, each with the reason.
    fingerprint : callable
        Of a scan's file; cached.
    places : dict of str to Place
        Paths of the results, by scan name.
    layout : Layout
        Arrangement of the folder.
    """

    names: dict[Path, str]
    refused: dict[Path, str]
    fingerprint: Callable[[Path], str]
    places: dict[str, Place]
    layout: Layout


def applied_names(
    model: Path,
    files: Iterable[Path],
    out: Path,
    *,
    overwrite: bool = False,
    layout: Kind | None = None,
) -> AppliedNames:
    """Name the scans to which a model is applied.

    A scan with results in the folder keeps its name there, a scan of the study has its name in the
    study, and any other is named after its file, prefixed with folders if that name belongs to
    another scan.

    Parameters
    ----------
    model : Path
        A study folder, or a model file.
    files : iterable of Path
    out : Path
        The output folder; may be missing.
    overwrite : bool
        Replace masks, also those of files whose content has changed.
    layout : {"flat", "bids"}, optional
        By default as existing results, or else as the scans.

    Raises
    ------
    UserError
        If two scans cannot be told apart by name and folders, or the study or the table in the
        folder is damaged.
    """
    paths = list(dict.fromkeys(Path(os.path.abspath(file)) for file in files))
    rows = _owners(out)
    arranged = choose_layout(layout, paths, rows)
    arranged.links = known_links(out)
    naming = _Naming(out, {row.scan: Path(row.file) for row in rows}, arranged)
    known = _known_again(paths, rows, naming.fingerprint)
    naming.names = {file: row.scan for file, row in known.items()}
    naming.name_rest(paths, study_names(model))
    if not overwrite:
        for file, row in known.items():
            if why := naming.why_changed(file, row):
                naming.refused[file] = why
    names = {file: naming.names[file] for file in paths if file not in naming.refused}
    places = naming.give_places(names, rows, known)
    names = {file: name for file, name in names.items() if name in places}
    return AppliedNames(names, naming.refused, naming.fingerprint, places, arranged)


def reserve_names(
    model: Path,
    files: Iterable[Path],
    out: Path,
    *,
    overwrite: bool = False,
    layout: Kind | None = None,
) -> AppliedNames:
    """`applied_names`, reserved against other jobs that start in the same folder at once.

    Raises
    ------
    UserError
        As `applied_names`; also if the folder cannot be written.
    """
    with alone(out / NAMES):
        named = applied_names(model, files, out, overwrite=overwrite, layout=layout)
        known = {row.scan for row in _owners(out)}
        new = [
            AppliedRow(name, file=str(file), mask=named.places[name].mask)
            for file, name in named.names.items() if name not in known
        ]
        if new:
            add_rows(out / NAMES, new)
    return named


def _owners(out: Path) -> list[AppliedRow]:
    """Owners of the names in a folder: of existing results, and of names that jobs reserved."""
    begun = {row.scan: row for row in read_table(out / NAMES) if Path(row.file).exists()}
    done = {row.scan: row for row in read_table(out / TABLE) if row.file}
    return list((begun | done).values())


def _known_again(
    files: Iterable[Path], rows: Sequence[AppliedRow], fingerprint_of: Callable[[Path], str]
) -> dict[Path, AppliedRow]:
    """Find the scans that have results: by path, or by content if they were moved."""
    at_place = {real_file(Path(row.file)): row for row in rows}
    known = {file: row for file in files if (row := at_place.get(real_file(file)))}
    here = {row.scan for row in known.values()}
    moved: dict[tuple[str, str], list[AppliedRow]] = {}
    for row in rows:
        if row.fingerprint and row.scan not in here and not Path(row.file).exists():
            moved.setdefault((_stem_key(Path(row.file)), row.fingerprint), []).append(row)
    stems = {stem for stem, _ in moved}
    for file in files:
        if file in known or (stem := _stem_key(file)) not in stems:  # without reading it
            continue
        if found := moved.get((stem, fingerprint_of(file))):
            known[file] = found.pop(0)
    return known


def _stem_key(file: Path) -> str:
    return name_key(stem_of(file))


@dataclass
class _Naming:
    """Names in a folder of results: those taken, and those assigned now."""

    out: Path
    taken: dict[str, Path]  # with the owner of each
    layout: Layout
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
            if name_key(name) not in used and not self._has_mask_of_another(file, name):
                self.names[file] = name
        self.taken |= {name: file for file, name in self.names.items()}
        while rest := [f for f in files if f not in self.names and f not in self.refused]:
            self._name(rest)

    def _name(self, files: Sequence[Path]) -> None:
        """Name files, except those whose masks would collide with masks of other scans."""
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
            if self._has_mask_of_another(file, name):
                self.taken[name] = self.out / (name + MASK_SUFFIX)
            else:
                self.names[file] = name
        self.taken |= {name: file for file, name in self.names.items()}

    def give_places(
        self, names: Mapping[Path, str], rows: Sequence[AppliedRow], known: Collection[Path]
    ) -> dict[str, Place]:
        """Assign paths to results: the existing ones, else the first that is free."""
        masks = {row.scan: row.mask for row in rows}
        owners = {row.mask: row.scan for row in rows if row.mask}
        places: dict[str, Place] = {}
        for file, name in names.items():
            try:
                options = self.layout.places(file, name, masks.get(name, ""))
            except UserError as error:
                self.refused[file] = str(error)
                continue
            free = [
                place for place in options
                if owners.get(place.mask, name) == name
                and (file in known or not self._is_of_another(file, place.mask))
            ]
            if free:
                places[name] = free[0]
                owners[free[0].mask] = name
            else:
                self.refused[file] = (
                    f"The mask of {file} would be {options[0].mask} in {self.out.name}, which is "
                    "that of another scan. Choose another --out, or --layout flat."
                )
        return places

    def _has_mask_of_another(self, file: Path, name: str) -> bool:
        flat = self.layout.kind == "flat"
        return flat and self._is_of_another(file, name + MASK_SUFFIX)

    def _is_of_another(self, file: Path, mask_file: str) -> bool:
        """Whether a mask was made for another scan, according to its header."""
        mask = self.out / mask_file
        owner = made_for(mask) if mask.is_file() else None
        return bool(owner) and owner != self.fingerprint(file)

    def why_changed(self, file: Path, row: AppliedRow) -> str:
        """Why the existing mask does not belong to the file; empty if it does."""
        if not row.mask or not row.fingerprint or not (self.out / row.mask).is_file():
            return ""
        if self.fingerprint(file) in ("", row.fingerprint):
            return ""
        return (
            f"{file} has changed since {row.mask} in {self.out.name} was made: that is the mask of "
            "what it was. Use --overwrite to replace it, or move it away or choose another --out "
            "to keep it."
        )
