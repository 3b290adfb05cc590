"""A temporary message on the canvas: what a key has just done, with an undo button."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QWidget

from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.viewer.napari_private import canvas_of

SHOWN_MS = 2000
MARGIN = 40  # pixels above the lower edge, where an orientation label is
STYLE = (
    "#toast_box { background: rgba(0, 0, 0, 190); border-radius: 5px; }"
    "QLabel { color: white; background: transparent; font-size: 14px; padding: 4px; }"
    "QPushButton { color: #8ecbff; background: transparent; border: none; font-size: 14px;"
    " font-weight: bold; padding: 4px 8px; }"
    "QPushButton:hover { color: white; }"
)


class Toast(QObject):
    """Shows a message over the image for two seconds, longer while the mouse is over it.

    Parameters
    ----------
    viewer : napari.Viewer
    parent : QObject
    """

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._canvas = canvas_of(viewer)
        self.box: _Box | None = None
        self._call: Callable[[], object] | None = None
        self._goes = single_shot(self, SHOWN_MS, self._on_time)

    def say(self, text: str, action: str = "", call: Callable[[], object] | None = None) -> None:
        """Show a message, replacing the last one.

        Parameters
        ----------
        text : str
        action : str
            Text of a button beside it; no button if empty.
        call : callable, optional
            What the button does.
        """
        if self._canvas is None:  # another version of napari: the job bar shows the message
            return
        if self.box is None:
            self.box = _Box(self._canvas)
            self.box.button.clicked.connect(self._act)
        self._call = call
        self.box.show_text(text, action)
        self.box.move(
            (self._canvas.width() - self.box.width()) // 2,
            self._canvas.height() - self.box.height() - MARGIN,
        )
        self.box.show()
        self.box.raise_()
        self._goes.start()

    def hide(self) -> None:
        """Hide the message."""
        self._goes.stop()
        if self.box is not None:
            self.box.hide()

    def close(self) -> None:
        """Disconnect when the window closes."""
        self.hide()
        if self.box is not None:
            self.box.deleteLater()
            self.box = None
        self._canvas = None

    # --- inside

    def _on_time(self) -> None:
        if self.box is not None and self.box.underMouse() and self.box.isVisible():
            self._goes.start()  # the user may be about to click it
        else:
            self.hide()

    def _act(self) -> None:
        self.hide()
        if self._call is not None:
            self._call()


class _Box(QFrame):
    """Text and optional button, which do not take the focus from the image."""

    def __init__(self, canvas: QWidget) -> None:
        super().__init__(canvas)
        self.setObjectName("toast_box")
        self.setStyleSheet(STYLE)
        self.label = QLabel()
        self.label.setObjectName("toast")
        self.label.setTextFormat(Qt.TextFormat.PlainText)
        self.label.setToolTip("What was just done")
        self.button = QPushButton()
        self.button.setObjectName("toast_undo")
        self.button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.button.setCursor(Qt.CursorShape.PointingHandCursor)
        self.button.setToolTip("Undo what was just done (Ctrl+Z)")
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 2, 8, 2)
        row.setSpacing(4)
        row.addWidget(self.label)
        row.addWidget(self.button)

    def show_text(self, text: str, action: str) -> None:
        """Set the texts; without an action, the message is transparent to the mouse."""
        self.label.setText(text)
        self.button.setText(action)
        self.button.setVisible(bool(action))
        through = Qt.WidgetAttribute.WA_TransparentForMouseEvents
        self.setAttribute(through, not action)
        self.adjustSize()
