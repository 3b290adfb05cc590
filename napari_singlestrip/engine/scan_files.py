"""Files of scans: finding them in folders, and telling what is no scan."""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, HeaderTypeError

from napari_singlestrip.engine.scan_bytes import COPY_AGAIN
from napari_singlestrip.errors import UserError
from napari_singlestrip.files import open_regular

SCAN_EXTENSIONS = (
    ".nii.gz", ".nii", ".mgz", ".mgh", ".img.gz", ".img", ".hdr.gz", ".hdr",
)  # fmt: skip

# What nibabel, gzip and numpy raise on a damaged file.
_DAMAGE = (
    ImageFileError, HeaderDataError, HeaderTypeError, OSError, EOFError, zlib.error, ValueError,
    OverflowError, TypeError, KeyError, struct.error,
)  # fmt: skip
CONVERT = "Convert the scan to NIfTI (dcm2niix does so for DICOM) and use that file."

# How the files that people take for scans begin.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (128, b"DICM", "a DICOM file"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"NRRD", "an NRRD file"),
    (0, b"\x89HDF", "an HDF5 or MINC file"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the data (run `git lfs pull`)"),
    (0, b"/annex/objects", "a git-annex pointer, not the data (run `git annex get`)"),
    (0, b"<", "a web page or XML file"),
)


def find_scans(paths: Iterable[str | Path]) -> list[Path]:
    """List the scans among files and, at any depth, in folders.

    Parameters
    ----------
    paths : iterable of str or Path
        Files and folders. In folders, hidden files and other kinds of files are passed over.

    Returns
    -------
    list of Path
        Sorted, each file once, a pair of .hdr and .img as its .img.

    Raises
    ------
    UserError
        If a path does not exist, a file is not a scan, or a folder has none.
    """
    found: dict[str, Path] = {}
    for path in (Path(p) for p in paths):
        candidates = _scans_below(path) if path.is_dir() else [checked_name(path)]
        if not candidates:
            raise UserError(f"There is no scan in the folder {path}.", f"Known: {_known()}.")
        for candidate in candidates:
            chosen = image_of_pair(candidate)
            found.setdefault(os.path.abspath(chosen), chosen)
    return sorted(found.values())


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what readers raise on a bad file into a sentence."""
    try:
        yield
    except PermissionError as error:
        raise UserError(f"You may not read {path}.", "Change its permissions.") from error
    except FileNotFoundError as error:
        raise missing_file(Path(error.filename or path)) from error
    except MemoryError as error:
        raise UserError(
            f"There is not enough memory to read {path.name}.", "Close other programs."
        ) from error
    except OSError as error:
        if error.errno is None:  # not the system's: gzip's
            raise _damaged(path, error) from error
        raise UserError(
            f"{path} cannot be read: {error.strerror}.",
            "Check its name, and that the disk is there.",
        ) from error
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: BaseException) -> UserError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError(
        f"{path.name} is damaged, or not what its extension says ({reason}).", COPY_AGAIN
    )


def extension_of(name: str) -> str:
    """Return the extension of a scan's file name, such as ".nii.gz"; empty when it has none."""
    return next((e for e in SCAN_EXTENSIONS if name.lower().endswith(e)), "")


def _known() -> str:
    return ", ".join(SCAN_EXTENSIONS)


def missing_file(path: Path) -> UserError:
    """Say that a file is not there."""
    if path.is_symlink():
        return UserError(
            f"{path} is a link to a file that is not there.", "Fetch it (such as `git annex get`)."
        )
    return UserError(f"There is no file {path}.", "Check the spelling, and that the disk is there.")


def checked_name(path: Path) -> Path:
    """Return `path` if it is a file and named like a scan."""
    with readable(path):
        mode = path.stat().st_mode  # follows links, and does not wait for pipes as opening does
    if stat.S_ISDIR(mode):
        raise UserError(f"{path} is a folder, not a scan.", "Name a file in it.")
    if not stat.S_ISREG(mode):
        raise UserError(f"{path} is no file but a pipe or a device.", "Name a scan's file.")
    if not extension_of(path.name):
        raise UserError(f"{path.name} does not end like a scan; known: {_known()}.", CONVERT)
    return path


def _scans_below(folder: Path) -> list[Path]:
    scans = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        scans += [Path(parent, n) for n in names if not n.startswith(".") and extension_of(n)]
    return scans


def image_of_pair(path: Path) -> Path:
    """Return the file with the values for the header of a pair; any other path as it is."""
    return _partner(path, ".img") if extension_of(path.name).startswith(".hdr") else path


def files_of(path: Path) -> tuple[Path, Path]:
    """Return the files that hold a scan's header and its values: one file, or those of a pair.

    Raises
    ------
    UserError
        If the other file of a pair is missing.
    """
    extension = extension_of(path.name)
    if not extension.startswith((".hdr", ".img")):
        return path, path
    other, missing = (".img", "values") if extension.startswith(".hdr") else (".hdr", "header")
    with readable(path):
        partner = _partner(path, other)
    if partner == path:
        raise UserError(
            f"{path.name} is half of a pair: the file with its {missing} is missing "
            f"({_stem(path)}{other} or {_stem(path)}{other}.gz).",
            "Put it into the same folder.",
        )
    return (path, partner) if other == ".img" else (partner, path)


def _partner(path: Path, extension: str) -> Path:
    """The other file of a pair, in any mixture of case and compression; `path` without one."""
    gz = ("", ".gz", ".GZ")
    if extension_of(path.name).endswith(".gz"):
        gz = (".gz", ".GZ", "")
    cases = (extension, extension.upper(), extension.title())
    if path.name[len(_stem(path)) :].isupper():
        cases = (extension.upper(), extension, extension.title())
    for end in (case + packed for packed in gz for case in cases):
        if (other := path.with_name(_stem(path) + end)).exists():
            return other
    return path


def _stem(path: Path) -> str:
    return path.name[: len(path.name) - len(extension_of(path.name))]


def check_kind(path: Path) -> None:
    """Find files that are something else than their extension says."""
    extension = extension_of(path.name)
    with readable(path), open_regular(path) as file:
        start = file.read(512)
    if not start:
        raise UserError(f"{path.name} is an empty file of 0 bytes.", COPY_AGAIN)
    if extension.startswith(".img"):  # bare values may begin with anything
        return
    for offset, signature, what in _SIGNATURES:
        if start[offset:].startswith(signature):
            raise UserError(f"{path.name} is not a scan but {what}.", CONVERT)
