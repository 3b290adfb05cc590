"""Which files become scans of a study, and their names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from napari_singlestrip.errors import UserError
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.study.document import Role, ScanEntry, stored_path

if TYPE_CHECKING:
    from napari_singlestrip.engine.imaging.bids import BidsChoice
    from napari_singlestrip.engine.imaging.scan_search import FoundScans


def find_scan_files(
    paths: Sequence[str | Path],
    masks: Iterable[str | Path] = (),
    choice: BidsChoice | None = None,
) -> FoundScans:
    """Return the absolute paths of scan files and of those in folders, each once.

    Parameters
    ----------
    paths : sequence of str or Path
        Or a single one. Search results (`FoundScans`) are returned unchanged.
    masks : iterable of str or Path
        Files that the user declared as masks.
    choice : BidsChoice, optional
        Which scans of BIDS datasets are wanted; by default the structural ones.

    Raises
    ------
    UserError
        If there are none.
    """
    from napari_singlestrip.engine.imaging.scan_search import FoundScans, search

    if isinstance(paths, FoundScans):
        return paths
    if isinstance(paths, str | Path):  # a string would be a sequence of letters
        paths = [paths]
    given = [Path(p).expanduser() for p in paths]
    found = search(given, masks, choice) if given else FoundScans(())
    if not found:
        where = f" in {', '.join(str(p) for p in paths)}" if paths else ""
        raise UserError(
            f"There are no scans{where}.",
            "Name scan files (.nii, .nii.gz, .mgz, .mgh, .img, .nrrd) or a folder that holds some.",
        )
    return FoundScans(dict.fromkeys(Path(os.path.abspath(p)) for p in found), found.notes)


def scans_among(
    paths: Sequence[str | Path],
    masks: Iterable[str | Path] = (),
    choice: BidsChoice | None = None,
) -> tuple[FoundScans, list[Failure]]:
    """Return the scan files, as in `find_scan_files`, and why some of the paths have none.

    Raises
    ------
    UserError
        If none has any.
    """
    from napari_singlestrip.engine.imaging.scan_files import real_file
    from napari_singlestrip.engine.imaging.scan_search import FoundScans

    masks = tuple(masks)
    found: dict[str, Path] = {}
    notes: list[str] = []
    problems: list[Failure] = []
    for path in paths:
        files = attempt(find_scan_files, [path], masks, choice)
        if isinstance(files, Failure):
            problems.append(files)
            continue
        notes += files.notes
        for file in files:
            found.setdefault(real_file(file), file)
    if not found:
        find_scan_files(paths[:1], masks, choice)
    return FoundScans(sorted(found.values()), notes), problems


def scan_entries(
    files: Sequence[Path], folder: Path, role: Role, existing: Mapping[str, Path] | None = None
) -> tuple[ScanEntry, ...]:
    """Make the entries of scan files for the study in `folder`.

    Parameters
    ----------
    existing : mapping of str to Path, optional
        Names that are taken. A file among them keeps its name.

    Raises
    ------
    UserError
        If two cannot be told apart by name and folders.
    """
    entries = []
    for file, name in _names(files, existing or {}).items():
        try:
            entries.append(ScanEntry(name=name, path=stored_path(file, folder), role=role))
        except ValidationError as error:
            raise UserError(
                f"{file} has a name that cannot be used.",
                "Rename it, or its folder, to letters and digits.",
            ) from error
    return tuple(entries)


def _names(files: Sequence[Path], known: Mapping[str, Path]) -> dict[Path, str]:
    from napari_singlestrip.engine.imaging.scan_names import name_scans

    named = {path: name for name, path in known.items()}
    new = name_scans((file for file in files if file not in named), known).checked()
    return {file: named[file] if file in named else new[file] for file in files}
