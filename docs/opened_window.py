"""The window with the dock, opened for the scripts that take images of it."""

from __future__ import annotations

from typing import Any

SIZE = (1366, 768)


class OpenedWindow:
    """napari with SingleStrip's dock; needs a screen.

    Attributes
    ----------
    viewer, main, dock, session
        napari's viewer and window, SingleStrip's dock and session.
    """

    def __init__(self, *, maximised: bool = False) -> None:
        import napari

        from napari_singlestrip.widgets.dock.main_widget import StripWidget

        self.viewer: Any = napari.Viewer(show=False)
        self.main: Any = self.viewer.window._qt_window
        self.main.resize(*SIZE)
        self.main.show()
        if maximised:
            self.main.showMaximized()
        self.dock = StripWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="SingleStrip", area="right")
        self.session = self.dock.session
        self.wait(2)

    def wait(self, seconds: float) -> None:
        """Let the window work; what it let go is gone afterwards, or it would still be seen."""
        from qtpy.QtTest import QTest

        QTest.qWait(round(1000 * seconds))
