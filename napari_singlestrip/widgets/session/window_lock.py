"""Marks that a window has a study open, by a file that a killed window does not block."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from qtpy.QtCore import QObject, QTimer

from napari_singlestrip.errors import UserError
from napari_singlestrip.study.lock import HEARTBEAT_SECONDS, FolderLock, is_locked
from napari_singlestrip.study.study import Study

FILE = "window.lock"


class WindowMark(QObject):
    """Marks a study folder as open in this window, and detects other windows.

    It is only informative: two windows may open a study, but the user should know.

    Parameters
    ----------
    folder : Path
        The study folder.
    """

    def __init__(self, folder: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lock = FolderLock(folder / FILE)
        self._timer = QTimer(self)
        self._timer.setInterval(round(1000 * HEARTBEAT_SECONDS))
        self._timer.timeout.connect(self.beat)
        self.beat()
        self._timer.start()

    def other(self) -> str:
        """Return where another window has the study open; empty if none has."""
        if self._lock.held or not self._lock.seems_held():
            return ""
        owner = self._lock.holder()
        if owner is None or owner.host == socket.gethostname():
            return "on this computer"
        return f"on {owner.host}"

    def beat(self) -> None:
        """Update the heartbeat, or replace a stale lock."""
        if self._lock.held:
            self._lock.beat()
        elif not self._lock.seems_held():
            with suppress(UserError):  # not essential
                self._lock.take()

    def release(self) -> None:
        """Release when the study is closed."""
        self._timer.stop()
        self._lock.give_back()
        self.deleteLater()


def others_at_work(window: str, study: Study, busy: bool) -> Iterator[str]:
    """What to know about others who have a study open, or work on it.

    Parameters
    ----------
    window : str
        Where another window has it open, as of `WindowMark.other`.
    study : Study
    busy : bool
        Whether the job that works on it is this window's.
    """
    if window:
        yield (
            f"Another window {window} has {study.name} open: its decisions appear here "
            "after some seconds, and the last stroke on the same scan counts."
        )
    if is_locked(study.folder) and not busy:
        yield (
            f"Another window or a job elsewhere is working on {study.name}: you can review and "
            "paint, but training waits until it is done."
        )
