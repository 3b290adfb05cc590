"""Files are replaced whole: a reader sees the old one or the new one, never half of either.

What is read is bounded: a file that came from elsewhere can be of any size and kind.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, BinaryIO

from filelock import FileLock, Timeout

from napari_singlestrip.errors import NotWritten, UserError

TEMPORARY_PREFIX = ".~"
MAX_TEXT_BYTES = 64 * 2**20  # tables and documents of 100,000 scans stay below
MAX_DEPTH = 50  # lists within lists, of JSON

LONGEST_WAIT = 30.0  # seconds for a lock: a change takes milliseconds
LOOK_AGAIN = 0.005  # seconds between two tries to get it

STUDY_MARK = "study.json"  # a folder that holds it is a study: all it has lies within it

# Longest file name of common file systems, in bytes; prefix, process id and counter need room.
_MAX_STEM_BYTES = 180
_COUNTER = itertools.count()
_released: dict[Path, float] = {}  # when a thread of this process last let go of a lock
# Temporary files of ours have a process id and a counter in the name, folders eight letters:
# others' may begin alike, such as the locks of LibreOffice (.~lock.masks.csv#).
_OURS = re.compile(r"\.~.*\.\d+-\d+(\..*)?", re.DOTALL)
_OUR_FOLDERS = re.compile(r"\.~[a-z0-9_]{8}")

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
    errno.ELOOP: ("a link has this name", "Remove that link."),
    errno.ENXIO: ("a pipe has this name", "Remove it."),
}
# What disks without locks say (some network disks): there one goes on without.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


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
        If the disk is full or read-only, or the folder may not be written, or is a link out of a
        study.
    """
    path = Path(path)
    refuse_links(path.parent)
    temporary = _temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        if not _is_about(error, path, temporary):
            raise
        raise _explain(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text_atomic(path: str | Path, text: str) -> None:
    r"""Write UTF-8 text with Unix line ends, replacing `path` whole.

    What is no character (a byte of a file name that is not UTF-8) is written as its escape, such as
    ``\udcfc``, which JSON reads as it was.

    Raises
    ------
    UserError
        As `atomic_path`.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


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


def open_to_append(path: Path) -> IO[str]:
    """Open a UTF-8 file to write at its end; it is made if it is missing.

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
        if error.errno not in _HINTS:
            raise
        raise _explain(error, path) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path} is not a regular file.", "Remove it.")
    return os.fdopen(descriptor, "a", encoding="utf-8")


def refuse_links(path: Path, home: Path | None = None) -> None:
    """Make sure that writing to `path` in a study stays in that study.

    A study that somebody sent may hold links. Its own folder may be reached through a link; what
    lies in it may not be one. Elsewhere links are a person's own, and followed.

    Parameters
    ----------
    path : Path
    home : Path, optional
        The study folder, where it is known; else it is the outermost one that is a study, because
        a link may lead to another study.

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


def file_digest(path: Path) -> str:
    """Return what tells the content of a file from any other: 16 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


@contextmanager
def open_bounded(path: Path, max_bytes: int) -> Iterator[BinaryIO]:
    """Open a file to be read, unless it is none or too large.

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
        If it is no regular file (a pipe would be waited for without end), too large, or cannot be
        read. The hint is left to the caller, who knows what the file is for.
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
    except NotADirectoryError as error:  # below a file, there is none
        raise FileNotFoundError(error.errno, error.strerror, error.filename) from error
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from error


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """Open a file to read its bytes, but no pipe or device: those may be waited for without end.

    Raises
    ------
    OSError
        As `open`.
    UserError
        If it is no regular file. The hint is left to the caller.
    """
    with open(path, "rb", opener=_open_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise UserError(f"{path} is not a regular file.")
        yield file


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Read a file whole; errors as `open_bounded`."""
    with open_bounded(path, max_bytes) as file:
        return file.read(max_bytes)


def read_text(path: Path, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Read a text file whole: UTF-8, with or without a byte-order mark.

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
    """Read a JSON file; errors as `read_text`, and `UserError` for what is not JSON.

    Nothing of ours is nested deeply; what is would exhaust the stack of whoever prints it.
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
    refuse_links(path.parent)
    lock = FileLock(lock_path(path), is_singleton=True)
    if not lock.is_locked:
        _let_others_go_first(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=longest_wait, poll_interval=LOOK_AGAIN)
    except Timeout as error:
        raise UserError(
            f"Another program has been changing {path} for {longest_wait:.0f} s.",
            "Try again; if that goes on, close other windows and jobs of this study.",
        ) from error
    except OSError as error:
        if error.errno in _HINTS:
            raise _explain(error, path) from error
        if error.errno not in _NO_LOCKS:
            raise
    try:
        yield
    finally:
        lock.release()
        _released[path] = time.monotonic()


def _let_others_go_first(path: Path) -> None:
    """Wait until others have looked: who takes a lock again at once would starve all that wait."""
    if time.monotonic() - _released.get(path, -math.inf) < 2 * LOOK_AGAIN:
        time.sleep(2 * LOOK_AGAIN)


def lock_path(path: Path) -> Path:
    """Return the file that `exclusive` locks; it stays, since others may be waiting for it."""
    return path.with_name(f".{path.name}.lock")


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
    refuse_links(parent)
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
                if path.is_dir() and _OUR_FOLDERS.fullmatch(path.name):
                    shutil.rmtree(path)
                elif not path.is_dir() and _OURS.fullmatch(path.name):
                    path.unlink()
                else:
                    continue
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
    stem = os.fsencode(stem)[:_MAX_STEM_BYTES].decode(errors="ignore")
    unique = f"{os.getpid()}-{next(_COUNTER)}"
    return path.with_name(f"{TEMPORARY_PREFIX}{stem}.{unique}{dot}{extensions}")


def _sync(path: Path) -> None:
    """Have the bytes on disk before the name points to them: a power cut leaves no empty file."""
    descriptor = os.open(path, os.O_RDWR)  # Windows cannot flush a read-only descriptor
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on disk, as far as the disk can do that."""
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
