"""The empty state of step 4: the reason, and a button to the step that is missing."""

from __future__ import annotations

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_singlestrip.widgets.common.controls import button, words
from napari_singlestrip.widgets.review.view import NothingView
from napari_singlestrip.widgets.session.session import Session


class NothingYet(QWidget):
    """Explains what is missing.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._step = "scans"
        self.says = words(name="review_empty")
        self.go_on = button("", "Go to the step that is missing", self._go_on, "review_go_on")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.says)
        column.addWidget(self.go_on)

    def draw(self, view: NothingView | None) -> None:
        """Show it; None while there is something."""
        self.setVisible(view is not None)
        if view is not None:
            self._step = view.step
            self.says.setText(view.says)
            self.go_on.setText(view.button)

    def _go_on(self) -> None:
        self._session.step_requested.emit(self._step)
