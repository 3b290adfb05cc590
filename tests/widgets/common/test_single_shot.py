"""Timers that fire once: started again while they run, stopped, and asked whether they run."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QObject

from napari_singlestrip.widgets.common.single_shot import single_shot

pytest_plugins = ("gui_fixtures",)


@pytest.fixture
def parent(qtbot: QtBot) -> QObject:
    return QObject()


def test_it_fires_once_after_the_last_start(parent: QObject, qtbot: QtBot) -> None:
    calls: list[int] = []
    timer = single_shot(parent, 30, lambda: calls.append(1))
    assert not timer.isActive()
    for _ in range(3):
        timer.start()
    qtbot.waitUntil(lambda: bool(calls), timeout=5000)
    assert calls == [1] and not timer.isActive()
    qtbot.wait(80)
    assert calls == [1]


def test_it_can_be_stopped_and_need_not_call(parent: QObject, qtbot: QtBot) -> None:
    calls: list[int] = []
    stopped, silent = single_shot(parent, 0, lambda: calls.append(1)), single_shot(parent, 1)
    stopped.start()
    stopped.stop()
    silent.start()
    qtbot.waitUntil(lambda: not silent.isActive(), timeout=5000)
    assert calls == [] and silent.parent() is parent
