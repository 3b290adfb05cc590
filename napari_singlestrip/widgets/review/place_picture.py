"""A thumbnail of a place to check: a slice, the doubts, and the outline of the mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.masks.doubt import Place
from napari_singlestrip.widgets.viewer.own_layers import COLOURS, DOUBT_COLOURS, MASK
from napari_singlestrip.widgets.viewer.viewpoint import PLANES

TINT = 0.55
LEAST_MM = 50.0  # smallest extent around a place, in an adult


@dataclass(frozen=True, eq=False)
class Display:
    """A scan as it is displayed, axes (I, P, L).

    Attributes
    ----------
    image, mask, marks : ndarray
    scale : tuple of float
        Voxel size (mm).
    limits : tuple of float
        Intensities shown as black and as white.
    """

    image: NDArray[np.float32]
    mask: NDArray[np.bool_]
    marks: NDArray[np.uint8]
    scale: tuple[float, float, float]
    limits: tuple[float, float]


def plane_for(place: Place, scale: tuple[float, float, float], marks: NDArray[np.uint8]) -> str:
    """The plane that shows a place best: with the largest area, or in-plane for thick slices."""

    def seen(plane: str) -> float:
        axis, row, column = PLANES[plane]
        piece = np.take(_piece(place, marks), place.voxel[axis] - place.low[axis], axis=axis)
        area = float(np.count_nonzero(piece)) * scale[row] * scale[column]
        return area / max(scale[row], scale[column])

    return max(PLANES, key=seen)


def extent_mm(place: Place, scale: tuple[float, float, float], least: float = LEAST_MM) -> float:
    """Extent to show around a place (mm)."""
    sides = [
        (high - low) * step for low, high, step in zip(place.low, place.high, scale, strict=True)
    ]
    return max(least, 1.5 * max(sides))


def place_picture(
    place: Place, plane: str, display: Display, size: int, least_mm: float = LEAST_MM
) -> NDArray[np.uint8]:
    """Draw the slice through a place.

    Returns
    -------
    (size, size, 3) uint8
    """
    axis, row, column = PLANES[plane]
    mm = extent_mm(place, display.scale, least_mm) / size
    steps = (np.arange(size) - (size - 1) / 2) * mm
    at = [
        np.rint(place.voxel[a] + steps / display.scale[a]).astype(int) for a in (row, column)
    ]
    inside = [
        (n >= 0) & (n < display.image.shape[a]) for n, a in zip(at, (row, column), strict=True)
    ]
    rows, columns = (
        n.clip(0, display.image.shape[a] - 1) for n, a in zip(at, (row, column), strict=True)
    )

    def cut(volume: NDArray[np.generic]) -> NDArray[np.generic]:
        slab = np.take(volume, place.voxel[axis], axis=axis)
        return slab[np.ix_(rows, columns)]

    low, high = display.limits
    grey = np.clip((cut(display.image).astype(float) - low) / max(high - low, 1e-9), 0, 1)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    marks = cut(display.marks)
    for kind, colour in DOUBT_COLOURS.items():
        rgb[marks == kind] = (1 - TINT) * rgb[marks == kind] + TINT * _rgb(colour)
    rgb[_edge(cut(display.mask) != 0)] = _rgb(COLOURS[MASK])
    rgb[~(inside[0][:, None] & inside[1])] = 0
    return np.rint(255 * rgb).astype(np.uint8)


def _piece(place: Place, marks: NDArray[np.uint8]) -> NDArray[np.bool_]:
    box = tuple(slice(low, high) for low, high in zip(place.low, place.high, strict=True))
    piece: NDArray[np.bool_] = marks[box] == place.kind
    return piece


def _edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels inside with a neighbour outside; the image border is not an edge."""
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    edge: NDArray[np.bool_] = mask & ~inner
    return edge


def _rgb(colour: str) -> NDArray[np.float64]:
    return np.array([int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)])
