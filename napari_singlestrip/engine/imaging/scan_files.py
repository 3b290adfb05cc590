"""Files with the extension of a scan: listing them in folders, and what is wrong with one."""

from __future__ import annotations

import os
import re
import stat
import struct
import unicodedata
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, HeaderTypeError

from napari_singlestrip.engine.imaging.dicom_files import holds_dicom
from napari_singlestrip.engine.imaging.scan_bytes import COPY_AGAIN
from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import open_regular

SCAN_EXTENSIONS = (
    ".nii.gz", ".nii", ".mgz", ".mgh", ".img.gz", ".img", ".hdr.gz", ".hdr", ".nrrd",
)  # fmt: skip

# What nibabel, gzip and numpy raise on a damaged file.
_DAMAGE = (
    ImageFileError, HeaderDataError, HeaderTypeError, OSError, EOFError, zlib.error, ValueError,
    OverflowError, TypeError, KeyError, struct.error,
)  # fmt: skip
CONVERT = "Convert the scan to NIfTI (dcm2niix does so for DICOM) and use that file."

# Extensions of result files that other programs write.
_OTHER_FILES = (
    ".nii.bz2", ".nii.zst", ".nhdr", ".mha", ".mhd", ".mif.gz", ".mif", ".mnc", ".dcm",
    ".gz", ".zip", ".tar", ".csv", ".tsv", ".json", ".txt", ".html", ".pt", ".npz", ".npy", ".png",
)  # fmt: skip

# First bytes of files that are easily mistaken for scans.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (128, b"DICM", "a DICOM file"),
    (0, b"\x89PNG", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"NRRD", "an NRRD file"),
    (0, b"\x89HDF", "an HDF5 or MINC file"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the data (run `git lfs pull`)"),
    (0, b"/annex/objects", "a git-annex pointer, not the data (run `git annex get`)"),
    (0, b"<", "a web page or XML file"),
)


@dataclass
class Listing:
    """The content of a folder, at any depth.

    Attributes
    ----------
    files : list of Path
        Files with the extension of a scan, sorted; if there are several paths to a file, the one
        without links.
    problems : list of str
        Broken links and unreadable folders, one sentence each.
    """

    files: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def find_files(paths: Iterable[str | Path]) -> list[Path]:
    """List all files with the extension of a scan, including masks: see `scan_search.find_scans`.

    Parameters
    ----------
    paths : iterable of str or Path
        Files and folders. In folders, hidden files and files of other types are skipped.

    Returns
    -------
    list of Path
        Sorted, each file once, a pair of .hdr and .img as its .img.

    Raises
    ------
    UserError
        If a path does not exist, a file is not named like a scan, or a folder has no such file.
    """
    found: dict[str, Path] = {}
    for path in (Path(p) for p in paths):
        candidates = list_folder(path).files if path.is_dir() else [checked_name(path)]
        if not candidates:
            raise no_scan(path)
        for candidate in map(image_of_pair, candidates):
            found.setdefault(os.path.abspath(candidate), candidate)
    return sorted(found.values())


def list_folder(folder: Path, enter: Callable[[Path], bool] = lambda _: True) -> Listing:
    """List a folder. Linked folders are followed; each real folder is read once.

    Parameters
    ----------
    folder : Path
    enter : callable
        Whether to enter a folder; hidden ones never are.
    """
    listing, real_files = Listing(), dict[str, Path]()
    waiting, seen = deque([folder]), set[str]()
    while waiting:  # links last: a file's own path has priority over a link to it
        for parent, folders, names in os.walk(waiting.popleft(), onerror=_note(listing.problems)):
            if _seen_before(parent, seen):
                folders[:] = []
                continue
            inside = [Path(parent, name) for name in sorted(folders) if not name.startswith(".")]
            inside = [path for path in inside if enter(path)]
            waiting += [path for path in inside if path.is_symlink() and not _is_loop(path)]
            folders[:] = [path.name for path in inside if not path.is_symlink()]
            _take_files(Path(parent), sorted(names), real_files, listing.problems)
    listing.files = sorted(real_files.values())
    return listing


def no_scan(folder: Path, why: str = "") -> UserError:
    """Return the error for a folder without scans."""
    if holds_dicom(folder):
        return UserError(
            f"There are DICOM files in the folder {folder}, and no scan.",
            f"See which series they are, and convert some: singlestrip dicom {folder}",
        )
    return UserError(f"There is no scan in the folder {folder}.", why or f"Known: {_known()}.")


def real_file(path: Path) -> str:
    """The canonical path of a file: links are resolved and Unicode is normalised."""
    return unicodedata.normalize("NFC", os.path.realpath(path))


def real_files(paths: Iterable[Path]) -> set[str]:
    """The canonical paths of many files, as of `real_file`; each folder is looked up once."""
    folder = cache(os.path.realpath)
    found = set()
    for path in paths:
        real = os.path.join(folder(os.path.dirname(path)), path.name)
        real = os.path.realpath(path) if os.path.islink(real) else real
        found.add(unicodedata.normalize("NFC", real))
    return found


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the exceptions of readers for a bad file into a `UserError`."""
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
        if error.errno is None:  # from gzip, not from the system
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


def check_folder_name(path: Path, example: str = "DIR") -> None:
    """Refuse a new folder with the name of a file, which would be mistaken for that file.

    Raises
    ------
    UserError
        If it has the extension of a file, unless it is an existing folder; or if it is a file.
    """
    if path.is_dir():
        return
    if path.exists():
        raise UserError(f"{path} is a file, and results go to a folder.", "Name a folder.")
    ending = extension_of(path.name) or next(
        (e for e in _OTHER_FILES if path.name.lower().endswith(e)), ""
    )
    if ending:
        raise UserError(
            f"{path} is the name of a file ({ending}), and results go to a folder.",
            f"Name a folder, such as {path.name[: -len(ending)] or 'masks'}: {example}.",
        )


def check_file_name(path: Path) -> None:
    """Refuse to write a file of another type under the name of a scan or a folder.

    Raises
    ------
    UserError
        If it has the extension of a scan, which it could replace, or is a folder.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder.", "Name the file to write, such as a file in it.")
    if ending := extension_of(path.name):
        raise UserError(
            f"{path} is the name of a scan ({ending}).", "Choose another name for this file."
        )


def missing_file(path: Path) -> UserError:
    """Return the error for a missing file."""
    if path.is_symlink():
        return UserError(
            f"{path} is a link to a file that is not there.", "Fetch it (such as `git annex get`)."
        )
    hint = "Check the spelling, and that the disk is there."
    if re.fullmatch(r"\w+\.\w+=.*", path.name):
        hint = f"Each setting has its own option: --set {path.name}"
    return UserError(f"There is no file {path}.", hint)


def checked_name(path: Path) -> Path:
    """Return `path` if it is a file and named like a scan."""
    with readable(path):
        mode = path.stat().st_mode  # follows links, and does not block on pipes as opening would
    if stat.S_ISDIR(mode):
        raise UserError(f"{path} is a folder, not a scan.", "Name a file in it.")
    if not stat.S_ISREG(mode):
        raise UserError(f"{path} is no file but a pipe or a device.", "Name a scan's file.")
    if not extension_of(path.name):
        raise UserError(f"{path.name} does not end like a scan; known: {_known()}.", CONVERT)
    return path


def _take_files(
    parent: Path, names: Iterable[str], real_files: dict[str, Path], problems: list[str]
) -> None:
    for name in names:
        path = parent / name
        if name.startswith("."):
            continue
        if extension_of(name):
            path = image_of_pair(path)
            known = real_files.get(real := real_file(path))
            if known is None or (known.is_symlink() and not path.is_symlink()):
                real_files[real] = path
        elif path.is_symlink() and not path.exists():
            problems.append(f"{path} is a link that leads nowhere.")


def _seen_before(folder: str, seen: set[str]) -> bool:
    real = os.path.realpath(folder)
    if real in seen:
        return True
    seen.add(real)
    return False


def _is_loop(link: Path) -> bool:
    """Whether a link points to a folder that contains it."""
    return Path(os.path.realpath(link.parent)).is_relative_to(os.path.realpath(link))


def _note(problems: list[str]) -> Callable[[OSError], None]:
    def note(error: OSError) -> None:
        problems.append(f"The folder {error.filename} cannot be read: {error.strerror}.")

    return note


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
    """The other file of a pair, in any case and compression; `path` if there is none."""
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
    """Refuse files whose content contradicts their extension."""
    extension = extension_of(path.name)
    with readable(path), open_regular(path) as file:
        start = file.read(512)
    if not start:
        raise UserError(f"{path.name} is an empty file of 0 bytes.", COPY_AGAIN)
    if extension.startswith(".img"):  # raw values may begin with any bytes
        return
    for offset, signature, what in _SIGNATURES:
        if extension == ".nrrd" and signature == b"NRRD":
            continue
        if start[offset:].startswith(signature):
            raise UserError(f"{path.name} is not a scan but {what}.", CONVERT)
