"""A button for what cannot be undone: it asks to be clicked again, without a dialog."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QPushButton

ASK_MS = 4000


class TwiceButton(QPushButton):
    """Acts on the second of two clicks within four seconds.

    Parameters
    ----------
    text, tip : str
    clicked_twice : callable
    name : str
        Finds it in tests.
    """

    def __init__(
        self, text: str, tip: str, clicked_twice: Callable[[], object], name: str = ""
    ) -> None:
        super().__init__(text)
        self.setToolTip(tip)
        self.setObjectName(name)
        self._text, self._act = text, clicked_twice
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(ASK_MS)
        self._timer.timeout.connect(self._calm)
        self.clicked.connect(self._on_click)

    def close_all(self) -> None:
        """End the timer."""
        self._timer.stop()

    def _on_click(self) -> None:
        if self._timer.isActive():
            self._calm()
            self._act()
        else:
            self.setText("This cannot be undone: click again to discard")
            self._timer.start()

    def _calm(self) -> None:
        self._timer.stop()
        self.setText(self._text)
