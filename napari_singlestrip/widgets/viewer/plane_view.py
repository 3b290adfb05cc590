"""One plane of a head as a light picture: slice, outline of the mask, crosshair, letters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QLineF, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_singlestrip.engine.imaging.display_orientation import AXIS_ENDS
from napari_singlestrip.widgets.viewer.viewpoint import PLANES, Place

Array = NDArray[Any]

CYAN = (0, 216, 240)  # as the mask on the canvas
YELLOW = (255, 230, 0)  # what was filled just now
CROSSHAIR = QColor(255, 210, 60, 170)
LETTERS = QColor(230, 230, 230)


class PlaneView(QWidget):
    """Shows one slice, in the shape it has in mm.

    Parameters
    ----------
    name : str
        For tests to find it.

    Signals
    -------
    picked(tuple of int)
        Voxel (I, P, L) that was clicked, dragged or scrolled to.
    """

    picked = Signal(object)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setObjectName(f"plane_view_{name}")
        self.setToolTip("Click or drag to look there; scroll for the slices of this plane")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(QSize(60, 60))
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.plane = "axial"
        self.point: Place = (0, 0, 0)
        self._shape: tuple[int, ...] = (1, 1, 1)
        self._scale = (1.0, 1.0, 1.0)
        self._grey: QImage | None = None
        self._outline: QImage | None = None
        self._marked: QImage | None = None

    def show_slice(
        self,
        image: Array,
        mask: Array,
        plane: str,
        point: Place,
        scale: tuple[float, float, float],
        limits: tuple[float, float],
        marked: Array | None = None,
    ) -> None:
        """Show the slice through a point.

        Parameters
        ----------
        image, mask : ndarray, shape (I, P, L)
            As displayed.
        plane : {"axial", "coronal", "sagittal"}
        point : tuple of int
            Voxel (I, P, L).
        scale : tuple of float
            Size of a voxel (mm).
        limits : tuple of float
            Intensities shown as black and as white.
        marked : ndarray, shape (I, P, L), optional
            Voxels to tint.
        """
        self.plane, self.point, self._shape, self._scale = plane, point, image.shape, scale
        axis = PLANES[plane][0]
        here = tuple(point[axis] if n == axis else slice(None) for n in range(3))
        self._grey = _grey(image[here], limits)  # `take` would copy the whole volume
        self._outline = _outline(mask[here] != 0)
        self._marked = None if marked is None else _tint(marked[here] != 0)
        self.update()

    def pixel(self, point: Place) -> QPointF:
        """Where the middle of a voxel is in this widget."""
        _, rows, columns = PLANES[self.plane]
        box = self._box()
        return QPointF(
            box.left() + (point[columns] + 0.5) / self._shape[columns] * box.width(),
            box.top() + (point[rows] + 0.5) / self._shape[rows] * box.height(),
        )

    def voxel(self, pixel: QPointF) -> Place:
        """The voxel at a pixel of this widget, on the slice that is shown."""
        _, rows, columns = PLANES[self.plane]
        box, place = self._box(), list(self.point)
        across = (pixel.x() - box.left()) / box.width() * self._shape[columns]
        down = (pixel.y() - box.top()) / box.height() * self._shape[rows]
        for axis, value in ((columns, across), (rows, down)):
            place[axis] = min(max(int(value), 0), self._shape[axis] - 1)
        return place[0], place[1], place[2]

    # --- events

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Look at the voxel under the mouse."""
        if event.button() == Qt.MouseButton.LeftButton and self._grey is not None:
            self.picked.emit(self.voxel(event.position()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Look at the voxels that the mouse is dragged over."""
        if event.buttons() & Qt.MouseButton.LeftButton and self._grey is not None:
            self.picked.emit(self.voxel(event.position()))

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Go through the slices of this plane."""
        axis, place = PLANES[self.plane][0], list(self.point)
        step = -1 if event.angleDelta().y() > 0 else 1
        place[axis] = min(max(place[axis] + step, 0), self._shape[axis] - 1)
        if self._grey is not None:
            self.picked.emit((place[0], place[1], place[2]))
        event.accept()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), Qt.GlobalColor.black)  # as the picture's own background
        if self._grey is not None and self._outline is not None:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(self._box(), self._grey)
            if self._marked is not None:
                painter.drawImage(self._box(), self._marked)
            painter.drawImage(self._box(), self._outline)
            self._draw_crosshair(painter)
            self._draw_letters(painter)
        painter.end()

    # --- inside

    def _box(self) -> QRectF:
        """Where the slice is drawn: as large as fits, in the shape it has in mm."""
        _, rows, columns = PLANES[self.plane]
        width = self._shape[columns] * self._scale[columns]
        height = self._shape[rows] * self._scale[rows]
        zoom = min(self.width() / width, self.height() / height)
        width, height = width * zoom, height * zoom
        return QRectF((self.width() - width) / 2, (self.height() - height) / 2, width, height)

    def _draw_crosshair(self, painter: QPainter) -> None:
        box, centre, gap = self._box(), self.pixel(self.point), 4
        painter.setPen(QPen(CROSSHAIR, 1))
        x, y = centre.x(), centre.y()
        painter.drawLine(QLineF(box.left(), y, x - gap, y))
        painter.drawLine(QLineF(x + gap, y, box.right(), y))
        painter.drawLine(QLineF(x, box.top(), x, y - gap))
        painter.drawLine(QLineF(x, y + gap, x, box.bottom()))

    def _draw_letters(self, painter: QPainter) -> None:
        _, rows, columns = PLANES[self.plane]
        painter.setPen(LETTERS)
        area, at = self.rect().adjusted(3, 1, -3, -1), Qt.AlignmentFlag
        (top, bottom), (left, right) = AXIS_ENDS[rows], AXIS_ENDS[columns]
        painter.drawText(area, at.AlignTop | at.AlignHCenter, top)
        painter.drawText(area, at.AlignBottom | at.AlignHCenter, bottom)
        painter.drawText(area, at.AlignLeft | at.AlignVCenter, left)
        painter.drawText(area, at.AlignRight | at.AlignVCenter, right)


def _grey(values: Array, limits: tuple[float, float]) -> QImage:
    low, high = limits
    scaled = (values - low) * (255.0 / max(high - low, 1e-12))
    pixels = np.ascontiguousarray(np.clip(np.nan_to_num(scaled), 0, 255).astype(np.uint8))
    height, width = pixels.shape
    image = QImage(pixels.tobytes(), width, height, width, QImage.Format.Format_Grayscale8)
    return image.copy()  # Qt does not keep the bytes


def _outline(mask: NDArray[np.bool_]) -> QImage:
    """The mask's voxels that have a neighbour outside, in colour on nothing."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return _coloured(mask & ~inner, (*CYAN, 255))


def _tint(mask: NDArray[np.bool_]) -> QImage:
    return _coloured(mask, (*YELLOW, 110))


def _coloured(mask: NDArray[np.bool_], colour: tuple[int, int, int, int]) -> QImage:
    pixels = np.zeros((*mask.shape, 4), np.uint8)
    pixels[mask] = colour
    height, width = mask.shape
    image = QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_RGBA8888)
    return image.copy()
