"""Keeps napari's window within the screen."""

from __future__ import annotations

from napari.settings import get_settings
from qtpy.QtCore import QEvent, QObject, QRect, QSize
from qtpy.QtWidgets import QWidget

from napari_singlestrip.widgets.common.single_shot import single_shot

SETTLED_MS = 60  # the window manager places a new window after it was shown
LEAST = (1280, 800)  # minimum size of a window with our dock, if the screen is large enough
FIRST = 0.9  # of the screen, until napari has stored a window size
MOVES = frozenset({
    QEvent.Type.Show, QEvent.Type.Resize, QEvent.Type.LayoutRequest,
    QEvent.Type.WindowStateChange,
})  # fmt: skip


class FitsScreen(QObject):
    """Shrinks and moves a window if a part of it is off the screen.

    A window that opens with our dock is made large enough for both, since napari only considers its
    own widgets. If no window size is stored yet, it gets most of the screen, also if the dock is
    opened later, since four panes need the space.

    napari restores its window size even if the screen has changed, and the first time uses the
    preferred size of its widgets; and Qt enlarges a window when a widget needs more space.

    Parameters
    ----------
    window : QWidget or None
        None for a viewer without one.
    """

    def __init__(self, window: QWidget | None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._window = window
        self._opens = False
        self._first = is_first()
        self._due = single_shot(self, SETTLED_MS, self.fit)
        if window is not None:
            window.installEventFilter(self)
            self._due.start()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Check again after events that may have changed the size."""
        if event is not None and event.type() in MOVES:
            self._opens = self._opens or event.type() == QEvent.Type.Show
            self._due.start()
        return False

    def fit(self) -> None:
        """Move the whole window, with its frame, onto the screens."""
        window = self._window
        screen = None if window is None else window.screen()
        if window is None or screen is None or not window.isVisible():
            return
        if window.isMaximized() or window.isFullScreen():
            return
        room, frame = screen.availableVirtualGeometry(), window.frameGeometry()
        wanted = self._wanted(frame, screen.availableGeometry())
        wide, high = min(wanted.width(), room.width()), min(wanted.height(), room.height())
        left = max(room.left(), min(wanted.left(), room.right() + 1 - wide))
        top = max(room.top(), min(wanted.top(), room.bottom() + 1 - high))
        if (wide, high) != (frame.width(), frame.height()):
            window.resize(window.width() + wide - frame.width(),
                          window.height() + high - frame.height())
        if (left, top) != (frame.left(), frame.top()):
            window.move(left, top)

    def _wanted(self, frame: QRect, screen: QRect) -> QRect:
        """Target geometry of the window; only enlarged when it opens."""
        opens, first = self._opens, self._first
        self._opens = self._first = False
        size = frame.size()
        if opens:  # the size of an open window is the user's choice
            size = size.expandedTo(QSize(*LEAST))
        if not first:
            return QRect(frame.topLeft(), size)
        size = size.expandedTo(QSize(*LEAST)).expandedTo(screen.size() * FIRST)
        size = size.boundedTo(screen.size())
        found = QRect(screen.topLeft(), size)
        found.moveCenter(screen.center())
        return found

    def close(self) -> None:
        """Disconnect from the window."""
        self._due.stop()
        if self._window is not None:
            self._window.removeEventFilter(self)
            self._window = None


def is_first() -> bool:
    """Whether napari has no stored window size, which it saves on closing."""
    application = get_settings().application
    return bool(application.save_window_geometry) and not application.window_size
