"""When did the screen show it? Follows the canvas and the panes of a window from frame to frame."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

QUIET_MS = 150  # without a frame: everything is drawn
PATIENCE_S = 5.0
REST_S = 1.0  # a job that trains has its curves drawn all the time
_PANES = "napari_singlestrip.widgets.panes"
FOLLOWED = (
    (f"{_PANES}.four_panes", "FourPanes.refresh", "the panes know what to draw"),
    (f"{_PANES}.plane_pane", "PlanePane.update", "a pane has to be drawn"),
    (f"{_PANES}.plane_pane", "PlanePane.paintEvent", "a pane is drawn"),
    (f"{_PANES}.surface_view", "SurfaceView.show_surface", "the surface is another one"),
)


class ScreenWatch:
    """Notes when napari's canvas, the panes and the surface were drawn, and when that was seen.

    A frame counts once Qt has put the whole window together (`frameSwapped`), so that waiting for
    its turn, drawing and composing are all within the time. To be made before the window, which
    keeps some of the methods that are followed.

    Attributes
    ----------
    frames : list of float
        Seconds of each frame in which the canvas was drawn.
    last : float
        Seconds of the last frame of any kind.
    cpu : float
        Milliseconds of the processor that the window's thread took for the last answer.
    """

    def __init__(self) -> None:
        self._panes: Any = None
        self.frames: list[float] = []
        self.last = 0.0
        self._drawn = self._refreshed = 0.0
        self._surface = self._surface_seen = 0.0
        self._waiting: set[Any] = set()  # panes that have to be painted
        self._began, self._seen = 0.0, 0.0
        self._cpu = self.cpu = 0.0
        self._follow_panes()

    def follow(self, window: Any) -> None:
        """Follow the canvas of a window (`StripWidget`), which shows four panes from now on."""
        from napari_singlestrip.widgets.viewer.napari_private import canvas_of

        canvas: Any = canvas_of(window.viewer)
        self._panes = window.panes
        canvas.frameSwapped.connect(self._on_frame)
        canvas._vispy_canvas.events.draw.connect(self._on_canvas, position="last")

    # --- measuring

    def begin(self) -> None:
        """An event follows."""
        self._seen = 0.0
        self._surface_seen = 0.0
        self._cpu = time.thread_time()
        self._began = time.perf_counter()

    def wait(self) -> float:
        """Milliseconds until the canvas and the panes showed what the event changed."""
        self._wait_for("_seen")
        return 1e3 * (self._seen - self._began) if self._seen else float("nan")

    def wait_for_surface(self) -> float:
        """Milliseconds until the surface showed it, roughly."""
        self._wait_for("_surface_seen")
        return 1e3 * (self._surface_seen - self._began) if self._surface_seen else float("nan")

    def rest(self, ms: int = QUIET_MS) -> None:
        """Let the window finish what it is at, until there was no frame for a while."""
        from qtpy.QtTest import QTest

        end = time.perf_counter() + REST_S
        QTest.qWait(ms)
        while 1e3 * (time.perf_counter() - self.last) < ms and time.perf_counter() < end:
            QTest.qWait(10)

    # --- inside

    def _wait_for(self, name: str) -> None:
        """Let Qt run, asleep while nothing is due, until a time is known."""
        from qtpy.QtCore import QEventLoop, QTimer
        from qtpy.QtWidgets import QApplication

        end = self._began + PATIENCE_S
        wakes = QTimer()
        wakes.start(50)
        while not getattr(self, name) and time.perf_counter() < end:
            QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
        wakes.stop()

    def _follow_panes(self) -> None:
        thens = (self._on_refreshed, self._waiting.add, self._waiting.discard, self._on_surface)
        for (module, path, _), then in zip(FOLLOWED, thens, strict=True):
            owner, name = path.split(".")
            _after(getattr(importlib.import_module(module), owner), name, then)

    def _on_canvas(self, event: Any = None) -> None:
        self._drawn = time.perf_counter()

    def _on_refreshed(self, panes: Any) -> None:
        self._refreshed = time.perf_counter()

    def _on_surface(self, view: Any) -> None:
        self._surface = time.perf_counter()

    def _on_frame(self) -> None:
        now = time.perf_counter()
        if self._drawn > self.last:
            self.frames.append(now)
        self.last = now
        if not self._surface_seen and self._surface > self._began:
            self._surface_seen = now
        shown = [pane for pane in self._waiting if pane.isVisible() and not self._covered(pane)]
        if min(self._drawn, self._refreshed) > self._began and not shown and not self._seen:
            self._seen = now
            self.cpu = 1e3 * (time.thread_time() - self._cpu)

    def _covered(self, pane: Any) -> bool:
        """Whether napari's canvas lies over a pane, which Qt then does not paint."""
        return bool(pane.plane == self._panes.plane)


def _after(owner: type, name: str, then: Callable[[Any], object]) -> None:
    """Call `then` with the object after each call of a method."""
    usual = getattr(owner, name)

    def call(self: Any, *arguments: Any, **more: Any) -> Any:
        found = usual(self, *arguments, **more)
        then(self)
        return found

    setattr(owner, name, call)
