"""Changes of several files of a study: all of them or none, wherever the program is killed.

What is new is written into a hidden folder first, with the plan of what goes where. Renaming that
folder to `PENDING` decides: from then on the change is carried out, if need be by the program that
opens the study next.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath, PureWindowsPath

from napari_singlestrip.atomic_files import (
    STUDY_MARK,
    lock_path,
    read_json,
    refuse_links,
    sync_folder,
    temporary_folder,
    write_json_atomic,
)
from napari_singlestrip.errors import UserError

PENDING = ".change"
PLAN = "plan.json"
STAGED = "files"
# What a change may touch; a plan that says otherwise is not one of ours.
MASKS = "masks"
DOCUMENTS = ("decisions.csv", "study.json", "study.json.bak")


class Change:
    """Files of a study that are to change together, in the order in which they are named.

    Parameters
    ----------
    folder : Path
        The study folder.
    staging : Path
        Where the new content waits.
    """

    def __init__(self, folder: Path, staging: Path) -> None:
        self._folder, self._staging = folder, staging
        self.plan: dict[str, bool] = {}  # by target: whether there is new content, or none

    def replace(self, path: Path) -> Path:
        """Return where to write the new content of a file."""
        staged = self._staging / STAGED / self._add(path, True)
        staged.parent.mkdir(parents=True, exist_ok=True)
        return staged

    def remove(self, path: Path) -> None:
        """Have a file removed, if it is there."""
        self._add(path, False)

    def _add(self, path: Path, replaced: bool) -> str:
        refuse_links(path.parent, self._folder)
        target = path.relative_to(self._folder).as_posix()
        self.plan[target] = replaced
        return target


@contextmanager
def change_together(folder: Path) -> Iterator[Change]:
    """Collect changes, and make them when the block succeeds; else nothing is changed.

    Whoever calls this holds the lock of the study (`files.exclusive`).

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
        staging.rename(folder / PENDING)
        sync_folder(folder)
        finish_change(folder)


def is_pending(folder: Path) -> bool:
    """Whether a change was decided, but perhaps not carried out."""
    return os.path.lexists(folder / PENDING)


def finish_change(folder: Path) -> None:
    """Carry out what a killed program had decided; what it did already is not done again.

    Whoever calls this holds the lock of the study.

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
            os.replace(staged, path)
        sync_folder(path.parent)
    shutil.rmtree(folder / PENDING)


def drop_change(folder: Path) -> None:
    """Forget a change that was not carried out to its end, and what there is of it already.

    For a folder that is to become a study, whose files are all of that change.
    """
    for target in pending_targets(folder):
        (folder / target).unlink(missing_ok=True)
    if is_pending(folder):
        shutil.rmtree(folder / PENDING)


def pending_targets(folder: Path) -> tuple[str, ...]:
    """Files, relative to the study folder, that a change has replaced or will."""
    return tuple(t for t, new in _plan(folder).items() if new) if is_pending(folder) else ()


def remove_if_empty(folder: Path) -> None:
    """Remove a folder that was made for a study which could not be made."""
    with suppress(OSError):
        if all(path == lock_path(folder / STUDY_MARK) for path in folder.iterdir()):
            shutil.rmtree(folder)


def _plan(folder: Path) -> dict[str, bool]:
    path = folder / PENDING / PLAN
    hint = f"Delete the folder {path.parent}: the change it holds is lost."
    refuse_links(path, folder)
    try:
        plan = read_json(path)
    except FileNotFoundError:  # all was done, and the folder half removed
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
