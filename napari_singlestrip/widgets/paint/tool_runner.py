"""Runs a tool in a thread, so that the window stays free; one at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_singlestrip.widgets.session.session import Session


class ToolRunner(QObject):
    """Runs one function at a time; its result is dropped when the mask changed meanwhile.

    Parameters
    ----------
    session : Session
    parent : QObject, optional
    tell : bool
        Whether to say that a result was dropped.

    Signals
    -------
    busy_changed(str)
        What is being done; empty when nothing is.
    """

    busy_changed = Signal(str)
    _finished = Signal(object)

    def __init__(
        self, session: Session, parent: QObject | None = None, tell: bool = True
    ) -> None:
        super().__init__(parent)
        self.session = session
        self.busy = ""
        self._tell = tell
        self._edits = 0
        self._started_at: int | None = None
        self._then: Callable[[Any], None] | None = None
        self._pool: ThreadPoolExecutor | None = None
        session.mask_edited.connect(self._on_change)
        session.scan_changed.connect(self._on_change)
        self._finished.connect(self._take)  # into the thread of the window

    def run(
        self,
        what: str,
        work: Callable[[], Any],
        then: Callable[[Any], None],
        whatever: bool = False,
    ) -> bool:
        """Start `work` in a thread and hand its result to `then`.

        Parameters
        ----------
        what : str
            Said while it runs.
        work : callable
            Touches no widget.
        then : callable
            Called in the window's thread, unless the mask or the scan changed meanwhile.
        whatever : bool
            Call it even then.

        Returns
        -------
        bool
            False when another tool is at work; nothing is started then.
        """
        if self.busy:
            return False
        self._then, self._started_at = then, None if whatever else self._edits
        self._set_busy(what)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="mask-tool")
        self._pool.submit(work).add_done_callback(self._finished.emit)
        return True

    def close_all(self) -> None:
        """End the thread; a result that is still to come is dropped."""
        self._then = None
        if self._pool is not None:
            self._finished.disconnect(self._take)
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _on_change(self, *_: object) -> None:
        self._edits += 1

    def _take(self, future: Future[Any]) -> None:
        then, self._then = self._then, None
        what, changed = self.busy, self._started_at not in (None, self._edits)
        self._set_busy("")
        if changed:
            if self._tell:
                self.session.tell(
                    f"{what} was dropped, because you went on meanwhile. Try again.", "warning"
                )
            return
        with self.session.guarded():
            result = future.result()
            if then is not None:
                then(result)

    def _set_busy(self, what: str) -> None:
        self.busy = what
        self.busy_changed.emit(what)
