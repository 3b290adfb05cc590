"""Where Windows differs from Linux and macOS in files and commands: the one place for it.

Other modules call these functions on all systems. Tests pretend to be on Windows by `is_windows`.
"""

from __future__ import annotations

import errno
import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Our readers have a file open for milliseconds, virus scanners for longer.
PATIENCE_SECONDS = 2.0
LOOK_AGAIN_SECONDS = 0.05
LONGEST_WINDOWS_PATH = 259  # characters, unless long paths are allowed there


def is_windows() -> bool:
    """Whether this is Windows."""
    return os.name == "nt"


def replace(source: str | Path, target: str | Path) -> None:
    """Move a file into the place of another, as `os.replace`.

    Windows replaces no file that any program has open: there it is tried again for a moment.
    """
    _patiently(os.replace, source, target)


def rename(source: str | Path, target: str | Path) -> None:
    """Rename a file or a folder, as `os.rename`.

    Windows renames no folder in which any program has a file open: there it is tried again for a
    moment.
    """
    _patiently(os.rename, source, target)


def lock_descriptor(descriptor: int, shared: bool = False) -> bool | None:
    """Lock an open file until it is closed.

    Parameters
    ----------
    descriptor : int
    shared : bool
        Whether others may hold such a lock at the same time.

    Returns
    -------
    bool or None
        False if another process has it; None where there are no such locks (Windows, some network
        disks).
    """
    flock = getattr(fcntl, "flock", None)
    if flock is None:
        return None
    try:
        flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def split_command(text: str) -> list[str]:
    r"""Split a command line into words; on Windows, a backslash is part of a path.

    Raises
    ------
    ValueError
        If a quotation mark is not closed.
    """
    if not is_windows():
        return shlex.split(text)
    return [word.strip("\"'") for word in shlex.split(text, posix=False)]


def reason_on_windows(error: OSError, path: Path) -> tuple[str, str] | None:
    """Return what an error of the disk means on Windows, and what to do; None if as elsewhere.

    Parameters
    ----------
    error : OSError
    path : Path
        The file that could not be written.
    """
    if not is_windows():
        return None
    n_characters = len(str(path.absolute()))
    if error.errno in (errno.ENOENT, errno.EINVAL) and n_characters > LONGEST_WINDOWS_PATH:
        return (
            f"its path has {n_characters} characters, more than Windows takes",
            "Use a folder with a shorter path, or allow long paths in the settings of Windows.",
        )
    if error.errno == errno.EACCES and path.is_file():
        return (
            "another program has it open, or it is read-only",
            "Close it there, such as a table in a spreadsheet, and try again.",
        )
    return None


def _patiently(
    move: Callable[[str | Path, str | Path], object], source: str | Path, target: str | Path
) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            move(source, target)
            return
        except PermissionError:
            if not is_windows() or time.monotonic() > end:
                raise
        time.sleep(LOOK_AGAIN_SECONDS)
