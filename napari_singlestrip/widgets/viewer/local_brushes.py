"""Brushes that use the image or the surface under them; a stroke is one step of undo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.masks.local_edits import (
    Place,
    Spacing,
    disc,
    like_tissue,
    moved_here,
    pushed,
    smoothed_here,
    snapped,
)
from napari_singlestrip.widgets.viewer.canvas_tools import Pointer

if TYPE_CHECKING:
    from napari_singlestrip.widgets.viewer.study_layers import StudyLayers

Box = tuple[slice, ...]

SMOOTHS = 0.35  # of the radius: width of the Gaussian
ROOM = 3  # margin of the box around the brush (voxels)


@dataclass(frozen=True, eq=False)
class Dab:
    """One dab of a brush.

    Attributes
    ----------
    box : tuple of slice
        Around the brush, on the scan as displayed.
    centre, before : tuple of float
        Centre of the brush now and at the last dab, in voxels of the box.
    radius_mm : float
    spacing : tuple of float
    mask : ndarray of bool
        In the box, now.
    original : ndarray of bool
        In the box, at the start of the stroke (the current mask for brushes without
        `needs_original`).
    touched : ndarray of bool
        Voxels under the brush.
    subtracts : bool
    """

    box: Box
    centre: Place
    before: Place
    radius_mm: float
    spacing: Spacing
    mask: Mask
    original: Mask
    touched: Mask
    subtracts: bool


class LocalBrush:
    """Base class of local brushes.

    Parameters
    ----------
    layers : StudyLayers
    """

    is_round = True
    apart = 0.35  # of the radius: distance of the dabs along a stroke
    needs_original = False  # if True, the whole mask is copied at the start of each stroke

    def __init__(self, layers: StudyLayers) -> None:
        self._layers = layers
        self._last: NDArray[np.float64] | None = None
        self._original: NDArray[np.uint8] | None = None

    # --- CanvasTool

    def press(self, at: Pointer) -> None:
        """Begin a stroke with a dab."""
        view = self._layers.editing.mask_view()
        if view is None:
            return
        self._original = view.copy() if self.needs_original else None
        self._layers.editing.begin_stroke()
        self._last = at.voxel
        self._dab(at.voxel, at.voxel, at.subtracts)

    def move(self, at: Pointer) -> None:
        """Add dabs along the way."""
        for before, here in self._along(at.voxel):
            self._dab(before, here, at.subtracts)
            self._last = here

    def release(self, at: Pointer) -> None:
        """End the stroke."""
        self.cancel()

    def hover(self, at: Pointer) -> None:
        """Do nothing: the circle of the brush follows the mouse by itself."""

    def finish(self) -> None:
        """Nothing is left open."""

    def cancel(self) -> bool:
        """End a stroke, which is kept and can be undone."""
        if self._last is not None:
            self._last = self._original = None
            self._layers.editing.end_stroke()
        return False

    def use(self, dab: Dab) -> Mask:
        """Return the new mask in the box."""
        raise NotImplementedError

    # --- inside

    def _along(
        self, end: NDArray[np.float64]
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        if self._last is None:
            return
        spacing = np.asarray(self._layers.viewpoint.scale)
        start, length = self._last, float(np.linalg.norm((end - self._last) * spacing))
        n = int(length / max(self.apart * self._radius(), float(spacing.min()) / 2))
        for k in range(n):
            yield start + (end - start) * k / n, start + (end - start) * (k + 1) / n

    def _radius(self) -> float:
        return self._layers.brush.diameter_mm / 2

    def _dab(
        self, before: NDArray[np.float64], here: NDArray[np.float64], subtracts: bool
    ) -> None:
        editing, spacing = self._layers.editing, self._layers.viewpoint.scale
        box = self._box(here)
        if any(side.stop <= side.start for side in box):
            return
        centre, last = (_in_box(place, box) for place in (here, before))
        mask = editing.mask_in(box)
        touched = disc(mask.shape, centre, self._radius(), spacing)
        original = mask if self._original is None else self._original[box] != 0
        dab = Dab(box, centre, last, self._radius(), spacing, mask, original, touched, subtracts)
        editing.dab(box, self.use(dab))

    def _box(self, here: NDArray[np.float64]) -> Box:
        """Box around the brush; one slice, unless it is a ball."""
        across = self._layers.viewpoint.axes[0]
        sides = []
        shape, spacing = self._layers.editing.shape, self._layers.viewpoint.scale
        for axis, (place, n, mm) in enumerate(zip(here, shape, spacing, strict=True)):
            reach = int(self._radius() / mm) + ROOM
            if axis == across and not self._layers.brush.ball:
                reach = 0
            middle = int(np.floor(place + 0.5))
            sides.append(slice(max(0, middle - reach), max(0, min(n, middle + reach + 1))))
        return tuple(sides)


def _in_box(place: NDArray[np.float64], box: Box) -> Place:
    a, b, c = (
        0.0 if side.stop - side.start == 1 else float(p - side.start)
        for p, side in zip(place, box, strict=True)
    )
    return a, b, c


class SmartBrush(LocalBrush):
    """Paints or erases only the tissue under its centre, up to the next edge."""

    def use(self, dab: Dab) -> Mask:
        """Return the new mask in the box."""
        image = self._layers.showing.image_on_display()
        assert image is not None
        tissue = like_tissue(image[dab.box], dab.touched, dab.centre, dab.spacing)
        if dab.subtracts:
            return dab.mask & ~tissue
        allowed = self._layers.brush.allowed(dab.box)
        return dab.mask | (tissue if allowed is None else tissue & allowed)


class PushBrush(LocalBrush):
    """Pushes the surface along with the mouse."""

    apart = 0.1  # the surface follows the mouse

    def use(self, dab: Dab) -> Mask:
        """Return the new mask in the box."""
        return pushed(dab.mask, dab.before, dab.centre, dab.radius_mm, dab.spacing)


class SmoothBrush(LocalBrush):
    """Smooths the surface."""

    def use(self, dab: Dab) -> Mask:
        """Return the new mask in the box."""
        width = max(SMOOTHS * dab.radius_mm, finest(dab))
        return smoothed_here(dab.mask, dab.touched, dab.spacing, width)


class MarginBrush(LocalBrush):
    """Moves the surface out or in by a voxel, once per stroke at each position."""

    needs_original = True

    def use(self, dab: Dab) -> Mask:
        """Return the new mask in the box."""
        step = -finest(dab) if dab.subtracts else finest(dab)
        moved = moved_here(dab.original, dab.touched, dab.spacing, step)
        if dab.subtracts:
            return dab.mask & (moved | ~dab.original)
        return dab.mask | moved


class SnapBrush(LocalBrush):
    """Moves the surface to the nearest strong image edge."""

    def use(self, dab: Dab) -> Mask:
        """Return the new mask in the box."""
        image = self._layers.showing.image_on_display()
        assert image is not None
        reach = max(dab.radius_mm / 2, 1.5 * finest(dab))
        return snapped(dab.mask, image[dab.box], dab.touched, dab.spacing, reach)


def finest(dab: Dab) -> float:
    """Smallest voxel side within the box (mm)."""
    sides = zip(dab.spacing, dab.mask.shape, strict=True)
    return min((mm for mm, n in sides if n > 1), default=min(dab.spacing))
