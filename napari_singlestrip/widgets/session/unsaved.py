"""Writing drafts in a thread; those that cannot be written are kept, and asked about on closing.

A disk may take longer than a hand waits, above all one elsewhere. So a stroke only hands its mask
to a thread, which writes the latest one of each scan. A crash of the window loses no more than what
was painted while the mask before was being written; closing, and everything that reads a draft,
waits until all are written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from qtpy.QtCore import QObject, Signal

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.errors import NotWritten, UserError
from napari_singlestrip.study.drafts import draft_path, remove_draft
from napari_singlestrip.texts import printable
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.viewer.napari_private import closing_tasks_of

RETRY_MS = 5000

Key = tuple[Path, str]  # study folder, scan
Write = Callable[[Path, str, Mask], None]
Undone = Callable[[Path, str, Mask], bool]


class UnsavedMasks(QObject):
    """Writes drafts, and keeps those that are not written yet, or could not be.

    Parameters
    ----------
    write : callable
        (study folder, scan, mask): raises `UserError` or `OSError` on failure. Called in a thread,
        by one at a time.
    undone : callable
        (study folder, scan, mask): whether the mask is as it was before all changes; its draft is
        removed then. Called in that thread.

    Signals
    -------
    changed()
        A draft was written, failed, or was dropped.
    listed()
        A scan without a draft has one, said when it is only in memory and when it is on disk; or
        it has none any more, since all changes were undone.
    failed(NotWritten)
        A draft could not be written; it is kept, and writing is retried.
    """

    changed = Signal()
    listed = Signal()
    failed = Signal(object)
    _done = Signal()

    def __init__(self, write: Write, undone: Undone, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._write, self._undone = write, undone
        # The latest masks that are not on disk. Replaced as a whole entry, so that the thread sees
        # the one or the other.
        self._masks: dict[Key, Mask] = {}
        self._failed: set[Key] = set()
        self._new: set[Key] = set()  # there is none on disk
        self._asked: deque[_Asked] = deque()
        self._pool: ThreadPoolExecutor | None = None
        self._closed = False
        self._again = single_shot(self, RETRY_MS, self._try_again)
        self._done.connect(self._take)

    def save(self, folder: Path, name: str, mask: Mask) -> None:
        """Write a draft soon; on failure, keep it and retry later.

        Parameters
        ----------
        mask : ndarray of bool, shape (i, j, k)
            Belongs to this object from now on.
        """
        key = folder, name
        new = key not in self._masks and not draft_path(folder, name).exists()
        self._masks[key] = mask
        self._ask(key)
        if new:
            self._new.add(key)
            self.listed.emit()

    def names(self, folder: Path | None = None) -> tuple[str, ...]:
        """Scans of a study, or of all, whose drafts could not be written."""
        return tuple(name for of, name in self._masks
                     if (of, name) in self._failed and folder in (None, of))

    def waiting(self, folder: Path) -> tuple[str, ...]:
        """Scans of a study whose latest drafts are only in memory, for whatever reason."""
        return tuple(name for of, name in self._masks if of == folder)

    def mask(self, folder: Path, name: str) -> Mask | None:
        """A draft that is only in memory, or None."""
        return self._masks.get((folder, name))

    def forget(self, folder: Path, name: str) -> None:
        """Drop a draft, which was kept as a mask or discarded; nothing writes it afterwards."""
        self.flush()
        self._failed.discard((folder, name))
        self._new.discard((folder, name))
        if self._masks.pop((folder, name), None) is not None:
            self.changed.emit()

    def flush(self) -> None:
        """Wait until everything is written that can be."""
        while self._asked:
            self._asked[0].future.exception()  # waits
            self._take()

    def retry(self) -> bool:
        """Try to write all drafts, and wait; return whether none is left."""
        self.flush()
        for key, mask in list(self._masks.items()):
            try:
                self._write_or_remove(key, mask)
            except (UserError, OSError, MemoryError):  # reported at the first failure
                self._again.start()
                break
            self._forget_written(key)
        return not self._masks

    def close(self) -> None:
        """Write what is left when the window closes, and end the thread."""
        self.retry()
        self._again.stop()
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown(wait=True)
            self._pool = None

    # --- inside

    def _ask(self, key: Key, again: bool = False) -> None:
        if self._closed:
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="drafts")
        mask = self._masks[key]
        future = self._pool.submit(self._put, key, mask)
        self._asked.append(_Asked(key, mask, again, future))
        future.add_done_callback(lambda _: self._done.emit())

    def _put(self, key: Key, mask: Mask) -> None:
        """Write a mask, in the thread, unless there is a later one."""
        if self._masks.get(key) is mask:
            self._write_or_remove(key, mask)

    def _write_or_remove(self, key: Key, mask: Mask) -> None:
        if self._undone(*key, mask):
            remove_draft(*key, undone=True)
        else:
            self._write(*key, mask)

    def _take(self) -> None:
        """Take what the thread has finished."""
        while self._asked and self._asked[0].future.done():
            asked = self._asked.popleft()
            error = asked.future.exception()
            if self._masks.get(asked.key) is not asked.mask:
                continue  # a later one follows
            if error is None:
                self._forget_written(asked.key)
            elif isinstance(error, (UserError, OSError, MemoryError)):
                self._keep(asked, error)
            else:
                raise error

    def _forget_written(self, key: Key) -> None:
        del self._masks[key]
        self._failed.discard(key)
        self.changed.emit()
        if key in self._new or not draft_path(*key).exists():
            self._new.discard(key)
            self.listed.emit()

    def _keep(self, asked: _Asked, error: Exception) -> None:
        self._failed.add(asked.key)
        self._again.start()
        self.changed.emit()
        if not asked.again:
            self.failed.emit(NotWritten(
                f"What you painted on {printable(asked.key[1])} is NOT saved yet: {error}",
                "It is kept in memory while this window is open, and saving is retried.",
            ))

    def _try_again(self) -> None:
        for key in self._failed:
            self._ask(key, again=True)


class _Asked(NamedTuple):
    """A draft that the thread was asked to write."""

    key: Key
    mask: Mask
    again: bool
    future: Future[None]


class ClosingWords:
    """Our part of napari's question on closing: a running job, unsaved strokes.

    napari 0.9 collects such messages; other versions ask without them.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        self._manager = closing_tasks_of(viewer)
        self._tasks: dict[str, Any] = {}
        self._said: dict[str, str] = {}

    def say(self, what: str, text: str) -> None:
        """Set or clear (empty) the message about `what`."""
        if self._manager is None or self._said.get(what, "") == text:
            return
        self._said[what] = text
        from napari.utils.task_status import Status

        if text and what not in self._tasks:
            self._tasks[what] = self._manager.register_task_status(
                "SingleStrip", Status.BUSY, text
            )
        elif what in self._tasks:
            status = Status.BUSY if text else Status.COMPLETED
            self._manager.update_task_status(self._tasks[what], status, text)
