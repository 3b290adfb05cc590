"""The base class of the panels of the five steps."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_singlestrip.widgets.session.session import Session


class Panel(QWidget):
    """A step: displays the session and sends it requests.

    A panel refreshes itself in `refresh`, which is called after each change of the study, the
    scan on screen or the job while the panel is visible, and when it becomes visible. The enabled
    state of controls is decided only there, from (study, status).

    Parameters
    ----------
    session : Session
    """

    title = ""
    step = ""
    # What must be visible however far the panel is scrolled, below and above the rest.
    footer: QWidget | None = None
    header: QWidget | None = None

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setObjectName(f"{self.step}_panel")
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(8, 4, 8, 6)
        self._column.setSpacing(6)
        session.study_changed.connect(self._stale)
        session.scan_changed.connect(self._stale)
        session.job_changed.connect(self._stale)

    def refresh(self) -> None:
        """Update the display."""

    def showEvent(self, event: object) -> None:
        """Refresh after changes in other steps."""
        super().showEvent(event)  # type: ignore[arg-type]
        self.refresh()

    def add(self, widget: QWidget) -> QWidget:
        """Append a widget to the column."""
        self._column.addWidget(widget)
        return widget

    def add_footer(self, *widgets: QWidget) -> None:
        """Make widgets the footer, for which the page leaves room below the column."""
        self.footer = self._pinned(widgets)

    def add_header(self, *widgets: QWidget) -> None:
        """Make widgets the header, for which the page leaves room above the column."""
        self.header = self._pinned(widgets)

    def be_guided(self, step: str) -> None:
        """The demo's guide says what to do in a step; in none if empty."""

    def _pinned(self, widgets: Iterable[QWidget]) -> QWidget:
        made = QWidget(self)
        made.setAutoFillBackground(True)  # what is scrolled below it does not shine through
        rows = QVBoxLayout(made)
        rows.setContentsMargins(0, 2, 0, 2)
        rows.setSpacing(4)
        for widget in widgets:
            rows.addWidget(widget)
        return made

    def _stale(self, *_: object) -> None:
        if self.isVisible():
            self.refresh()
