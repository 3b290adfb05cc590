"""The viewpoint: voxel and plane, in the coordinates of the scan on screen.

napari counts slices in steps shared by all layers: another layer with smaller voxels, or with a
fourth axis, changes the steps. Here a voxel (I, P, L) is always one of our scan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.widgets.viewer.napari_private import canvas_of, layers_as_they_are

Place = tuple[int, int, int]

PLANES = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}


class Viewpoint:
    """The plane and the point shown by a viewer.

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
        """Set the scan on screen: voxels and their size (mm), axes (I, P, L)."""
        i, p, l = shape  # noqa: E741
        self._shape, self._scale = (i, p, l), scale

    @property
    def plane(self) -> str:
        """"axial", "coronal" or "sagittal"; empty in 3D or with a custom axis order."""
        found = [name for name, axes in PLANES.items() if axes == self.axes]
        return found[0] if found and self._dims.ndisplay == 2 else ""

    def set_plane(self, plane: str) -> None:
        """Show another plane through the same point."""
        if self._dims.ndim < 3:
            return
        self._dims.ndisplay = 2
        self.turn_to(plane)
        self._viewer.reset_view()

    def turn_to(self, plane: str) -> None:
        """Show another plane through the same point, and leave the camera to the caller."""
        extra = self._extra
        self._dims.order = (*range(extra), *(extra + axis for axis in PLANES[plane]))

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
        """Identity of the slice on screen: axes, and position across them."""
        point = self.point
        return self.axes, int(self._dims.ndisplay), *(point[axis] for axis in self.across)

    @property
    def point(self) -> Place:
        """The current voxel (I, P, L)."""
        if self._dims.ndim < 3:  # no layer of ours is left
            return 0, 0, 0
        return self.voxel(self._dims.point)

    def look_at(self, voxel: Place) -> None:
        """Move all planes to a voxel (I, P, L)."""
        if self._dims.ndim < 3:
            return
        mm = [float(n * size) for n, size in zip(voxel, self._scale, strict=True)]
        extra, before = self._extra, self._dims.point
        same = all(before[extra + axis] == mm[axis] for axis in self.across)
        with layers_as_they_are(self._viewer) if same else nullcontext():
            self._dims.set_point([extra + axis for axis in range(3)], mm)

    def zoom_to(self, voxel: Place, mm: float) -> None:
        """Zoom to an extent of the slice around a voxel (I, P, L) on it."""
        canvas = canvas_of(self._viewer)
        side = 400 if canvas is None else max(min(canvas.width(), canvas.height()), 1)
        camera = camera_of(self._viewer)
        centre = [float(voxel[axis] * self._scale[axis]) for axis in self.axes]
        camera.center = (0.0, *centre[-2:])
        camera.zoom = side / mm

    def visit(self, plane: str, voxel: Place, mm: float) -> None:
        """Go to a voxel (I, P, L) in a plane, and zoom to an extent around it."""
        if self.plane != plane:
            self.set_plane(plane)
        self.look_at(voxel)
        self.zoom_to(voxel, mm)

    def voxel(self, world: Sequence[float]) -> Place:
        """The voxel (I, P, L) at a position in napari's coordinates (mm), clipped to the scan."""
        return self.voxel_at([mm / size for mm, size in
                              zip(world[-3:], self._scale, strict=True)])

    def voxel_at(self, place: Sequence[float] | NDArray[np.float64]) -> Place:
        """The voxel at a position in voxels, clipped to the scan."""
        i, p, l = (  # noqa: E741
            min(max(int(float(n) + 0.5), 0), side - 1)
            for n, side in zip(place, self._shape, strict=True)
        )
        return i, p, l

    @property
    def shape(self) -> Place:
        """Voxels of the scan on screen, axes (I, P, L)."""
        return self._shape

    @property
    def scale(self) -> tuple[float, float, float]:
        """Size of a voxel (mm), axes (I, P, L)."""
        return self._scale

    @property
    def zoom(self) -> float:
        """Pixels of the canvas per mm."""
        return float(camera_of(self._viewer).zoom)

    def go_to(self, place: Mapping[str, Any]) -> None:
        """Restore a saved viewpoint, as far as it is valid."""
        with suppress(KeyError, TypeError, ValueError):
            if place["plane"] in PLANES:
                self.set_plane(place["plane"])
        with suppress(KeyError, TypeError, ValueError, OverflowError):
            i, p, l = (int(n) for n in place["slice"])  # noqa: E741
            self.look_at((i, p, l))

    @property
    def _extra(self) -> int:
        """Number of the viewer's axes before ours, added by other layers."""
        return max(0, int(self._dims.ndim) - 3)


def camera_of(viewer: Any) -> Any:
    """Return the camera: part of the scene since napari 0.9, which warns of the old name."""
    return getattr(viewer, "scene", viewer).camera
