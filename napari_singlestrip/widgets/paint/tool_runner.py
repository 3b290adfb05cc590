"""Runs a tool in a thread, one at a time, so that the window stays responsive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_singlestrip.widgets.common.background_thread import Background
from napari_singlestrip.widgets.session.session import Session


class ToolRunner(QObject):
    """Runs one function at a time; its result is dropped if the mask changed meanwhile.

    Parameters
    ----------
    session : Session
    parent : QObject, optional
    tell : bool
        Whether to report that a result was dropped.

    Signals
    -------
    busy_changed(str)
        Description of the running tool; empty if none.
    """

    busy_changed = Signal(str)

    def __init__(
        self, session: Session, parent: QObject | None = None, tell: bool = True
    ) -> None:
        super().__init__(parent)
        self.session = session
        self.busy = ""
        self._tell = tell
        self._edits = 0
        self._started_at: int | None = None
        self._background = Background("mask-tool", self)
        session.mask_edited.connect(self._on_change)
        session.scan_changed.connect(self._on_change)

    def run(
        self,
        what: str,
        work: Callable[[], Any],
        then: Callable[[Any], None],
        whatever: bool = False,
    ) -> bool:
        """Run `work` in a thread and pass its result to `then`.

        Parameters
        ----------
        what : str
            Shown while it runs.
        work : callable
            Must not use widgets.
        then : callable
            Called in the window's thread, unless the mask or the scan changed meanwhile.
        whatever : bool
            Call it even then.

        Returns
        -------
        bool
            False if another tool is running; nothing is then started.
        """
        if self.busy:
            return False
        self._started_at = None if whatever else self._edits
        self._set_busy(what)
        self._background.run(work, lambda result: self._take(lambda: then(result)), self._fail)
        return True

    def close_all(self) -> None:
        """End the thread; a pending result is dropped."""
        self._background.close_all()

    def _on_change(self, *_: object) -> None:
        self._edits += 1

    def _take(self, then: Callable[[], None]) -> None:
        what, changed = self.busy, self._started_at not in (None, self._edits)
        self._set_busy("")
        if changed:
            if self._tell:
                self.session.tell(
                    f"{what} was cancelled, because the mask changed. Try again.", "warning"
                )
            return
        with self.session.guarded():
            then()

    def _fail(self, error: Exception) -> None:
        def tell() -> None:
            raise error

        self._take(tell)

    def _set_busy(self, what: str) -> None:
        self.busy = what
        self.busy_changed.emit(what)
