"""What a test of the window leaves behind: widgets, timers of ours, threads, processes."""

from __future__ import annotations

import sys
import threading
import time
import weakref
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

import psutil
import pytest
from qtpy.QtCore import QEvent, QThread, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QMenu, QWidget

OURS = ("tests.", "napari_singlestrip", "test_", "gui_")
# Threads that napari and what it uses keep for the next viewer.
# "imports" ends by itself, with what napari needs for its first layer.
KEPT_THREADS = ("ThreadPoolExecutor", "Dummy", "asyncio", "pytest", "imports")
GRACE_SECONDS = 1.0  # for what is ending


class Leaks:
    """Notes what is there at the start; `check` fails with the name of each thing that stayed."""

    def __enter__(self) -> Leaks:
        self._widgets = set(QApplication.topLevelWidgets())
        self._threads = set(threading.enumerate())
        self._children = {child.pid for child in psutil.Process().children(recursive=True)}
        self._timers: list[tuple[weakref.ref[Any], str]] = []
        self._qthreads: list[tuple[weakref.ref[Any], str]] = []
        self._starts = QTimer.start, QThread.start
        _replace_starts(
            _noting(QTimer.start, self._timers), _noting(QThread.start, self._qthreads)
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _replace_starts(*self._starts)

    def check(self) -> None:
        """Fail when something was left behind."""
        end = time.monotonic() + GRACE_SECONDS
        while (left := self._left()) and time.monotonic() < end:
            QTest.qWait(50)
            QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
        self._stop()
        if left:
            pytest.fail("left behind: " + "; ".join(left), pytrace=False)

    # --- inside

    def _left(self) -> list[str]:
        return [
            *(f"widget {_named(w)}" for w in self._new_widgets()),
            *(f"timer started in {place}" for _, place in _active(self._timers, "isActive")),
            *(f"thread {thread.name}" for thread in self._new_threads()),
            *(f"QThread started in {place}" for _, place in _active(self._qthreads, "isRunning")),
            *(f"process {_command(process)}" for process in self._new_processes()),
        ]

    def _stop(self) -> None:
        """Clean up, so that the next test does not fail for this one."""
        for timer, _ in _active(self._timers, "isActive"):
            timer.stop()
        for process in self._new_processes():
            process.kill()
        for widget in self._new_widgets():
            widget.close()
            widget.deleteLater()

    def _new_widgets(self) -> list[QWidget]:
        new = [w for w in QApplication.topLevelWidgets() if w not in self._widgets]
        # A plot's menus have no parent: they go with the plot, which the test may still hold.
        return [w for w in new if w.isVisible() or not isinstance(w, QMenu)]

    def _new_threads(self) -> list[threading.Thread]:
        new = set(threading.enumerate()) - self._threads
        return [t for t in new if not t.name.startswith(KEPT_THREADS)]

    def _new_processes(self) -> list[psutil.Process]:
        children = psutil.Process().children(recursive=True)
        return [c for c in children if c.pid not in self._children and _lives(c)]


def _replace_starts(timer_start: Any, thread_start: Any) -> None:
    timers: Any = QTimer
    threads: Any = QThread
    timers.start, threads.start = timer_start, thread_start


def _noting(start: Any, noted: list[tuple[weakref.ref[Any], str]]) -> Any:
    """A `start` that notes which timers and threads our code starts, and where."""

    def noting(started: Any, *arguments: Any) -> None:
        frame = sys._getframe(1)
        if str(frame.f_globals.get("__name__", "")).startswith(OURS):
            noted.append((weakref.ref(started), _place(frame)))
        start(started, *arguments)

    return noting


def _active(noted: list[tuple[weakref.ref[Any], str]], question: str) -> list[tuple[Any, str]]:
    """Those that still run; Qt raises for those it has deleted."""
    active = []
    for reference, where in noted:
        started = reference()
        with suppress(RuntimeError):
            if started is not None and getattr(started, question)():
                active.append((started, where))
    return active


def _place(frame: FrameType) -> str:
    return f"{frame.f_globals.get('__name__')}:{frame.f_lineno}"


def _named(widget: QWidget) -> str:
    kind = type(widget)
    title = widget.objectName() or widget.windowTitle()
    return f"{kind.__module__}.{kind.__name__} {title!r}{'' if widget.isVisible() else ' (hidden)'}"


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and "Xvfb" not in process.name()
    except psutil.Error:
        return False


def _command(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {' '.join(process.cmdline())[:200]}"
    except psutil.Error:
        return str(process.pid)
