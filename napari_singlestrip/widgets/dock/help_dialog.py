"""The help window (`?`): keys, mouse, glossary, version, link to the documentation."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QKeySequence, QShortcut, QShowEvent
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QLabel,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_singlestrip import __version__
from napari_singlestrip.glossary import TERMS
from napari_singlestrip.widgets.common.controls import Page, words
from napari_singlestrip.widgets.dock.keys import KEYS, MOUSE, NAPARI_KEYS

HEIGHT = 600  # pixels
TERM_WIDTH = 150


class HelpDialog(QDialog):
    """Keys, mouse, glossary and version, over the dock, so that the image stays visible.

    Parameters
    ----------
    dock : QWidget
    """

    def __init__(self, dock: QWidget) -> None:
        super().__init__(dock)
        self._dock = dock
        self.setObjectName("help_dialog")
        self.setWindowTitle("SingleStrip: keys and help")
        self.tabs = QTabWidget()
        self.tabs.setObjectName("help_tabs")
        ours = [(key.key.replace("-", "+"), key.words) for key in KEYS]
        # Scrolling pages, for small screens.
        terms = [(term.word, term.meaning) for term in TERMS]
        for title, rows, tip in (
            ("Keys", [*ours, *NAPARI_KEYS], "What each key does"),
            ("Mouse", MOUSE, "What the mouse does on the image"),
            ("Glossary", terms, "Terms of window, report and command line"),
        ):
            self.tabs.setTabToolTip(self.tabs.addTab(Page(_table(rows)), title), tip)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addWidget(self.tabs, 1)
        column.addWidget(words(f"napari-singlestrip {__version__}. A tooltip explains each "
                               "control. Every stroke is saved at once."))
        column.addWidget(buttons)
        # Wherever the focus is: the window manager may leave it on the image.
        for key in (Qt.Key.Key_Escape, Qt.Key.Key_Question):
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.setContext(Qt.ShortcutContext.ApplicationShortcut)
            shortcut.activated.connect(self.reject)
        self.resize(dock.width(), min(HEIGHT, dock.height()))

    def showEvent(self, event: QShowEvent | None) -> None:
        """Cover the dock, and take the focus."""
        super().showEvent(event)
        self.move(self._dock.mapToGlobal(QPoint()))
        self.activateWindow()


def _table(rows: Iterable[tuple[str, str]]) -> QWidget:
    """Terms in bold with their meanings beside them."""
    made = QWidget()
    grid = QGridLayout(made)
    grid.setColumnStretch(1, 1)
    top = Qt.AlignmentFlag.AlignTop
    for n, (word, what) in enumerate(rows):
        name = QLabel(f"<b>{word}</b>")
        name.setWordWrap(True)
        name.setFixedWidth(TERM_WIDTH)
        grid.addWidget(name, n, 0, top)
        grid.addWidget(words(what), n, 1, top)
    grid.setRowStretch(grid.rowCount(), 1)
    return made
