"""The lasso: an outline whose inside is added to the mask on a slice, or removed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.masks.outlines import enclosed
from napari_singlestrip.widgets.viewer.canvas_tools import CanvasTools, Pointer

if TYPE_CHECKING:
    from napari_singlestrip.widgets.viewer.study_layers import StudyLayers

CLICK = 4.0  # pixels: a shorter stroke is a click, which sets a corner
CLOSES = 8.0  # pixels from the first corner: a click there closes the outline
Voxels = NDArray[np.float64]


class Outline:
    """An outline in the making: drawn with the button down, or from corner to corner by clicks.

    Parameters
    ----------
    tools : CanvasTools
    """

    is_round = False
    least = 3  # points

    def __init__(self, tools: CanvasTools) -> None:
        self._tools = tools
        self._points: list[Voxels] = []
        self._pressed: tuple[float, float] | None = None
        self._dragged = False
        self._corners = 0  # set by clicks
        self._subtracts = False

    @property
    def is_open(self) -> bool:
        """Whether there is an open outline."""
        return bool(self._points)

    # --- CanvasTool

    def press(self, at: Pointer) -> None:
        """Start an outline, or add a corner."""
        if not self._corners:
            self._begin(at)
        elif self._corners > 2 and self._is_near_start(at):
            self.finish()
            return
        else:
            self._points.append(at.voxel)
        self._pressed, self._dragged = at.pixel, False
        self._draw()

    def move(self, at: Pointer) -> None:
        """Continue drawing."""
        if self._pressed is None:
            return
        if not self._dragged and math.dist(at.pixel, self._pressed) < CLICK:
            return
        if not self._dragged and self._corners == 1:  # a single accidental click is not a corner
            self._points = self._points[-1:]
            self._corners = 0
            self._subtracts = at.subtracts
        self._dragged = True
        self._points.append(at.voxel)
        self._draw()

    def release(self, at: Pointer) -> None:
        """Close what was drawn; a click sets a corner."""
        if self._pressed is None:
            return
        self._pressed = None
        if self._dragged and not self._corners:
            self.finish()
        else:
            self._corners += 1

    def hover(self, at: Pointer) -> None:
        """Preview the next corner."""
        if self._corners and self._pressed is None:
            self._tools.draw([*self._points, at.voxel], self._subtracts, False)

    def finish(self) -> None:
        """Close the outline and apply it."""
        points, subtracts = self._points, self._subtracts
        self.cancel()
        if len(points) >= self.least:
            self.use(points, subtracts)

    def cancel(self) -> bool:
        """Cancel the outline; return whether there was one."""
        was = bool(self._points)
        self._points, self._pressed, self._corners = [], None, 0
        if was:
            self._tools.draw([], False, False)
        return was

    def use(self, points: list[Voxels], subtracts: bool) -> None:
        """Change the mask by a finished outline."""
        raise NotImplementedError

    # --- inside

    def _begin(self, at: Pointer) -> None:
        self._points, self._subtracts = [at.voxel], at.subtracts

    def _is_near_start(self, at: Pointer) -> bool:
        return math.dist(at.pixel, self._tools.pixel(self._points[0])) < CLOSES

    def _draw(self) -> None:
        self._tools.draw(self._points, self._subtracts, False)


class Lasso(Outline):
    """Fills the inside of an outline on the slice on screen, or erases it.

    Parameters
    ----------
    tools : CanvasTools
    layers : StudyLayers
    """

    def __init__(self, tools: CanvasTools, layers: StudyLayers) -> None:
        super().__init__(tools)
        self._layers = layers

    def use(self, points: list[Voxels], subtracts: bool) -> None:
        """Change the mask by a finished outline."""
        box, here = enclosed_on_slice(
            points, self._layers.viewpoint.axes, self._layers.editing.shape
        )
        was = self._layers.editing.mask_in(box)
        if subtracts:
            made = was & ~here
        else:
            allowed = self._layers.brush.allowed(box)
            made = was | (here if allowed is None else here & allowed)
        self._layers.editing.change_part(box, made)


def enclosed_on_slice(
    points: list[Voxels], axes: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
    """The inside of an outline on a slice: its box in the scan, and the voxels in the box.

    Parameters
    ----------
    points : list of ndarray, each of shape (3,)
        On one slice, in voxels.
    axes : tuple of int
        Axes across the slice, of its rows and of its columns.
    shape : tuple of int
        Of the scan.

    Returns
    -------
    box : tuple of slice
        One slice thick.
    inside : ndarray of bool
        In the shape of the box.
    """
    across, rows, columns = axes
    outline = np.stack(points)[:, [rows, columns]]
    sides = (rows, columns)
    low = [min(max(int(np.floor(outline[:, n].min())), 0), shape[sides[n]]) for n in range(2)]
    high = [min(max(int(np.ceil(outline[:, n].max())) + 1, low[n]), shape[sides[n]])
            for n in range(2)]
    flat = enclosed(outline - low, (high[0] - low[0], high[1] - low[1]))
    here = int(points[0][across] + 0.5)
    box = [slice(0, 0)] * 3
    box[across] = slice(here, here + 1)
    box[rows], box[columns] = slice(low[0], high[0]), slice(low[1], high[1])
    lying = flat if rows < columns else flat.T
    return tuple(box), np.expand_dims(lying, across)
