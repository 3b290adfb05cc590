"""A notice within a page: a message with one or two actions, instead of a dialog."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout

from napari_singlestrip.widgets.common.controls import button, words


class Notice(QFrame):
    """Hidden until there is a message."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.text = words(name=f"{name}_text")
        self.first = button("", "", lambda: self._call(0), f"{name}_first")
        self.second = button("", "", lambda: self._call(1), f"{name}_second")
        self._actions: list[Callable[[], object]] = []
        row = QHBoxLayout()
        row.addWidget(self.first)
        row.addWidget(self.second)
        row.addStretch()
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        column.addWidget(self.text)
        column.addLayout(row)
        self.hide()

    def say(self, text: str, *actions: tuple[str, str, Callable[[], object]]) -> None:
        """Show a message with up to two buttons: label, tooltip and action."""
        self.text.setText(text)
        self._actions = [action for _, _, action in actions]
        for n, made in enumerate((self.first, self.second)):
            made.setVisible(n < len(actions))
            if n < len(actions):
                made.setText(actions[n][0])
                made.setToolTip(actions[n][1])
        self.show()

    def _call(self, n: int) -> None:
        self._actions[n]()
