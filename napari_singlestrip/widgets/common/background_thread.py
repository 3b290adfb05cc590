"""Background work: threads that return their results to Qt's thread, and imports.

All threads of the window are started here. superqt's workers are not suitable: they run in no fixed
order, cannot be joined by the part that started them, and change the warning filters of all
threads.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from qtpy.QtCore import QObject, Signal

from napari_singlestrip.errors import UserError

T = TypeVar("T")

# 0.7 s together; needed by the tools, and by napari for its first layer. Only imports, which
# Python locks: pint fills its table of units at first use, and another thread would miss some.
SLOW_IMPORTS = ("scipy.ndimage", "scipy.sparse", "pandas", "pint")


def import_slow_parts() -> threading.Thread:
    """Import slow modules in a thread, so that their first use does not freeze the window.

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
    """Runs tasks in threads, in the order of the requests.

    Parameters
    ----------
    name : str
        Of the threads.
    parent : QObject, optional
    n_threads : int

    Signals
    -------
    failed(str)
        A message for the user, such as about an unreadable file.
    """

    failed = Signal(str)
    _done = Signal(object, object)

    def __init__(
        self, name: str, parent: QObject | None = None, n_threads: int = 1
    ) -> None:
        super().__init__(parent)
        self._name, self._n_threads = name, n_threads
        self._pool: ThreadPoolExecutor | None = None
        self._turn = 0
        self._closed = False
        self._done.connect(self._take)

    def run(
        self,
        work: Callable[[], T],
        then: Callable[[T], object],
        failed: Callable[[Exception], object] | None = None,
    ) -> None:
        """Run `work` in a thread, then call `then` with its result in this object's thread.

        Parameters
        ----------
        work : callable
            Must not touch Qt or a study's tables.
        then : callable
            Not called if `forget` was called meanwhile.
        failed : callable, optional
            Called with the error, if any; by default the signal is emitted.
        """
        if self._closed:
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._n_threads, thread_name_prefix=self._name)
        self._pool.submit(self._work, _Asked(self._turn, then, failed or self._tell), work)

    def forget(self) -> None:
        """Drop pending requests, whose results are no longer needed."""
        self._turn += 1

    def close_all(self) -> None:
        """End the threads when the window closes."""
        self._closed = True
        self.forget()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _work(self, asked: _Asked, work: Callable[[], object]) -> None:
        if asked.turn != self._turn:
            return
        result: object = None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - re-raised in the main thread
            result = error
        if not self._closed:
            self._done.emit(asked, result)

    def _take(self, asked: _Asked, result: object) -> None:
        if asked.turn != self._turn or self._closed:
            return
        if isinstance(result, Exception):
            asked.failed(result)
        else:
            asked.then(result)

    def _tell(self, error: Exception) -> None:
        if isinstance(error, UserError):
            self.failed.emit(str(error))
        elif isinstance(error, MemoryError):
            self.failed.emit("There was not enough memory. Close other programs and try again.")
        else:
            raise error


@dataclass(frozen=True)
class _Asked:
    """A request and its callbacks."""

    turn: int
    then: Callable[[Any], object]
    failed: Callable[[Exception], object]
