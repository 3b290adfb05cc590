"""Atomic changes of several files of a study: all of them or none, even if the program is killed.

New content is first written to a hidden folder, with a plan of the targets. Renaming that folder to
`PENDING` commits the change: from then on it is carried out, if necessary by the program that opens
the study next.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath, PureWindowsPath

from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import (
    STUDY_MARK,
    read_json,
    refuse_links,
    sync_folder,
    write_json_atomic,
)
from napari_singlestrip.files.locks import lock_path
from napari_singlestrip.files.portable import rename, replace
from napari_singlestrip.files.temporary import temporary_folder

PENDING = ".change"
PLAN = "plan.json"
STAGED = "files"
# Files that a change may touch; any other plan is not ours.
MASKS = "masks"
DOCUMENTS = ("decisions.csv", "study.json", "study.json.bak")


class Change:
    """Files of a study that change together, in the given order.

    Parameters
    ----------
    folder : Path
        The study folder.
    staging : Path
        Folder of the new content.
    """

    def __init__(self, folder: Path, staging: Path) -> None:
        self._folder, self._staging = folder, staging
        self.plan: dict[str, bool] = {}  # by target: whether it is replaced or removed

    def replace(self, path: Path) -> Path:
        """Return where to write the new content of a file."""
        staged = self._staging / STAGED / self._add(path, True)
        staged.parent.mkdir(parents=True, exist_ok=True)
        return staged

    def remove(self, path: Path) -> None:
        """Remove a file, if it exists."""
        self._add(path, False)

    def _add(self, path: Path, replaced: bool) -> str:
        refuse_links(path.parent, self._folder)
        target = path.relative_to(self._folder).as_posix()
        self.plan[target] = replaced
        return target


@contextmanager
def change_together(folder: Path) -> Iterator[Change]:
    """Collect changes, and carry them out if the block succeeds; otherwise nothing changes.

    The caller must hold the lock of the study (`files.locks.exclusive`).

    Raises
    ------
    UserError
        If it cannot be written.
    """
    finish_change(folder)
    with temporary_folder(folder) as staging:
        change = Change(folder, staging)
        yield change
        write_json_atomic(staging / PLAN, change.plan)
        rename(staging, folder / PENDING)
        sync_folder(folder)
        finish_change(folder)


def is_pending(folder: Path) -> bool:
    """Whether a change was committed, but perhaps not carried out."""
    return os.path.lexists(folder / PENDING)


def finish_change(folder: Path) -> None:
    """Complete a change that a killed program had committed.

    The caller must hold the lock of the study.

    Raises
    ------
    UserError
        If it cannot be written, or the plan is damaged.
    """
    if not is_pending(folder):
        return
    for target, replaced in _plan(folder).items():
        path, staged = folder / target, folder / PENDING / STAGED / target
        refuse_links(path.parent, folder)
        refuse_links(staged, folder)
        if not replaced:
            path.unlink(missing_ok=True)
        elif staged.is_file():
            path.parent.mkdir(exist_ok=True)
            replace(staged, path)
        sync_folder(path.parent)
    shutil.rmtree(folder / PENDING)


def drop_change(folder: Path) -> None:
    """Drop an incomplete change, together with the files it has already written.

    Only for a new study, in which all files are part of that change.
    """
    for target in pending_targets(folder):
        (folder / target).unlink(missing_ok=True)
    if is_pending(folder):
        shutil.rmtree(folder / PENDING)


def pending_targets(folder: Path) -> tuple[str, ...]:
    """Targets of a pending change, relative to the study folder."""
    return tuple(t for t, new in _plan(folder).items() if new) if is_pending(folder) else ()


def remove_if_empty(folder: Path) -> None:
    """Remove a folder after a study could not be created in it."""
    with suppress(OSError):
        if all(path == lock_path(folder / STUDY_MARK) for path in folder.iterdir()):
            shutil.rmtree(folder)


def _plan(folder: Path) -> dict[str, bool]:
    path = folder / PENDING / PLAN
    hint = f"Delete the folder {path.parent}: the change it holds is lost."
    refuse_links(path, folder)
    try:
        plan = read_json(path)
    except FileNotFoundError:  # carried out, and the folder only partly removed
        return {}
    except UserError as error:
        raise UserError(error.what, hint) from error
    if not isinstance(plan, dict) or not all(_is_ours(target) for target in plan):
        raise UserError(f"{path} is damaged.", hint)
    return {target: replaced is True for target, replaced in plan.items()}


def _is_ours(target: str) -> bool:
    if target in DOCUMENTS:
        return True
    folder, _, name = target.partition("/")
    plain = PurePosixPath(name).name == PureWindowsPath(name).name == name
    return folder == MASKS and plain and name not in ("", ".", "..") and "\0" not in name
