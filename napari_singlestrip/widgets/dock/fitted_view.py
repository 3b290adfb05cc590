"""Refits the image to the canvas when the canvas is resized."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject

from napari_singlestrip.widgets.common.single_shot import single_shot
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.viewer.napari_private import canvas_of
from napari_singlestrip.widgets.viewer.viewpoint import camera_of

SETTLED_MS = 80


class FittedView(QObject):
    """Keeps a fitted scan fitted; if the user zoomed in, nothing changes.

    napari fits the view only when a scan is added: a later resize of the window, or opening a
    panel, would cut it off.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._viewer, self._layers = session.viewer, session.layers
        self._name = ""
        self._fitted: tuple[float, ...] = ()  # state of the camera when the view was fitted
        self._canvas = canvas_of(self._viewer)
        self._due = single_shot(self, SETTLED_MS, self._fit)
        session.scan_changed.connect(self._note)
        if self._canvas is not None:
            self._canvas.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """React to a resize of the canvas."""
        if event is not None and event.type() == QEvent.Type.Resize:
            self._due.start()
        return False

    def close_all(self) -> None:
        """Disconnect from the canvas."""
        self._due.stop()
        if self._canvas is not None:
            self._canvas.removeEventFilter(self)

    # --- inside

    def _note(self, name: str) -> None:
        """Store the fitted view of a new scan."""
        if name and name != self._name:
            self._fitted = self._camera()
        self._name = name

    def _fit(self) -> None:
        if self._layers.shows_scan and self._camera() == self._fitted:
            self._viewer.reset_view()
            self._fitted = self._camera()

    def _camera(self) -> tuple[float, ...]:
        camera: Any = camera_of(self._viewer)
        return tuple(round(float(n), 3) for n in (camera.zoom, *camera.center))
