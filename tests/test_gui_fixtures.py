"""The vocabulary of the window's tests: the mouse hits what it aims at, and leaks are named."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from gui_fixtures import canvas_of, press_key, stroke, wait_until
from gui_leaks import Leaks
from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtWidgets import QWidget

pytest_plugins = ("gui_fixtures",)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_stroke_paints_the_voxels_it_goes_through(viewer: Any, order: tuple[int, ...]) -> None:
    layer = viewer.add_labels(np.zeros((12, 16, 14), np.uint8), scale=(2, 1, 1.5))
    layer.mode, layer.brush_size = "paint", 1
    viewer.dims.order = order
    viewer.dims.current_step = (5, 5, 5)
    start, end = np.array((5, 5, 5)), np.array((5, 5, 5))
    end[order[2]] = 9
    stroke(viewer, [tuple(start), tuple(end)])
    painted = np.argwhere(layer.data)
    assert len(painted) == 5
    assert {tuple(p) for p in painted} >= {tuple(start), tuple(end)}
    press_key(viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not layer.data.any()


def test_screen_is_small(viewer: Any) -> None:
    window = viewer.window._qt_window
    assert (window.width(), window.height()) == (1366, 768)
    viewer.add_image(np.zeros((4, 4, 4)))  # before napari 0.9 the canvas is hidden without one
    assert canvas_of(viewer).isVisible()


def test_left_over_widget_is_named(qapp: Any) -> None:
    kept = []
    with pytest.raises(pytest.fail.Exception, match="QWidget 'forgotten'"), Leaks() as leaks:
        kept.append(QWidget())
        kept[0].setObjectName("forgotten")
        leaks.check()


def test_left_over_timer_is_named(qapp: Any) -> None:
    parent = QObject()
    timer = QTimer(parent)
    with pytest.raises(pytest.fail.Exception, match="timer started in test"), Leaks() as leaks:
        timer.start(60_000)
        leaks.check()
    assert not timer.isActive()


def test_left_over_thread_is_named(qapp: Any) -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="scans-ahead_0")
    with pytest.raises(pytest.fail.Exception, match="thread scans-ahead_0"), Leaks() as leaks:
        thread.start()
        leaks.check()
    end.set()
    thread.join()


def test_left_over_process_is_named_and_killed(qapp: Any) -> None:
    program = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(pytest.fail.Exception, match=r"process .*sleep\(600\)"), Leaks() as leaks:
        process = subprocess.Popen(program)
        leaks.check()
    assert process.wait(timeout=10) < 0


def test_wait_until_gives_up(qapp: Any) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"waited 0\.1 s for: the moon"):
        wait_until(lambda: False, "the moon", seconds=0.1)


def test_window_closes_without_a_trace(window: Any) -> None:
    """The fixture's own check says what stayed."""
    assert window.isVisible()
