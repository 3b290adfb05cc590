"""Cutting through all slices, and selecting single components by a click."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.masks.cleanup import bounding_box
from napari_singlestrip.engine.masks.outlines import beyond, enclosed, is_closed
from napari_singlestrip.engine.masks.pieces import piece_at
from napari_singlestrip.widgets.viewer.canvas_tools import CanvasTools, Pointer
from napari_singlestrip.widgets.viewer.lasso import Outline

if TYPE_CHECKING:
    from napari_singlestrip.widgets.viewer.study_layers import StudyLayers



class Scissors(Outline):
    """Cuts through all slices: what an outline encloses, or the smaller part beyond a line.

    Parameters
    ----------
    tools : CanvasTools
    layers : StudyLayers
    """

    least = 2

    def __init__(self, tools: CanvasTools, layers: StudyLayers) -> None:
        super().__init__(tools)
        self._layers = layers

    def use(self, points: list[NDArray[np.float64]], subtracts: bool) -> None:
        """Cut; with Shift or the right button, keep the part and remove the rest."""
        editing = self._layers.editing
        view = editing.mask_view()
        box = None if view is None else bounding_box(view.view(bool))
        if box is None:
            return
        across, rows, columns = self._layers.viewpoint.axes
        mask = editing.mask_in(box)
        line = np.stack(points)[:, [rows, columns]] - [box[rows].start, box[columns].start]
        shape = mask.shape[rows], mask.shape[columns]
        seen = mask.view(np.uint8).sum(axis=across, dtype=np.uint16)  # else eight times as long
        counts = seen if rows < columns else seen.T
        gone = enclosed(line, shape) if is_closed(line) else _smaller(beyond(line, shape), counts)
        gone ^= subtracts
        editing.change_part(box, mask & ~np.expand_dims(gone if rows < columns else gone.T, across))


def _smaller(side: Mask, counts: NDArray[np.int_]) -> Mask:
    """The side of a line with less of the mask; neither if all is on one side."""
    here, there = int(counts[side].sum()), int(counts[~side].sum())
    if not here or not there:
        return np.zeros_like(side)
    return side.copy() if here <= there else ~side


class PieceTool:
    """Erases the clicked component of the mask, or all others.

    Parameters
    ----------
    layers : StudyLayers
    """

    is_round = False

    def __init__(self, layers: StudyLayers) -> None:
        self._layers = layers

    # --- CanvasTool

    def press(self, at: Pointer) -> None:
        """Erase the component; with Shift or the right button, keep only this one."""
        editing = self._layers.editing
        view = editing.mask_view()
        voxel = self._layers.viewpoint.voxel_at(at.voxel)
        box = None if view is None or not view[voxel] else bounding_box(view.view(bool))
        if box is None:
            return
        mask = editing.mask_in(box)
        i, p, l = (v - side.start for v, side in zip(voxel, box, strict=True))  # noqa: E741
        piece = piece_at(mask, (i, p, l))
        editing.change_part(box, piece if at.subtracts else mask & ~piece)

    def move(self, at: Pointer) -> None:
        """Nothing: a click is all."""

    def release(self, at: Pointer) -> None:
        """Nothing more."""

    def hover(self, at: Pointer) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing is left open."""

    def cancel(self) -> bool:
        """Nothing is left open."""
        return False
