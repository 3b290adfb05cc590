"""What `?` shows: the keys, the version, where the documentation is."""

from __future__ import annotations

from qtpy.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_singlestrip import __version__
from napari_singlestrip.widgets.common.controls import words
from napari_singlestrip.widgets.dock.keys import KEYS, NAPARI_KEYS


class HelpDialog(QDialog):
    """Keys and version."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("help_dialog")
        self.setWindowTitle("SingleStrip: keys and help")
        grid = QGridLayout()
        ours = [(key.key.replace("-", "+"), key.words) for key in KEYS]
        for row, (key, what) in enumerate([*ours, *NAPARI_KEYS]):
            grid.addWidget(QLabel(f"<b>{key}</b>"), row, 0)
            grid.addWidget(QLabel(what), row, 1)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addLayout(grid)
        column.addWidget(words(f"napari-singlestrip {__version__}. A tooltip tells what each "
                               "control does. Every stroke is saved at once."))
        column.addWidget(buttons)
