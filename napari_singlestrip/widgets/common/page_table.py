"""A table that shrinks in favour of the widgets below it."""

from __future__ import annotations

from qtpy.QtCore import QSize
from qtpy.QtWidgets import QTableView, QWidget


class PageTable(QTableView):
    """Expands into free space of the page, and shrinks to its minimum height otherwise.

    A scrolling page gives each widget its preferred height, which for Qt's tables is 192 pixels
    regardless of their content. Tab leaves it: Qt's goes from cell to cell, and never out.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTabKeyNavigation(False)

    def sizeHint(self) -> QSize:
        """Qt's width, and the minimum height."""
        return QSize(super().sizeHint().width(), self.minimumHeight())
