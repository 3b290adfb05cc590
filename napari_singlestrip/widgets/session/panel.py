"""What the panels of the five steps have in common."""

from __future__ import annotations

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_singlestrip.widgets.session.session import Session


class Panel(QWidget):
    """A step: shows the session and asks it to do things.

    A panel refreshes itself in `refresh`, which is called after each change of the study, the
    scan on screen or the job while the panel is visible, and when it becomes visible. What is
    enabled is decided there, from (study, status), and nowhere else.

    Parameters
    ----------
    session : Session
    """

    title = ""
    step = ""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setObjectName(f"{self.step}_panel")
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(8, 6, 8, 6)
        self._column.setSpacing(6)
        session.study_changed.connect(self._stale)
        session.scan_changed.connect(self._stale)
        session.job_changed.connect(self._stale)

    def refresh(self) -> None:
        """Show what is true now."""

    def showEvent(self, event: object) -> None:
        """Catch up with what happened while another step was open."""
        super().showEvent(event)  # type: ignore[arg-type]
        self.refresh()

    def add(self, widget: QWidget) -> QWidget:
        """Append a widget to the column."""
        self._column.addWidget(widget)
        return widget

    def _stale(self, *_: object) -> None:
        if self.isVisible():
            self.refresh()
