"""Exclusive access to a file for one process or thread, by a system lock beside the file."""

from __future__ import annotations

import errno
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import HINTS, explain, refuse_links

LONGEST_WAIT = 30.0  # seconds to wait for a lock: a change takes milliseconds
LOOK_AGAIN = 0.005  # seconds between attempts
# Errors of file systems without locks (some network disks): files are then not locked.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)

_released: dict[Path, float] = {}  # when a thread of this process last released a lock


@contextmanager
def exclusive(path: Path, longest_wait: float = LONGEST_WAIT) -> Iterator[None]:
    """Let one process or thread at a time change `path`: read it again inside, then write it.

    The lock is a system lock on a hidden file beside `path`: it is released when its process ends,
    in whatever way. The thread that holds it may enter again.

    Raises
    ------
    UserError
        If it is held by another for longer than `longest_wait` (seconds), or the folder is not
        writable.
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
            "Try again; if it persists, close other windows and jobs of this study.",
        ) from error
    except OSError as error:
        if error.errno in HINTS:
            raise explain(error, path) from error
        if error.errno not in NO_LOCKS:
            raise
    try:
        yield
    finally:
        lock.release()
        _released[path] = time.monotonic()


def _let_others_go_first(path: Path) -> None:
    """Wait for other threads to try: taking a lock again at once would starve them."""
    if time.monotonic() - _released.get(path, -math.inf) < 2 * LOOK_AGAIN:
        time.sleep(2 * LOOK_AGAIN)


def lock_path(path: Path) -> Path:
    """Return the file that `exclusive` locks; it stays, since others may be waiting for it."""
    return path.with_name(f".{path.name}.lock")
