"""Single-shot timers, for debouncing and throttling.

Not superqt's `qdebounced` and `qthrottled`: these cannot be stopped or queried; they restart their
timer after each call, create a future for it, and warn if the receiver was deleted.
"""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer


def single_shot(
    parent: QObject, milliseconds: int, then: Callable[[], object] | None = None
) -> QTimer:
    """Make a timer that is started explicitly and fires once.

    Starting it while it runs restarts the wait (debouncing); starting it only if it is not running
    keeps the wait (throttling).

    Parameters
    ----------
    parent : QObject
        Deleted together with it.
    milliseconds : int
        Delay; 0 fires once Qt's event loop is idle.
    then : callable, optional
        Called when it fires.
    """
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    if then is not None:
        timer.timeout.connect(then)
    return timer
