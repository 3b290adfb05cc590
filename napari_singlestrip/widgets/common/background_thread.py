"""Work that does not hold the window up: a thread whose answers come back to Qt's, and imports."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from qtpy.QtCore import QObject, Signal

from napari_singlestrip.errors import UserError

T = TypeVar("T")

# A third of a second together; the tools need them, and napari for its first picture.
SLOW_IMPORTS = ("scipy.ndimage", "scipy.sparse")


def import_slow_parts() -> threading.Thread:
    """Import in a thread what would hold the window up when it is first needed.

    Returns
    -------
    threading.Thread
        Ends by itself; the interpreter waits for it.
    """
    thread = threading.Thread(target=_import_all, args=(SLOW_IMPORTS,), name="imports")
    thread.start()
    return thread


def _import_all(names: tuple[str, ...]) -> None:
    for name in names:
        importlib.import_module(name)


class Background(QObject):
    """Does work in a thread, in the order in which it was asked for.

    Signals
    -------
    failed(str)
        What a person should know: a file that cannot be read.
    """

    failed = Signal(str)
    _done = Signal(int, object, object)

    def __init__(self, name: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._pool: ThreadPoolExecutor | None = None
        self._turn = 0
        self._closed = False
        self._done.connect(self._take)

    def run(self, work: Callable[[], T], then: Callable[[T], object]) -> None:
        """Do `work` in the thread, then call `then` with its result in this object's thread.

        Parameters
        ----------
        work : callable
            Must not touch Qt or a study's tables.
        then : callable
            Not called when `forget` was, meanwhile.
        """
        if self._closed:
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        turn = self._turn
        self._pool.submit(self._work, turn, work, then)

    def forget(self) -> None:
        """Drop what was asked for: nobody waits for it any more."""
        self._turn += 1

    def close_all(self) -> None:
        """End the thread: the window closes."""
        self._closed = True
        self.forget()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _work(self, turn: int, work: Callable[[], T], then: Callable[[T], object]) -> None:
        if turn != self._turn:
            return
        result: Any = None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - raised again where it is seen
            result = error
        if not self._closed:
            self._done.emit(turn, then, result)

    def _take(self, turn: int, then: Callable[[Any], object], result: object) -> None:
        if turn != self._turn or self._closed:
            return
        if isinstance(result, UserError):
            self.failed.emit(str(result))
        elif isinstance(result, MemoryError):
            self.failed.emit("There was not enough memory. Close other programs and try again.")
        elif isinstance(result, BaseException):
            raise result
        else:
            then(result)
