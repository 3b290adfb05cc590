"""napari's own panels, hidden while ours are open, so that controls are not duplicated."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QDockWidget

from napari_singlestrip.widgets.session.user_settings import (
    napari_panels_wanted,
    want_napari_panels,
)
from napari_singlestrip.widgets.viewer.napari_private import main_window_of, panels_of, welcome

LOW = 900  # screen height below which they do not fit one below the other


class NapariPanels(QObject):
    """Hides napari's layer controls, layer list and welcome, and restores them.

    Parameters
    ----------
    viewer : napari.Viewer

    Signals
    -------
    shown_changed(bool)
        Whether the panels are visible, by our button or napari's menu.
    """

    shown_changed = Signal(bool)

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._docks = panels_of(viewer)
        self._tabs: tuple[QDockWidget, ...] = ()
        self._before: list[bool] | None = None  # while they are ours to show and hide
        self._welcome_before = True
        for dock in self._docks:
            dock.visibilityChanged.connect(self._on_visible)

    @property
    def shown(self) -> bool:
        """Whether any of them exists."""
        return any(not dock.isHidden() for dock in self._docks)

    def take_over(self) -> None:
        """Hide them, unless the user wants them beside ours."""
        if self._before is None:
            self._before = [not dock.isHidden() for dock in self._docks]
            self._show(napari_panels_wanted())
            self._welcome_before = welcome(self._viewer, False)  # replaced by our own

    def fold_again(self) -> None:
        """Hide what napari has shown meanwhile: it restores its layout after our dock is there."""
        if self._before is not None:
            self._show(napari_panels_wanted())

    def give_back(self) -> None:
        """Restore the panels."""
        before, self._before = self._before, None
        if before is not None:
            self._out_of_tabs()
            for dock, there in zip(self._docks, before, strict=True):
                dock.setVisible(there)
            welcome(self._viewer, self._welcome_before)

    def toggle(self) -> None:
        """Show or hide them, and remember the choice."""
        wanted = not self.shown
        want_napari_panels(wanted)
        self._show(wanted)

    def close(self) -> None:
        """Restore napari's window, and disconnect."""
        self.give_back()
        for dock in self._docks:
            dock.visibilityChanged.disconnect(self._on_visible)
        self._docks = []

    # --- inside

    def _show(self, wanted: bool) -> None:
        if wanted and self._is_low():
            self._into_tabs()
        for dock in self._docks:
            dock.setVisible(wanted)
        self.shown_changed.emit(self.shown)

    def _is_low(self) -> bool:
        window = main_window_of(self._viewer)
        screen = None if window is None else window.screen()
        return screen is not None and screen.availableGeometry().height() < LOW

    def _into_tabs(self) -> None:
        """Stack them as tabs: one below the other they would be higher than the screen."""
        window = main_window_of(self._viewer)
        if window is not None and len(self._docks) == 2 and not self._tabs:
            first, second = self._docks
            window.tabifyDockWidget(first, second)
            first.raise_()
            self._tabs = (first, second)

    def _out_of_tabs(self) -> None:
        window, tabs = main_window_of(self._viewer), self._tabs
        self._tabs = ()
        if window is not None and tabs:
            for dock in tabs:  # Qt makes one a tab again as long as the other is in its place
                area = window.dockWidgetArea(dock)
                window.removeDockWidget(dock)
                window.addDockWidget(area, dock, Qt.Orientation.Vertical)

    def _on_visible(self, _visible: bool) -> None:
        self.shown_changed.emit(self.shown)
