"""Asking for a path within the dock, instead of in a dialog."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from napari_singlestrip.widgets.common.controls import button, words


class PlaceRow(QWidget):
    """A question, an editable path, and a button.

    Signals
    -------
    accepted(object)
        The path (Path), when the button was clicked or Enter was pressed.
    rejected()
        Cancel was clicked.
    """

    accepted = Signal(object)
    rejected = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("place_row")
        self.question = words(name="place_question")
        self.line = QLineEdit()
        self.line.setObjectName("place")
        self.line.setToolTip("A new folder is made there; your scans stay where they are")
        self.browse = button("Browse...", "Choose the folder in which it is made",
                             self._browse, "place_browse")
        self.ok = button("", "Make it there  (Enter)", self._accept, "place_ok")
        self.cancel = button("Cancel", "Leave everything as it was",
                             self.rejected.emit, "place_cancel")
        self.line.returnPressed.connect(self._accept)
        self._lay_out()

    def ask(self, question: str, place: Path, ok: str) -> None:
        """Ask for a path.

        Parameters
        ----------
        question : str
        place : Path
            The suggested path.
        ok : str
            Text of the button.
        """
        self.question.setText(question)
        self.line.setText(str(place))
        self.ok.setText(ok)
        self.show()
        self.line.setFocus()

    def value(self) -> Path:
        """The path in the line."""
        return Path(self.line.text().strip()).expanduser()

    def take_parent(self, parent: Path) -> None:
        """Change the parent folder, keeping the name."""
        self.line.setText(str(parent / self.value().name))

    # --- inside

    def _lay_out(self) -> None:
        path, answers = QHBoxLayout(), QHBoxLayout()
        path.addWidget(self.line, 1)
        path.addWidget(self.browse)
        answers.addStretch(1)
        answers.addWidget(self.cancel)
        answers.addWidget(self.ok)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 4)
        column.addWidget(self.question)
        column.addLayout(path)
        column.addLayout(answers)

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, "In which folder?", str(self.value().parent)
        )
        if chosen:
            self.take_parent(Path(chosen))

    def _accept(self) -> None:
        if self.line.text().strip():
            self.accepted.emit(self.value())
