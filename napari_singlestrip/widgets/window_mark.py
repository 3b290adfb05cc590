"""Which window has a study open: a file in the study that a killed window cannot leave standing."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
from qtpy.QtCore import QObject, QTimer

from napari_singlestrip.errors import UserError
from napari_singlestrip.files import read_json, write_json_atomic

FILE = "window.lock"
BEAT_MS = 20_000
STALE_SECONDS = 120.0


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
        self.path = folder / FILE
        self._own: dict[str, Any] = {
            "window": uuid4().hex, "pid": os.getpid(), "host": socket.gethostname(),
            "process_started": _start_of(os.getpid()),
        }
        self._timer = QTimer(self)
        self._timer.setInterval(BEAT_MS)
        self._timer.timeout.connect(self.beat)
        self.beat()
        self._timer.start()

    def other(self) -> str:
        """Say where another window has the study open; empty when none has."""
        found = _read(self.path)
        if found is None or found.get("window") == self._own["window"] or not self._alive(found):
            return ""
        here = found.get("host") == self._own["host"]
        return "on this computer" if here else f"on {found.get('host')}"

    def beat(self) -> None:
        """Say that the window is still there, or take the place of one that is gone."""
        if self.other():
            return
        with suppress(OSError, UserError):  # it is only a courtesy to the other window
            if _read(self.path) == self._own:
                os.utime(self.path)
            else:
                write_json_atomic(self.path, self._own)

    def release(self) -> None:
        """The study is closed."""
        self._timer.stop()
        if _read(self.path) == self._own:
            with suppress(OSError):
                self.path.unlink()
        self.deleteLater()

    def _alive(self, found: dict[str, Any]) -> bool:
        if found.get("host") == self._own["host"]:
            started = _start_of(found.get("pid"))
            return started is not None and started == found.get("process_started")
        with suppress(OSError):
            return time.time() - self.path.stat().st_mtime < STALE_SECONDS
        return False


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = read_json(path)
    except (FileNotFoundError, UserError):
        return None
    return content if isinstance(content, dict) else None


def _start_of(pid: Any) -> float | None:
    try:
        return round(psutil.Process(int(pid)).create_time(), 2)
    except (psutil.Error, TypeError, ValueError, OverflowError):
        return None
