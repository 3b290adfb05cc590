"""Drafts that could not be written: kept in memory, retried, and asked about on closing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.errors import NotWritten, UserError
from napari_singlestrip.texts import printable
from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.viewer.napari_private import closing_tasks_of

RETRY_MS = 5000

Write = Callable[[Path, str, Mask], None]


class UnsavedMasks(QObject):
    """Writes drafts, and keeps those that could not be written.

    Parameters
    ----------
    write : callable
        (study folder, scan, mask): raises `UserError` or `OSError` on failure.

    Signals
    -------
    changed()
        A draft was written, failed, or was dropped.
    """

    changed = Signal()

    def __init__(self, write: Write, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._write = write
        self._masks: dict[tuple[Path, str], Mask] = {}
        self._again = single_shot(self, RETRY_MS, self.retry)

    def save(self, folder: Path, name: str, mask: Mask) -> None:
        """Write a draft; on failure, keep a copy and retry later.

        Raises
        ------
        NotWritten
            If it could not be written.
        """
        try:
            self._write(folder, name, mask)
        except (UserError, OSError) as error:
            self._masks[folder, name] = mask.copy()
            self._again.start()
            self.changed.emit()
            raise NotWritten(
                f"What you painted on {printable(name)} is NOT saved yet: {error}",
                "It is kept in memory while this window is open, and saving is retried.",
            ) from error
        self._masks.pop((folder, name), None)
        self.changed.emit()

    def names(self, folder: Path | None = None) -> tuple[str, ...]:
        """Scans of a study, or of all, whose drafts are only in memory."""
        return tuple(name for of, name in self._masks if folder in (None, of))

    def mask(self, folder: Path, name: str) -> Mask | None:
        """A draft that is only in memory, or None."""
        return self._masks.get((folder, name))

    def forget(self, folder: Path, name: str) -> None:
        """Drop a draft, which was kept as a mask or discarded."""
        if self._masks.pop((folder, name), None) is not None:
            self.changed.emit()

    def retry(self) -> bool:
        """Try to write all drafts; return whether none is left."""
        for (folder, name), mask in list(self._masks.items()):
            try:
                self.save(folder, name, mask)
            except NotWritten:  # reported at the first failure
                break
        return not self._masks

    def close(self) -> None:
        """Try a last time when the window closes."""
        self.retry()
        self._again.stop()


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
