"""Orientation labels (L R A P S I) at the edges of the canvas."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QLabel, QWidget

from napari_singlestrip.engine.imaging.display_orientation import AXIS_ENDS
from napari_singlestrip.widgets.session.session import Session
from napari_singlestrip.widgets.viewer.napari_private import canvas_of
from napari_singlestrip.widgets.viewer.viewpoint import camera_of

EDGES = ("top", "bottom", "left", "right")
MARGIN = 6  # pixels between a letter and the edge
# With a background, to be legible on dark and light canvases and over the image.
STYLE = (
    "color: white; background: rgba(0, 0, 0, 130); border-radius: 4px; padding: 1px 5px;"
    "font-size: 15px; font-weight: bold;"
)


class CanvasLetters(QObject):
    """Labels on napari's canvas, in 2D, while a scan is shown.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.session = session
        self.labels: dict[str, QLabel] = {}
        self._canvas = canvas_of(session.viewer)
        if self._canvas is None:  # another version of napari: no labels
            return
        self.labels = {edge: _letter(self._canvas, edge) for edge in EDGES}
        self._canvas.installEventFilter(self)
        session.layers.showing.changed.connect(self.refresh)
        for event in self._events():
            event.connect(self.refresh)
        self.refresh()

    def texts(self) -> dict[str, str]:
        """Visible letters by edge; empty in 3D and without a scan."""
        viewpoint, dims = self.session.layers.viewpoint, self.session.viewer.dims
        rows, columns = viewpoint.axes[-2:] if dims.ndim > 2 else (-1, -1)
        if dims.ndisplay != 2 or not self.session.layers.shows_scan or min(rows, columns) < 0:
            return {}
        vertical, horizontal = camera_of(self.session.viewer).orientation2d
        top, bottom = AXIS_ENDS[rows][:: 1 if str(vertical) == "down" else -1]
        left, right = AXIS_ENDS[columns][:: 1 if str(horizontal) == "right" else -1]
        return {"top": top, "bottom": bottom, "left": left, "right": right}

    def refresh(self, event: Any = None) -> None:
        """Update the letters for the current plane."""
        texts = self.texts()
        for edge, label in self.labels.items():
            label.setText(texts.get(edge, ""))
            label.setVisible(edge in texts)
        self._place()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the size of the canvas."""
        if event is not None and event.type() == QEvent.Type.Resize:
            self._place()
        return False

    def close_all(self) -> None:
        """Remove the letters, and disconnect from the viewer."""
        if self._canvas is None:
            return
        for event in self._events():
            event.disconnect(self.refresh)
        self.session.layers.showing.changed.disconnect(self.refresh)
        self._canvas.removeEventFilter(self)
        self._canvas = None
        for label in self.labels.values():
            label.hide()
            label.deleteLater()
        self.labels = {}

    # --- inside

    def _events(self) -> tuple[Any, ...]:
        viewer = self.session.viewer
        dims, layers = viewer.dims.events, viewer.layers.events
        return dims.order, dims.ndisplay, layers.removed, camera_of(viewer).events.orientation

    def _place(self) -> None:
        if self._canvas is None:
            return
        width, height = self._canvas.width(), self._canvas.height()
        for edge, label in self.labels.items():
            label.adjustSize()
            x, y = (width - label.width()) // 2, (height - label.height()) // 2
            x = {"left": MARGIN, "right": width - label.width() - MARGIN}.get(edge, x)
            y = {"top": MARGIN, "bottom": height - label.height() - MARGIN}.get(edge, y)
            label.move(x, y)


def _letter(canvas: QWidget, edge: str) -> QLabel:
    label = QLabel(canvas)
    label.setObjectName(f"letter_{edge}")
    label.setStyleSheet(STYLE)
    label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
    label.setToolTip("Side of the patient")
    label.hide()
    return label
