"""Which window has a study open: a file in the study that a killed window cannot leave standing."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

from qtpy.QtCore import QObject, QTimer

from napari_singlestrip.errors import UserError
from napari_singlestrip.study.lock import HEARTBEAT_SECONDS, FolderLock

FILE = "window.lock"


class WindowMark(QObject):
    """Says in a study folder that this window has it open, and sees whether another has.

    It hinders nobody: two windows may look at a study, but a person should know of it.

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
        """Say where another window has the study open; empty when none has."""
        if self._lock.held or not self._lock.seems_held():
            return ""
        owner = self._lock.holder()
        if owner is None or owner.host == socket.gethostname():
            return "on this computer"
        return f"on {owner.host}"

    def beat(self) -> None:
        """Say that the window is still there, or take the place of one that is gone."""
        if self._lock.held:
            self._lock.beat()
        elif not self._lock.seems_held():
            with suppress(UserError):  # it is only a courtesy to the other window
                self._lock.take()

    def release(self) -> None:
        """The study is closed."""
        self._timer.stop()
        self._lock.give_back()
        self.deleteLater()
