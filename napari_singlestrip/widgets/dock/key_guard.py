"""Decides whether letter keys may act: not while the user types, nor right after.

A letter that decides about a mask while the user believes they are writing a note would corrupt a
study. So a text field keeps the keys until Enter, Esc or a click on the image or the table releases
them; Qt moving the focus, because a field was disabled or hidden, does not.
"""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject, QPoint, Qt
from qtpy.QtGui import QFocusEvent
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
    QWidget,
)

TEXT = (QLineEdit, QPlainTextEdit, QTextEdit)
FIELDS = (QAbstractSpinBox, QComboBox, *TEXT)
NEAR = 24  # pixels: a click that misses a field by less was meant for it
# Reasons for which Qt itself moves the focus.
PASSED_ON = (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason)


class KeyGuard(QObject):
    """Tracks which widget has the keys.

    Parameters
    ----------
    dock : QWidget
        Its text fields also get clicks that just miss them.
    places : sequence of QWidget
        The image and the table, where letters may decide.
    """

    def __init__(self, dock: QWidget, *places: QWidget | None) -> None:
        super().__init__(dock)
        self._dock = dock
        self._places = tuple(place for place in places if place is not None)
        self._typed = False
        for place in self._places:
            place.installEventFilter(self)
            viewport = getattr(place, "viewport", lambda: None)()
            if viewport is not None:
                viewport.installEventFilter(self)
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.focusChanged.connect(self._on_focus)

    def may_act(self, decides: bool) -> bool:
        """Whether a letter may act now.

        Decisions require the focus in one of the places, and a dock that is in sight: nobody
        decides about a mask without seeing its row.
        """
        focus = QApplication.focusWidget()
        if self._typed or isinstance(focus, FIELDS):
            return False
        if decides and self._dock.visibleRegion().isEmpty():
            return False
        return not decides or focus is None or focus in self._places

    def take_near(self, position: QPoint) -> bool:
        """Give the focus to the text field that a click in the dock just missed."""
        fields = [f for f in self._dock.findChildren(QLineEdit) if f.isVisible() and f.isEnabled()]
        near = [(self._distance(field, position), n) for n, field in enumerate(fields)]
        if not near or min(near)[0] > NEAR:
            return False
        fields[min(near)[1]].setFocus(Qt.FocusReason.MouseFocusReason)
        return True

    def close(self) -> None:
        """Let go: the window closes."""
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.focusChanged.disconnect(self._on_focus)
        for place in self._places:
            place.removeEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """React to a click on the image or the table."""
        if event is not None and event.type() == QEvent.Type.MouseButtonPress:
            self._typed = False
        elif isinstance(event, QFocusEvent) and event.gotFocus():
            self._typed = self._typed and event.reason() in PASSED_ON
        return False

    # --- inside

    def _on_focus(self, _old: Any, new: QWidget | None) -> None:
        if isinstance(new, TEXT) and not getattr(new, "isReadOnly", lambda: False)():
            self._typed = True

    def _distance(self, field: QWidget, position: QPoint) -> float:
        area = field.rect()
        area.moveTopLeft(field.mapTo(self._dock, QPoint(0, 0)))
        dx = max(area.left() - position.x(), 0, position.x() - area.right())
        dy = max(area.top() - position.y(), 0, position.y() - area.bottom())
        return float((dx**2 + dy**2) ** 0.5)
