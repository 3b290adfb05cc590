"""A sentence on the canvas that goes by itself: what a key has just done, where one looks."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtWidgets import QLabel

from napari_singlestrip.widgets.viewer.viewpoint import canvas_of

SHOWN_MS = 2000
MARGIN = 40  # pixels above the lower edge: a letter stands there
STYLE = (
    "color: white; background: rgba(0, 0, 0, 190); border-radius: 5px; padding: 6px 12px;"
    "font-size: 14px;"
)


class Toast(QObject):
    """Says something over the picture for two seconds; the mouse goes through it.

    Parameters
    ----------
    viewer : napari.Viewer
    parent : QObject
    """

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._canvas = canvas_of(viewer)
        self.label: QLabel | None = None
        self._goes = QTimer(self)
        self._goes.setSingleShot(True)
        self._goes.setInterval(SHOWN_MS)
        self._goes.timeout.connect(self.hide)

    def say(self, text: str) -> None:
        """Show a sentence instead of the last one."""
        if self._canvas is None:  # another version of napari: the message below does
            return
        if self.label is None:
            self.label = QLabel(self._canvas)
            self.label.setObjectName("toast")
            self.label.setStyleSheet(STYLE)
            self.label.setTextFormat(Qt.TextFormat.PlainText)
            self.label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            self.label.setToolTip("What was just done")
        self.label.setText(text)
        self.label.adjustSize()
        self.label.move(
            (self._canvas.width() - self.label.width()) // 2,
            self._canvas.height() - self.label.height() - MARGIN,
        )
        self.label.show()
        self._goes.start()

    def hide(self) -> None:
        """Take it away."""
        self._goes.stop()
        if self.label is not None:
            self.label.hide()

    def close(self) -> None:
        """Let go of the canvas: the window closes."""
        self.hide()
        if self.label is not None:
            self.label.deleteLater()
            self.label = None
        self._canvas = None
