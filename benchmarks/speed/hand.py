"""A mouse and keys on the window, for measurements of what a hand waits for."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from screen_watch import ScreenWatch

STEP_MS, STROKE_S = 16, 4.0
Voxel = tuple[float, float, float]


class Hand:
    """A mouse and keys on the window.

    Parameters
    ----------
    window : StripWidget
    watch : ScreenWatch
    """

    def __init__(self, window: Any, watch: ScreenWatch) -> None:
        from qtpy.QtCore import Qt

        from napari_singlestrip.widgets.viewer.napari_private import canvas_of

        self.window, self.watch = window, watch
        self.layers = window.session.layers
        self.canvas = canvas_of(window.viewer)
        self._left, self._none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier

    def pixel(self, voxel: Voxel) -> Any:
        """Where a voxel (I, P, L) of the slice on the canvas is."""
        from qtpy.QtCore import QPointF

        from napari_singlestrip.widgets.viewer.viewpoint import PLANES

        panes = self.window.panes
        _, rows, columns = PLANES[panes.plane]
        at = QPointF(*(float(voxel[n] * self.layers.viewpoint.scale[n]) for n in (columns, rows)))
        return panes.camera.transform(panes.plane, panes.pane_size).map(at).toPoint()

    def press(self, voxel: Voxel) -> None:
        """Press the button."""
        from qtpy.QtTest import QTest

        QTest.mousePress(self.canvas, self._left, self._none, self.pixel(voxel))

    def move(self, voxel: Voxel) -> None:
        """Move, with the button as it is."""
        from qtpy.QtTest import QTest

        QTest.mouseMove(self.canvas, self.pixel(voxel))

    def release(self, voxel: Voxel) -> None:
        """Release the button."""
        from qtpy.QtTest import QTest

        QTest.mouseRelease(self.canvas, self._left, self._none, self.pixel(voxel))

    def key(self, key: str) -> float:
        """Press a key on the image; milliseconds until it is answered."""
        from qtpy.QtGui import QKeySequence
        from qtpy.QtTest import QTest

        self.watch.begin()
        QTest.keySequence(self.canvas, QKeySequence(key))
        return self.watch.wait()

    def click(self, voxel: Voxel) -> float:
        """Click; milliseconds until its press is answered."""
        self.watch.begin()
        self.press(voxel)
        answered = self.watch.wait()
        self.release(voxel)
        return answered

    def draw(self, path: Sequence[Voxel]) -> float:
        """Draw a line; milliseconds until its release is answered."""
        from qtpy.QtWidgets import QApplication

        self.press(path[0])
        for voxel in path[1:]:
            self.move(voxel)
            QApplication.processEvents()
        self.watch.rest()
        self.watch.begin()
        self.release(path[-1])
        return self.watch.wait()

    def stroke(self) -> list[float]:
        """Paint a long stroke, a step every 16 ms; the gaps between frames (ms)."""
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QApplication

        first = len(self.watch.frames)
        self.press(on_ring(0.0))
        began = time.perf_counter()
        for n in itertools.count(1):
            due = began + n * STEP_MS / 1e3
            while time.perf_counter() < due:
                QTest.qWait(1)
            if due > began + STROKE_S:
                break
            self.move(on_ring(n / 80))
            QApplication.processEvents()
        frames = self.watch.frames[first:]
        self.release(on_ring(0.0))
        return [1e3 * (b - a) for a, b in itertools.pairwise(frames)]


def on_ring(turns: float) -> Voxel:
    """A place on a ring round the middle of the axial slice."""
    angle = 2 * np.pi * turns
    return 128.0, 128 + 60 * float(np.sin(angle)), 128 + 60 * float(np.cos(angle))
