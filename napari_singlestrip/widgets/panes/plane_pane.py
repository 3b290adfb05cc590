"""A plane that napari does not draw at the moment: slices, crosshair, letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QWheelEvent
from qtpy.QtWidgets import QWidget

from napari_singlestrip.widgets.panes.marks import (
    draw_crosshair,
    draw_letters,
    draw_name,
    draw_set_slices,
)
from napari_singlestrip.widgets.panes.slice_picture import (
    Picture,
    SlicePictures,
    area_of,
    tint_image,
)
from napari_singlestrip.widgets.viewer.viewpoint import PLANES

if TYPE_CHECKING:
    from napari_singlestrip.widgets.panes.four_panes import FourPanes


class PlanePane(QWidget):
    """One plane of the scan, drawn by Qt from the arrays of napari's layers.

    When the mouse enters, napari's canvas moves here, and covers this pane from then on. A button
    press before that is forwarded to it, with all events that follow.

    Parameters
    ----------
    panes : FourPanes
    plane : {"axial", "coronal", "sagittal"}
    """

    def __init__(self, panes: FourPanes, plane: str) -> None:
        super().__init__(panes)
        self.setObjectName(f"pane_{plane}")
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setMouseTracking(True)
        self.plane = plane
        self.background = QColor("black")
        self.filled: NDArray[np.bool_] | None = None
        self._panes = panes
        self._source = SlicePictures(PLANES[plane])
        self._pictures: list[Picture] = []

    def refresh(self) -> None:
        """Draw the current slices, if they changed."""
        viewer, point = self._panes.viewer, self._panes.point_mm
        pictures = self._source.of(viewer.layers, point)
        if self.filled is not None:
            pictures.append(self._tint(self.filled))
        if pictures != self._pictures:  # of one slice and state there is one picture
            self._pictures = pictures
            self.update()

    def forget(self, layer: Any) -> None:
        """Redraw a layer whose values changed."""
        self._source.forget(layer)

    # --- events

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), self.background)
        turned = self._panes.camera.transform(self.plane, (self.width(), self.height()))
        painter.setTransform(turned)
        for picture in self._pictures:
            picture.draw(painter)
        painter.resetTransform()
        painter.setOpacity(1.0)
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceOver)
        where = self._panes.area_on_screen(self.plane)
        draw_set_slices(painter, self._panes, self.plane)
        draw_crosshair(painter, self._panes.point_on_screen(self.plane), where)
        draw_name(painter, self.plane.capitalize())
        draw_letters(painter, self.rect(), self.plane, turned)
        painter.end()

    def enterEvent(self, event: QEvent) -> None:
        """Request napari's canvas."""
        self._panes.come(self.plane)

    def leaveEvent(self, event: QEvent) -> None:
        """Cancel the request: the mouse has left."""
        self._panes.stay()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Request the canvas immediately."""
        self._panes.turn_to(self.plane)
        self._panes.hand_on(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Forward: Qt sends mouse events to the widget in which the button was pressed."""
        if event.buttons() != Qt.MouseButton.NoButton:
            self._panes.hand_on(event)
        else:
            self._panes.come(self.plane)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Forward the event."""
        self._panes.hand_on(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Forward the event."""
        self._panes.turn_to(self.plane)
        self._panes.hand_on(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Forward: napari zooms, or changes the slice with Ctrl."""
        self._panes.turn_to(self.plane)
        self._panes.hand_on(event)

    # --- inside

    def _tint(self, filled: NDArray[np.bool_]) -> Picture:
        viewpoint, axes = self._panes.viewpoint, PLANES[self.plane]
        here: list[Any] = [slice(None)] * 3
        here[axes[0]] = viewpoint.point[axes[0]]
        area = area_of(filled.shape, viewpoint.scale, (0.0, 0.0, 0.0), axes)
        return Picture(tint_image(filled[tuple(here)]), area)
