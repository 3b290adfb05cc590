"""Unfinished masks that could not be written: kept in memory, tried again, and asked about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_singlestrip.errors import NotWritten, UserError
from napari_singlestrip.texts import printable

RETRY_MS = 5000

Mask = NDArray[np.bool_]
Write = Callable[[Path, str, Mask], None]


class UnsavedMasks(QObject):
    """Writes drafts; those that could not be written stay here until they are.

    Parameters
    ----------
    write : callable
        (study folder, scan, mask): raises `UserError` or `OSError` when it cannot.

    Signals
    -------
    changed()
        A draft was written, could not be written, or is no longer wanted.
    """

    changed = Signal()

    def __init__(self, write: Write, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._write = write
        self._masks: dict[tuple[Path, str], Mask] = {}
        self._again = QTimer(self)
        self._again.setSingleShot(True)
        self._again.setInterval(RETRY_MS)
        self._again.timeout.connect(self.retry)

    def save(self, folder: Path, name: str, mask: Mask) -> None:
        """Write a draft; when that fails, keep a copy and try again later.

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
                "It is kept while this window is open, and tried again.",
            ) from error
        self._masks.pop((folder, name), None)
        self.changed.emit()

    def names(self, folder: Path | None = None) -> tuple[str, ...]:
        """Scans of a study, or of all, whose drafts are only here."""
        return tuple(name for of, name in self._masks if folder in (None, of))

    def mask(self, folder: Path, name: str) -> Mask | None:
        """A draft that is only here; None when there is none."""
        return self._masks.get((folder, name))

    def forget(self, folder: Path, name: str) -> None:
        """The draft is no longer wanted: it was kept as a mask, or discarded."""
        if self._masks.pop((folder, name), None) is not None:
            self.changed.emit()

    def retry(self) -> bool:
        """Try to write all that is only here; return whether nothing is left."""
        for (folder, name), mask in list(self._masks.items()):
            try:
                self.save(folder, name, mask)
            except NotWritten:  # told when it happened first
                break
        return not self._masks

    def close(self) -> None:
        """Try a last time: the window closes."""
        self.retry()
        self._again.stop()


class ClosingWords:
    """What napari's question on closing says of us: a job that runs, strokes that are not saved.

    napari 0.9 collects such words; another version asks without them.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        self._manager = getattr(getattr(viewer, "window", None), "_task_status_manager", None)
        self._tasks: dict[str, Any] = {}
        self._said: dict[str, str] = {}

    def say(self, what: str, text: str) -> None:
        """Let the question say `text` of `what`; an empty text for nothing."""
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
