"""Atomic writing and bounded reading: readers see the old or the new file, never a mixture.

Reads are bounded, since a file from elsewhere can be of any size and type.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, BinaryIO

from napari_singlestrip.errors import NotWritten, UserError
from napari_singlestrip.files.portable import reason_on_windows, replace

TEMPORARY_PREFIX = ".~"
MAX_TEXT_BYTES = 64 * 2**20  # more than the tables and documents of 100,000 scans
DIGEST_LENGTH = 16  # hexadecimal digits
MAX_DEPTH = 50  # nesting of JSON

STUDY_MARK = "study.json"  # a folder that contains it is a study

# Longest file name of common file systems, in bytes; prefix, process id and counter need room.
_MAX_STEM_BYTES = 180
_COUNTER = itertools.count()

# Explanation and hint for each error of the disk, by errno.
HINTS = {
    errno.ENOSPC: ("the disk is full", "Free some space, or choose a folder on another disk."),
    errno.EDQUOT: ("your disk quota is used up", "Free some space, or choose another disk."),
    errno.EFBIG: ("the file is too large for this disk", "Choose a folder on another disk."),
    errno.EACCES: ("you may not write there", "Change its permissions, or choose another folder."),
    errno.EPERM: ("you may not write there", "Change its permissions, or choose another folder."),
    errno.EROFS: ("the disk is read-only", "Choose a folder on another disk."),
    errno.ENOTDIR: ("a part of its path is a file", "Choose another folder."),
    errno.EEXIST: ("a part of its path is a file", "Choose another folder."),
    errno.EISDIR: ("a folder has this name", "Rename that folder, or choose another file name."),
    errno.ENAMETOOLONG: ("the name is too long", "Choose a shorter name."),
    errno.EIO: ("the disk reports an error", "Check the disk, or choose another one."),
    errno.ELOOP: ("a link has this name", "Remove that link."),
    errno.ENXIO: ("a pipe has this name", "Remove it."),
}


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block succeeds, it replaces `path`.

    Missing folders are made. The temporary name starts with a dot, holds the process id (two
    processes never share one) and ends like `path`, so that libraries which infer the format from
    the extension choose the right one. When the block raises, the temporary file is removed and
    `path` is unchanged.

    Parameters
    ----------
    path : str or Path
        The file to create or replace.

    Yields
    ------
    Path
        Where to write, in the same folder.

    Raises
    ------
    UserError
        If the disk is full or read-only, or the folder is not writable or a link out of a study.
    """
    path = Path(path)
    refuse_links(path.parent)
    temporary = _temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        if not _is_about(error, path, temporary):
            raise
        raise explain(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text_atomic(path: str | Path, text: str) -> None:
    r"""Write UTF-8 text with Unix line ends, replacing `path` atomically.

    Bytes that are not UTF-8 (of a file name) are written as an escape such as ``\udcfc``, which
    JSON restores.

    Raises
    ------
    UserError
        As `atomic_path`.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json_atomic(path: str | Path, value: Any) -> None:
    """Write `value` as `json_text`, replacing `path` atomically.

    Raises
    ------
    UserError
        As `atomic_path`.
    TypeError, ValueError
        If `value` cannot be written as JSON; nothing is written then.
    """
    write_text_atomic(path, json_text(value))


def json_text(value: Any) -> str:
    """Return `value` as indented JSON.

    NaN and infinity are refused: they are not valid JSON, and other readers fail on them.

    Raises
    ------
    TypeError, ValueError
        If `value` cannot be written as JSON.
    """
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def open_to_append(path: Path) -> IO[str]:
    """Open a UTF-8 file for appending; it is created if missing.

    Raises
    ------
    UserError
        If it is a link or a pipe, or its folder a link out of a study, or it cannot be written.
    """
    refuse_links(path)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = _open_without_waiting(str(path), flags)
    except OSError as error:
        if error.errno not in HINTS:
            raise
        raise explain(error, path) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path} is not a regular file.", "Remove it.")
    return os.fdopen(descriptor, "a", encoding="utf-8")


def refuse_links(path: Path, home: Path | None = None) -> None:
    """Make sure that writing to `path` in a study stays in that study.

    A study from elsewhere may contain malicious links. The study folder itself may be reached
    through a link, but nothing inside it may be one. Outside of studies, links are followed.

    Parameters
    ----------
    path : Path
    home : Path, optional
        The study folder, if known; otherwise the outermost one that is a study, because a link may
        lead to another study.

    Raises
    ------
    UserError
        If `path`, or a folder of the study on the way to it, is a link.
    """
    path = Path(os.path.abspath(path))
    homes = [p for p in path.parents if (p == home if home else (p / STUDY_MARK).exists())]
    for part in (path, *path.parents) if homes else ():
        if part == homes[-1]:
            return
        if part.is_symlink():
            raise UserError(
                f"{part} is a link to {os.readlink(part)}: a study holds its own files.",
                "Put what it points to in its place.",
            )


def file_names(folder: Path) -> set[str]:
    """Names of what is in a folder; empty if there is no such folder, or it may not be read.

    One listing, without a path for each of thousands of files.
    """
    try:
        return set(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return set()


def file_digest(path: Path) -> str:
    """Return a hash of a file's content: 16 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGEST_LENGTH]


@contextmanager
def open_bounded(path: Path, max_bytes: int) -> Iterator[BinaryIO]:
    """Open a regular file for reading, unless it is too large.

    Parameters
    ----------
    path : Path
    max_bytes : int
        A larger file is refused before it is read.

    Yields
    ------
    binary file

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    UserError
        If it is not a regular file (reading a pipe would block forever), too large, or cannot be
        read. The hint is left to the caller.
    """
    try:
        with open_regular(path) as file:
            n_bytes = os.fstat(file.fileno()).st_size
            if n_bytes > max_bytes:
                raise UserError(
                    f"{path} is too large: {n_bytes / 2**20:.0f} MiB; "
                    f"at most {max_bytes / 2**20:.0f} MiB are read."
                )
            yield file
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:  # a part of the path is a file
        raise FileNotFoundError(error.errno, error.strerror, error.filename) from error
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """Open a file to read its bytes, but no pipe or device, which may block forever.

    Raises
    ------
    OSError
        As `open`.
    UserError
        If it is not a regular file. The hint is left to the caller.
    """
    with open(path, "rb", opener=_open_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise UserError(f"{path} is not a regular file.")
        yield file


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Read a whole file; errors as for `open_bounded`."""
    with open_bounded(path, max_bytes) as file:
        return file.read(max_bytes)


def read_text(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Read a whole text file: UTF-8, with or without a byte-order mark.

    Parameters
    ----------
    path : Path
    max_bytes : int
        A larger file is refused before it is read.

    Raises
    ------
    FileNotFoundError, UserError
        As `open_bounded`; also if it is not UTF-8.
    """
    content = read_bytes(path, max_bytes)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text: byte {error.start} is {content[error.start]:#04x}."
        ) from error


def read_json(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> Any:
    """Read a JSON file; errors as `read_text`, and `UserError` for invalid JSON.

    Our own files are not deeply nested; deep nesting would exhaust the stack when printed.
    """
    text = read_text(path, max_bytes)
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply.") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}.") from error
    if _is_deep(content):
        raise UserError(f"{path} is nested too deeply.")
    return content


def _is_deep(content: Any) -> bool:
    level = [content]
    for _ in range(MAX_DEPTH):
        level = [
            part for value in level if isinstance(value, (dict, list))
            for part in (value.values() if isinstance(value, dict) else value)
        ]
    return bool(level)


def _open_without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def _temporary_path(path: Path) -> Path:
    stem, dot, extensions = path.name.partition(".")
    if len(extensions) > 20:  # a name with many dots that are not extensions: keep only the last
        stem, dot, extensions = path.stem, ".", path.suffix[1:]
        if extensions == "gz":
            stem, _, inner = stem.rpartition(".")
            extensions = f"{inner}.gz"
    stem = os.fsencode(stem)[:_MAX_STEM_BYTES].decode(errors="ignore")
    unique = f"{os.getpid()}-{next(_COUNTER)}"
    return path.with_name(f"{TEMPORARY_PREFIX}{stem}.{unique}{dot}{extensions}")


def _sync(path: Path) -> None:
    """Flush the content before the rename, so that a power cut leaves no empty file."""
    descriptor = os.open(path, os.O_RDWR)  # Windows cannot flush a read-only descriptor
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Flush the entries of a folder, if the file system supports it."""
    with suppress(OSError):  # Windows cannot open folders; some network disks cannot flush them
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_about(error: OSError, path: Path, temporary: Path) -> bool:
    """Whether `error` came from writing `path`, not from reading something else in the block."""
    if error.errno not in HINTS and reason_on_windows(error, path) is None:
        return False
    if error.filename is None:
        return True
    name = os.path.abspath(os.fsdecode(error.filename))
    ours = [Path(os.path.abspath(p)) for p in (path, temporary)]
    return Path(name) in {*ours, *ours[0].parents}


def explain(error: OSError, path: Path) -> NotWritten:
    """Return the error that explains why a file was not written, for errors in `HINTS`."""
    reason, hint = reason_on_windows(error, path) or HINTS[error.errno or 0]
    return NotWritten(f"Cannot write {path.name} in {path.parent.absolute()}: {reason}.", hint)
