"""Keyboard navigation of the dock: Tab follows the reading order, with a visible focus frame.

Qt's order is that of creation, and includes every selectable text.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtGui import (
    QColor,
    QKeySequence,
    QMoveEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QShortcut,
)
from qtpy.QtWidgets import (
    QAbstractScrollArea,
    QApplication,
    QFocusFrame,
    QLabel,
    QLineEdit,
    QScrollArea,
    QWidget,
)

from napari_singlestrip.widgets.common.colours import tone
from napari_singlestrip.widgets.common.controls import Page
from napari_singlestrip.widgets.common.single_shot import single_shot

ON_PURPOSE = Qt.FocusReason.ShortcutFocusReason
SAME_ROW = 14  # pixels by which the centres of controls in a row may differ


def tab_stops(dock: QWidget) -> list[QWidget]:
    """Return the enabled controls, row by row.

    Separately for the step and what is below it, and for what is pinned above and below the step's
    content, since scrolled content has positions below or above the others.
    """
    layout = dock.layout()
    parts = [] if layout is None else [layout.itemAt(n) for n in range(layout.count())]
    widgets = [part.widget() for part in parts if part is not None]
    scrolling = list(itertools.dropwhile(
        lambda one: one is None or not one.findChildren(QScrollArea), widgets
    ))
    found = [widget for widget in dock.findChildren(QWidget) if _is_stop(widget)]
    middles = {widget: widget.mapTo(dock, widget.rect().center()) for widget in found}
    part_of = {
        widget: (next((n for n, part in enumerate(scrolling, 1)
                       if part is not None and part.isAncestorOf(widget)), 0), _pinned(widget))
        for widget in found
    }
    rows: list[list[QWidget]] = []
    for widget in sorted(found, key=lambda one: (part_of[one], middles[one].y())):
        last = rows[-1][0] if rows else widget
        same = part_of[last] == part_of[widget]
        if rows and same and middles[widget].y() - middles[last].y() < SAME_ROW:
            rows[-1].append(widget)
        else:
            rows.append([widget])
    return [widget for row in rows for widget in sorted(row, key=lambda one: middles[one].x())]


def take_step(dock: QWidget, forward: bool, picture: QWidget | None) -> None:
    """Focus the next or previous control; after the last one, the image.

    Qt also calls this when the focused control is disabled or hidden, as a button is by what it
    starts: then the image gets the focus, where letters act unless a text field had the keys.
    """
    stops, here = tab_stops(dock), QApplication.focusWidget()
    left = here is not None and dock.isAncestorOf(here) and not _can_be_used(here)
    if left and picture is not None:
        picture.setFocus(Qt.FocusReason.TabFocusReason)  # passed on, as `KeyGuard` knows
        return
    at = stops.index(here) if here in stops else -1 if forward else len(stops)
    after = at + (1 if forward else -1)
    if 0 <= after < len(stops):
        # Text is selected with this reason; with another one the person came here on purpose, and
        # letters decide in a table or on the image, also after a text field (see `KeyGuard`).
        is_text = isinstance(stops[after], QLineEdit)
        _go_to(stops[after], Qt.FocusReason.TabFocusReason if is_text else ON_PURPOSE)
    elif picture is not None:
        picture.setFocus(ON_PURPOSE)


def bind_moves(dock: QWidget, page: QWidget, picture: QWidget | None) -> None:
    """Bind the keys that move the focus from anywhere, since Tab steps through places in Review."""
    moves: tuple[tuple[str, Callable[[], None]], ...] = (
        ("F6", lambda: change_place(dock, page, picture)),
        ("Ctrl+Tab", lambda: take_step(dock, True, picture)),
        ("Ctrl+Shift+Tab", lambda: take_step(dock, False, picture)),
    )
    for keys, move in moves:
        QShortcut(QKeySequence(keys), dock).activated.connect(move)


def change_place(dock: QWidget, page: QWidget, picture: QWidget | None) -> None:
    """Focus the open step, or from the dock the image."""
    here, stops = QApplication.focusWidget(), tab_stops(page) or tab_stops(dock)
    if here is not None and dock.isAncestorOf(here) and picture is not None:
        picture.setFocus(ON_PURPOSE)
    elif stops:
        _go_to(stops[0], ON_PURPOSE)


def _can_be_used(widget: QWidget) -> bool:
    return widget.isEnabled() and widget.isVisible()


def _go_to(widget: QWidget, reason: Qt.FocusReason) -> None:
    widget.setFocus(reason)
    above = widget.parentWidget()
    while above is not None and not above.isWindow():
        if isinstance(above, Page):
            above.scroll_to(widget)  # its footer would lie over it
        elif isinstance(above, QScrollArea):
            above.ensureWidgetVisible(widget)
        above = above.parentWidget()


def _pinned(widget: QWidget) -> int:
    """Whether it is above (-1) or below (1) what scrolls on its page."""
    above = widget.parentWidget()
    while above is not None and not isinstance(above, Page):
        above = above.parentWidget()
    return 0 if above is None else above.pinned(widget)


def _is_stop(widget: QWidget) -> bool:
    if not (widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.isEnabled()):
        return False
    if widget.focusProxy() is not None or not widget.isVisible() or widget.height() == 0:
        return False
    if _is_folded(widget) or isinstance(widget, QScrollArea):
        return False
    return not isinstance(widget, QLabel) or "<a " in widget.text()


def _is_folded(widget: QWidget) -> bool:
    """Whether it is in a collapsed section, which Qt considers visible, or part of a list."""
    above = widget.parentWidget()
    while above is not None and not above.isWindow():
        part = isinstance(above, QAbstractScrollArea) and not isinstance(above, QScrollArea)
        if above.height() == 0 or part:
            return True
        above = above.parentWidget()
    return False


class FocusRing(QFocusFrame):
    """A frame around the focused control; not shown after a click.

    Parameters
    ----------
    dock : QWidget
    """

    def __init__(self, dock: QWidget) -> None:
        super().__init__(dock)
        self.setObjectName("focus_ring")
        self._dock = dock
        self._lift = single_shot(self, 0, self._draw_over)  # once Qt has placed it
        self.hide()  # otherwise it would be shown with the dock, around nothing
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.focusChanged.connect(self._follow)

    def close_all(self) -> None:
        """Let go: the window closes."""
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.focusChanged.disconnect(self._follow)
        self._lift.stop()
        self.setWidget(None)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the frame in a colour that is visible in light and dark themes.

        On the edge of the control, not around it: what holds the control cuts what lies outside.
        """
        framed = self.widget()
        if framed is None:
            return
        edge = QRect(self.mapFromGlobal(framed.mapToGlobal(QPoint())), framed.size())
        painter = QPainter(self)
        painter.setPen(QPen(QColor(tone(self._dock, "link")), 2))
        painter.drawRect(edge.adjusted(1, 1, -1, -1))
        painter.end()

    def moveEvent(self, event: QMoveEvent | None) -> None:
        """Stay over the control."""
        super().moveEvent(event)
        self._lift.start()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Stay over the control."""
        super().resizeEvent(event)
        self._lift.start()

    def _draw_over(self) -> None:
        """Draw on the control, which Qt puts above its frame and leaves out of it."""
        self.clearMask()
        self.raise_()

    def _follow(self, _old: Any, new: QWidget | None) -> None:
        clicked = QApplication.mouseButtons() != Qt.MouseButton.NoButton
        if new is None or clicked or not self._dock.isAncestorOf(new):
            self.setWidget(None)
        else:
            self.setWidget(new)
            self._lift.start()
            self.update()
