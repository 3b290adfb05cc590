"""A button for actions that cannot be undone: a second click confirms, without a dialog."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QPushButton

from napari_singlestrip.widgets.common.single_shot import single_shot

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
        self._timer = single_shot(self, ASK_MS, self._calm)
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
