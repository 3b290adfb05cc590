"""Files are replaced whole: a reader sees the old one or the new one, never half of either.

What is read is bounded: a file that came from elsewhere can be of any size and kind.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock, Timeout

from napari_singlestrip.errors import NotWritten, UserError

TEMPORARY_PREFIX = ".~"
MAX_TEXT_BYTES = 64 * 2**20  # tables and documents of 100,000 scans stay below

LONGEST_WAIT = 30.0  # seconds for a lock: a change takes milliseconds

# Longest file name of common file systems, in bytes; prefix, process id and counter need room.
_MAX_STEM_BYTES = 180
_COUNTER = itertools.count()

_HINTS = {
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
}


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block succeeds, it takes the place of `path`.

    Missing folders are made. The temporary name starts with a dot, holds the process id (two
    processes never share one) and ends like `path`, so that libraries which choose the format by
    the extension choose the right one. When the block raises, the temporary file is removed and
    `path` is as it was.

    Parameters
    ----------
    path : str or Path
        The file to make or replace.

    Yields
    ------
    Path
        Where to write, in the same folder.

    Raises
    ------
    UserError
        If the disk is full or read-only, or the folder may not be written.
    """
    path = Path(path)
    temporary = _temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        if not _is_about(error, path, temporary):
            raise
        raise _explain(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text_atomic(path: str | Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, replacing `path` whole.

    Raises
    ------
    UserError
        As `atomic_path`.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json_atomic(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON for people to read, replacing `path` whole.

    NaN and infinity are refused: they are not JSON, and other readers stop at them.

    Raises
    ------
    UserError
        As `atomic_path`.
    TypeError, ValueError
        If `value` cannot be written as JSON; nothing is written then.
    """
    write_text_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_text(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Read a text file whole: UTF-8, with or without a byte-order mark.

    Parameters
    ----------
    path : Path
    max_bytes : int
        A larger file is refused before it is read.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    UserError
        If it is no regular file (a pipe would be waited for without end), too large, not UTF-8,
        or cannot be read. The hint is left to the caller, who knows what the file is for.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise UserError(f"{path} is not a regular file.")
            if found.st_size > max_bytes:
                raise UserError(
                    f"{path} is too large: {found.st_size / 2**20:.0f} MiB; "
                    f"at most {max_bytes / 2**20:.0f} MiB are read."
                )
            content = file.read(max_bytes)
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text: byte {error.start} is {content[error.start]:#04x}."
        ) from error
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error


def read_json(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> Any:
    """Read a JSON file; errors as `read_text`, and `UserError` for what is not JSON."""
    text = read_text(path, max_bytes)
    try:
        return json.loads(text)
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply.") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}.") from error


@contextmanager
def exclusive(path: Path, longest_wait: float = LONGEST_WAIT) -> Iterator[None]:
    """Let one process or thread at a time change `path`: read it again inside, then write it.

    The lock is the system's own, on a hidden file beside `path`: it ends with the process that
    holds it, however that ends. May be entered again by the thread that holds it.

    Raises
    ------
    UserError
        If another one holds it all the time (`longest_wait`, seconds), or the folder may not be
        written.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"), is_singleton=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=longest_wait)
    except Timeout as error:
        raise UserError(
            f"Another program has been changing {path} for {longest_wait:.0f} s.",
            "Try again; if that goes on, close other windows and jobs of this study.",
        ) from error
    except OSError as error:
        if error.errno not in _HINTS:
            raise
        raise _explain(error, path) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder in `parent`, which is removed at the end with all that is in it.

    Not in the computer's temporary folder: that may be small, and is no place for a person's brain.
    `remove_leftovers` deletes those of killed processes.

    Raises
    ------
    UserError
        If the disk is full or read-only, or the folder may not be written.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = TemporaryDirectory(
            dir=parent, prefix=TEMPORARY_PREFIX, ignore_cleanup_errors=True
        )
    except OSError as error:
        if error.errno not in _HINTS:
            raise
        raise _explain(error, parent / "a temporary folder") from error
    with folder as name:
        yield Path(name)


def remove_leftovers(folder: str | Path, older_than_seconds: float = 3600.0) -> list[Path]:
    """Remove temporary files and folders that a killed process left in `folder` (not below it).

    Age decides, not the process id: the folder may be shared with another machine, whose processes
    cannot be seen from here.

    Parameters
    ----------
    folder : str or Path
        A folder in which `atomic_path` or `temporary_folder` wrote.
    older_than_seconds : float
        Younger files may still be in use, and stay.

    Returns
    -------
    list of Path
        What was removed.
    """
    removed = []
    for path in sorted(Path(folder).glob(f"{TEMPORARY_PREFIX}*")):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime >= older_than_seconds:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
                removed.append(path)
    return removed


def _open_without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def _temporary_path(path: Path) -> Path:
    stem, dot, extensions = path.name.partition(".")
    if len(extensions) > 20:  # a name with many dots, not extensions: keep only the last
        stem, dot, extensions = path.stem, ".", path.suffix[1:]
        if extensions == "gz":
            stem, _, inner = stem.rpartition(".")
            extensions = f"{inner}.gz"
    stem = stem.encode()[:_MAX_STEM_BYTES].decode(errors="ignore")
    unique = f"{os.getpid()}-{next(_COUNTER)}"
    return path.with_name(f"{TEMPORARY_PREFIX}{stem}.{unique}{dot}{extensions}")


def _sync(path: Path) -> None:
    """Have the bytes on disk before the name points to them: a power cut leaves no empty file."""
    descriptor = os.open(path, os.O_RDWR)  # Windows cannot flush a read-only descriptor
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # Windows cannot open folders; some network disks cannot flush them
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_about(error: OSError, path: Path, temporary: Path) -> bool:
    """Whether `error` came from writing `path`, not from reading something else in the block."""
    if error.errno not in _HINTS:
        return False
    if error.filename is None:
        return True
    name = os.path.abspath(os.fsdecode(error.filename))
    ours = [Path(os.path.abspath(p)) for p in (path, temporary)]
    return Path(name) in {*ours, *ours[0].parents}


def _explain(error: OSError, path: Path) -> NotWritten:
    reason, hint = _HINTS[error.errno or 0]
    return NotWritten(f"Cannot write {path.name} in {path.parent.absolute()}: {reason}.", hint)
