"""Temporary folders, and cleaning up temporary files of killed processes."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from napari_singlestrip.files.atomic import HINTS, TEMPORARY_PREFIX, explain, refuse_links

# Our temporary files have a process id and a counter in the name, folders eight letters; files of
# other programs may begin alike, such as LibreOffice's locks (.~lock.masks.csv#).
_OURS = re.compile(r"\.~.*\.\d+-\d+(\..*)?", re.DOTALL)
_OUR_FOLDERS = re.compile(r"\.~[a-z0-9_]{8}")


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder in `parent`, which is removed at the end with its content.

    Not in the system's temporary folder, which may be small and should not receive patient data.
    `remove_leftovers` deletes those of killed processes.

    Raises
    ------
    UserError
        If the disk is full or read-only, or the folder is not writable.
    """
    refuse_links(parent)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = TemporaryDirectory(
            dir=parent, prefix=TEMPORARY_PREFIX, ignore_cleanup_errors=True
        )
    except OSError as error:
        if error.errno not in HINTS:
            raise
        raise explain(error, parent / "a temporary folder") from error
    with folder as name:
        yield Path(name)


def remove_leftovers(folder: str | Path, older_than_seconds: float = 3600.0) -> list[Path]:
    """Remove temporary files and folders of killed processes in `folder` (not recursively).

    By age, not by process id: the folder may be shared with another machine, whose processes are
    not visible here.

    Parameters
    ----------
    folder : str or Path
        A folder in which `atomic_path` or `temporary_folder` wrote.
    older_than_seconds : float
        Younger files may still be in use, and are kept.

    Returns
    -------
    list of Path
        Paths that were removed.
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
