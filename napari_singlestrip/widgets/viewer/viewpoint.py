"""Where one looks: the voxel and the plane, in the coordinates of the scan on screen.

napari counts slices in steps that all layers share: a person's own layer with finer voxels, or
with a fourth axis, changes what a step is. Here a voxel (I, P, L) is always one of our scan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from qtpy.QtWidgets import QWidget

Place = tuple[int, int, int]

PLANES = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}


class Viewpoint:
    """The plane and the point that a viewer shows.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        self._dims = viewer.dims
        self._viewer = viewer
        self._shape: Place = (1, 1, 1)
        self._scale = (1.0, 1.0, 1.0)

    def set_grid(self, shape: tuple[int, ...], scale: tuple[float, float, float]) -> None:
        """Say what is on screen: voxels and their size (mm), axes (I, P, L)."""
        i, p, l = shape  # noqa: E741
        self._shape, self._scale = (i, p, l), scale

    @property
    def plane(self) -> str:
        """"axial", "coronal" or "sagittal"; empty in 3D or in an order of the person's own."""
        found = [name for name, axes in PLANES.items() if axes == self.axes]
        return found[0] if found and self._dims.ndisplay == 2 else ""

    @plane.setter
    def plane(self, plane: str) -> None:
        extra = self._extra
        self._dims.ndisplay = 2
        self._dims.order = (*range(extra), *(extra + axis for axis in PLANES[plane]))
        self._viewer.reset_view()

    @property
    def axes(self) -> tuple[int, ...]:
        """Our axes (I, P, L) in napari's order: the last two are rows and columns of the canvas."""
        return tuple(int(axis) - self._extra for axis in self._dims.order)[-3:]

    @property
    def across(self) -> tuple[int, ...]:
        """Our axes that are not displayed: none in 3D."""
        return tuple(axis for axis in self.axes[: -int(self._dims.ndisplay)] if axis >= 0)

    @property
    def slice(self) -> tuple[object, ...]:
        """What tells the slice on screen from any other: axes, and where across them."""
        point = self.point
        return self.axes, int(self._dims.ndisplay), *(point[axis] for axis in self.across)

    @property
    def point(self) -> Place:
        """Voxel (I, P, L) that is looked at."""
        if self._dims.ndim < 3:  # no layer of ours is left
            return 0, 0, 0
        return self.voxel(self._dims.point)

    @point.setter
    def point(self, voxel: Place) -> None:
        if self._dims.ndim < 3:
            return
        mm = [float(n * size) for n, size in zip(voxel, self._scale, strict=True)]
        self._dims.set_point([self._extra + axis for axis in range(3)], mm)

    def voxel(self, world: Sequence[float]) -> Place:
        """The voxel (I, P, L) at a place in napari's coordinates (mm), the nearest if outside."""
        near = []
        for mm, size, n in zip(world[-3:], self._scale, self._shape, strict=True):
            near.append(min(max(int(float(mm) / size + 0.5), 0), n - 1))
        return near[0], near[1], near[2]

    def go_to(self, place: Mapping[str, Any]) -> None:
        """Look where `place` says, as far as it says something."""
        with suppress(KeyError, TypeError, ValueError):
            if place["plane"] in PLANES:
                self.plane = place["plane"]
        with suppress(KeyError, TypeError, ValueError, OverflowError):
            i, p, l = (int(n) for n in place["slice"])  # noqa: E741
            self.point = (i, p, l)

    @property
    def _extra(self) -> int:
        """Axes of the viewer before ours: a layer of the person's own may bring some."""
        return max(0, int(self._dims.ndim) - 3)


def camera_of(viewer: Any) -> Any:
    """Return the camera: part of the scene since napari 0.9, which warns of the old name."""
    return getattr(viewer, "scene", viewer).camera


def canvas_of(viewer: Any) -> QWidget | None:
    """Return the widget that napari draws on; there is no public way to it."""
    window = getattr(viewer, "window", None)
    canvas = getattr(getattr(window, "_qt_viewer", None), "canvas", None)
    native = getattr(canvas, "native", None)
    return native if isinstance(native, QWidget) else None
