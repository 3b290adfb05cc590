"""Tab and Shift+Tab on the image step through the places to check instead of moving the focus."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QWidget

STEPS = {Qt.Key.Key_Tab: 1, Qt.Key.Key_Backtab: -1}
OTHERS = (
    Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier
    | Qt.KeyboardModifier.MetaModifier
)


class TabKeys(QObject):
    """An event filter, as Qt handles Tab before any widget.

    Parameters
    ----------
    parent : QWidget
        Active while it is visible.
    places : sequence of QWidget or None
        Where Tab is ours: the image and the table.
    step : callable
        Steps by 1 or -1; returns whether there was anything to step through.
    """

    def __init__(
        self, parent: QWidget, places: tuple[QWidget | None, ...], step: Callable[[int], bool]
    ) -> None:
        super().__init__(parent)
        self._panel, self._step = parent, step
        self._places = tuple(place for place in places if place is not None)
        for place in self._places:
            place.installEventFilter(self)

    def close(self) -> None:
        """Let go: the window closes."""
        for place in self._places:
            place.removeEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Handle Tab and Shift+Tab, while there is something to step through."""
        if not isinstance(event, QKeyEvent) or event.type() != QEvent.Type.KeyPress:
            return False
        by = STEPS.get(Qt.Key(event.key()))
        if by is None or not self._panel.isVisible() or event.modifiers() & OTHERS:
            return False
        return self._step(by)
