"""Names of scans, under which masks, scores and table rows are stored.

A scan is named after its file. Files of one name in several folders (``patient1/T1.nii.gz`` and
``patient2/T1.nii.gz``) are prefixed with as many folders as are needed to tell them apart:
``patient1_T1`` and ``patient2_T1``. Names that differ in case only count as one, since Windows and
macOS store them as one file. So are the spellings of a letter in Unicode; what a name cannot hold
everywhere is escaped, and a name too long for what is added to it is cut (see `scan_name`).
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from napari_singlestrip.engine.imaging.scan_files import extension_of, find_files
from napari_singlestrip.errors import UserError
from napari_singlestrip.texts import plain_name

L = TypeVar("L")
R = TypeVar("R")

# Suffixes of masks, added to the scan's name; the first match counts.
MASK_SUFFIXES = ("_desc-brain_mask", "_brain_mask", "_brainmask", "_mask", "")

SEGMENTATION = ".seg"  # in 3D Slicer's names of segmentations: T1.seg.nrrd

MAX_NAME_BYTES = 200  # file names hold 255: suffixes of masks and temporary files need room
# Reserved for devices on Windows, also with an extension.
_RESERVED = {
    "con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)),
}  # fmt: skip


def scan_name(path: str | Path) -> str:
    """Name of a scan, from its file name: "sub-01_T1w" of "sub-01_T1w.nii.gz"."""
    return usable_name(stem_of(path))


def stem_of(path: str | Path) -> str:
    """File name without the extension of a scan, otherwise unchanged."""
    name = Path(path).name
    return name[: len(name) - len(extension_of(name))]


def usable_name(text: str) -> str:
    """Convert `text` to a name that every file system, table and terminal can hold.

    A usable name is returned unchanged. One that is too long is cut and ends in a hash of the
    whole, so that two long names stay distinct.
    """
    name = plain_name(text)
    if not name.strip("."):
        name = name.replace(".", "%2E") or "unnamed"
    if name.split(".")[0].rstrip(" ").casefold() in _RESERVED:
        name = f"{name}_"
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    rest = f"~{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"
    return name.encode()[: MAX_NAME_BYTES - len(rest)].decode(errors="ignore") + rest


def name_key(name: str) -> str:
    """Key under which equivalent names are equal: case and Unicode form are folded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


@dataclass(frozen=True)
class Naming:
    """Names of scan files.

    Attributes
    ----------
    names : dict of Path to str
        In the order in which the files were given.
    clashes : tuple of (Path, Path)
        Files without a name, each with the file from which no folder distinguishes it.
    """

    names: dict[Path, str]
    clashes: tuple[tuple[Path, Path], ...] = ()

    def checked(self) -> dict[Path, str]:
        """Return the names.

        Raises
        ------
        UserError
            If a file has none.
        """
        for file, other in self.clashes:
            raise UserError(
                f"Two scans have the name {scan_name(file)!r}: {other} and {file}.",
                "Rename one of them, or leave one out: masks and scores are filed by this name, "
                "and their folders do not tell them apart.",
            )
        return self.names


def name_scans(files: Iterable[Path], known: Mapping[str, Path] | None = None) -> Naming:
    """Name scan files, so that no two have one name.

    Parameters
    ----------
    files : iterable of Path
    known : mapping of str to Path, optional
        Scans that already have names, which are kept.

    Returns
    -------
    Naming
        Files of the same name (or of the name of a known one) all get the same number of folders as
        a prefix, the smallest that makes them unique, independent of the order of the files.
    """
    taken = {name_key(name): path for name, path in (known or {}).items()}
    files = list(files)
    new, old = _by_stem(files), _by_stem((known or {}).values())
    names: dict[Path, str] = {}
    clashes: list[tuple[Path, Path]] = []
    # Long names first: with a prefix, a shorter one may become the same.
    for stem in sorted(new, key=lambda stem: (-len(stem), stem)):
        group = _tell_apart(sorted(new[stem]), old.get(stem, []), taken)
        taken |= {name_key(name): file for file, name in group.names.items()}
        names |= group.names
        clashes += group.clashes
    return Naming({file: names[file] for file in files if file in names}, tuple(sorted(clashes)))


def find_masks(folder: Path) -> dict[Path, tuple[str, ...]]:
    """Find the masks in a folder, at any depth.

    Next to a mask, a file with the same name but no suffix is the scan or the brain, not a second
    mask.

    Returns
    -------
    dict of Path to tuple of str
        Files, each with its possible names: see `possible_names`.

    Raises
    ------
    UserError
        If the folder is missing or holds no file that could be a mask.
    """
    found: dict[Path, tuple[int, Path]] = {}
    for path in find_files([folder]):
        stem = plain_name(stem_of(path)).removesuffix(SEGMENTATION)
        place, suffix = next((i, s) for i, s in enumerate(MASK_SUFFIXES) if stem.endswith(s))
        plain = path.relative_to(folder).parent / stem.removesuffix(suffix)
        if plain not in found or place < found[plain][0]:
            found[plain] = (place, path)
    return {path: possible_names(plain) for plain, (_, path) in found.items()}


def possible_names(path: Path) -> tuple[str, ...]:
    """Return a file's name prefixed with all its folders, with one fewer, ..., with none."""
    folders = _folders(path)
    return tuple(_name_with(path, n) for n in range(len(folders), -1, -1))


def match(
    left: Mapping[L, Collection[str]], right: Mapping[R, Collection[str]]
) -> tuple[dict[L, R], dict[L, list[R]]]:
    """Pair things by the longest name that both may have.

    Parameters
    ----------
    left, right : mapping of things to names
        Longest names first.

    Returns
    -------
    dict, dict
        The pairs; and the things of `left` that match more than one of `right`, or vice versa.
    """
    of_left, of_right = _nearest(left, right), _nearest(right, left)
    pairs, doubtful = {}, {}
    for one, others in of_left.items():
        backs = {back for other in others for back in of_right[other]}
        if len(others) == 1 and backs == {one}:
            pairs[one] = others[0]
        elif one in backs:
            doubtful[one] = others
    return pairs, doubtful


def _nearest(left: Mapping[L, Collection[str]], right: Mapping[R, Collection[str]]) -> dict[
    L, list[R]
]:
    index: dict[str, list[R]] = {}
    for thing, names in right.items():
        for name in names:
            index.setdefault(name, []).append(thing)
    return {
        thing: next((index[name] for name in names if name in index), [])
        for thing, names in left.items()
    }


def _by_stem(files: Iterable[Path]) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for file in files:
        groups.setdefault(name_key(stem_of(file)), []).append(file)
    return groups


def _tell_apart(new: Sequence[Path], old: Sequence[Path], taken: Mapping[str, Path]) -> Naming:
    """Name files that share one name; those in `old` keep theirs."""
    # If all folders are not enough, one of the files gets no name.
    whole = {name_key(possible_names(file)[0]): file for file in reversed([*old, *new])}
    clashes = [(f, o) for f in new if (o := whole[name_key(possible_names(f)[0])]) != f]
    left_out = {file for file, _ in clashes}
    named = [file for file in new if file not in left_out]
    most = max((len(_folders(file)) for file in named), default=0)
    for n in range(most + 1):
        names = {file: _name_with(file, n) for file in named}
        keys = [name_key(name) for name in (*names.values(), *(_name_with(f, n) for f in old))]
        if len(set(keys)) == len(keys) and not any(k in taken for k in keys[: len(named)]):
            break
    clashes += [(f, taken[k]) for f, name in names.items() if (k := name_key(name)) in taken]
    gone = {file for file, _ in clashes}
    return Naming({file: name for file, name in names.items() if file not in gone}, tuple(clashes))


def _folders(path: Path) -> tuple[str, ...]:
    return tuple(part for part in path.parent.parts if part != path.anchor)


def _name_with(path: Path, n_folders: int) -> str:
    folders = _folders(path)
    return usable_name("_".join((*folders[max(len(folders) - n_folders, 0) :], stem_of(path))))
