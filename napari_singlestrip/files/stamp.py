"""The stamp of a file: whether it is still the one that was read, without reading it again."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class FileStamp(NamedTuple):
    """What changes when a file is written again or replaced.

    For caches within one process only: what is stored is told by content, as the files of a copied
    study have other times.

    Attributes
    ----------
    mtime_ns : int
        Modification time, in nanoseconds.
    n_bytes : int
    inode : int
        Tells a replaced file from the old one where the clock of the file system is coarse.
    """

    mtime_ns: int
    n_bytes: int
    inode: int


def file_stamp(path: Path) -> FileStamp | None:
    """Return the stamp of a file; None if it is missing or cannot be looked at.

    Whoever reads the file then reports why.
    """
    try:
        stat = path.stat()
    except (OSError, ValueError):  # ValueError: a name with a null character
        return None
    return FileStamp(stat.st_mtime_ns, stat.st_size, stat.st_ino)
