"""One centre and zoom for all planes, so that neighbouring panes have the same scale."""

from __future__ import annotations

from typing import Any

from qtpy.QtGui import QTransform

from napari_singlestrip.widgets.viewer.viewpoint import PLANES, Viewpoint, camera_of

MARGIN = 0.95  # of a pane that a head may fill
Size = tuple[int, int]


class LinkedCamera:
    """Centre (mm; I, P, L) and zoom (pixels per mm), read from or applied to napari's camera.

    Parameters
    ----------
    viewer : napari.Viewer
    viewpoint : Viewpoint
    """

    def __init__(self, viewer: Any, viewpoint: Viewpoint) -> None:
        self._viewer = viewer
        self._viewpoint = viewpoint
        self.centre = [0.0, 0.0, 0.0]
        self.zoom = 1.0

    def take(self) -> None:
        """Read from napari's camera."""
        camera, axes = camera_of(self._viewer), self._viewpoint.axes[-2:]
        if self._viewpoint.plane:
            for axis, mm in zip(axes, camera.center[-2:], strict=True):
                self.centre[axis] = float(mm)
            self.zoom = float(camera.zoom)

    def put(self) -> None:
        """Apply to napari's camera."""
        camera, axes = camera_of(self._viewer), self._viewpoint.axes[-2:]
        if self._viewpoint.plane:
            camera.center = (0.0, *(self.centre[axis] for axis in axes))
            camera.zoom = self.zoom

    def fit(self, size: Size) -> None:
        """Fit each plane of the scan into a pane of this size (pixels)."""
        shape, scale = self._viewpoint.shape, self._viewpoint.scale
        extent = [n * mm for n, mm in zip(shape, scale, strict=True)]
        self.centre = [(n - 1) * mm / 2 for n, mm in zip(shape, scale, strict=True)]
        zooms = [
            min(size[0] / extent[columns], size[1] / extent[rows])
            for _, rows, columns in PLANES.values()
        ]
        self.zoom = max(MARGIN * min(zooms), 1e-3)

    def transform(self, plane: str, size: Size) -> QTransform:
        """Transform from mm (columns, rows) of a plane to pixels of a pane."""
        _, rows, columns = PLANES[plane]
        vertical, horizontal = (str(way) for way in camera_of(self._viewer).orientation2d)
        across = self.zoom if horizontal == "right" else -self.zoom
        down = self.zoom if vertical == "down" else -self.zoom
        made = QTransform.fromTranslate(size[0] / 2, size[1] / 2)
        return made.scale(across, down).translate(-self.centre[columns], -self.centre[rows])
