"""Slices of napari's layers as images for Qt, for the panes that napari does not draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray
from qtpy.QtCore import QRectF
from qtpy.QtGui import QImage, QPainter

from napari_singlestrip.engine.arrays import AnyArray

LEVELS = 256
TINT = (255, 230, 0, 110)  # highlight of newly filled voxels


@dataclass(frozen=True, eq=False)
class Picture:
    """One layer's slice.

    Attributes
    ----------
    image : QImage
    area : QRectF
        Its position (mm): columns to the right, rows down.
    opacity : float
    added : bool
        Whether its colours are added to those below, as napari's additive blending does.
    """

    image: QImage
    area: QRectF
    opacity: float = 1.0
    added: bool = False

    def draw(self, painter: QPainter) -> None:
        """Draw with a painter in mm."""
        modes = QPainter.CompositionMode
        painter.setOpacity(self.opacity)
        painter.setCompositionMode(
            modes.CompositionMode_Plus if self.added else modes.CompositionMode_SourceOver
        )
        painter.drawImage(self.area, self.image)


class SlicePictures:
    """Makes the images of one pane; each is kept until its slice changes.

    Parameters
    ----------
    axes : tuple of int
        The axis (I, P, L) across the plane, that of its rows, that of its columns.
    """

    def __init__(self, axes: tuple[int, int, int]) -> None:
        self.axes = axes
        self._kept: dict[Any, _Kept] = {}

    def of(self, layers: Any, point: tuple[float, ...]) -> list[Picture]:
        """Images from the lowest layer to the topmost, through a point (mm; I, P, L)."""
        shown = [layer for layer in layers if _can_be_drawn(layer)]
        self._kept = {layer: kept for layer, kept in self._kept.items() if layer in shown}
        made = [self._picture(layer, point) for layer in shown]
        return [picture for picture in made if picture is not None]

    def forget(self, layer: Any) -> None:
        """Invalidate a scan whose values changed in place."""
        self._kept.pop(layer, None)

    # --- inside

    def _picture(self, layer: Any, point: tuple[float, ...]) -> Picture | None:
        index = self._index(layer, point)
        if index is None:
            return None
        values, state = self._slice(layer, index), _state_of(layer, index)
        kept = self._kept.get(layer)
        if kept is None or kept.state != state or not kept.holds(values):
            kept = self._kept[layer] = self._made(layer, values, state)
        return kept.picture

    def _made(self, layer: Any, values: AnyArray, state: tuple[Any, ...]) -> _Kept:
        is_mask = isinstance(layer, Labels)
        image = _labels_image(layer, values) if is_mask else _scan_image(layer, values)
        picture = self._framed(layer, image)
        return _Kept(state, layer.colormap, values.copy() if is_mask else None, picture)

    def _index(self, layer: Any, point: tuple[float, ...]) -> int | None:
        across = self.axes[0]
        index = round((point[across] - layer.translate[across]) / layer.scale[across])
        return index if 0 <= index < layer.data.shape[across] else None

    def _slice(self, layer: Any, index: int) -> AnyArray:
        here: list[Any] = [slice(None)] * 3
        here[self.axes[0]] = index
        return np.asarray(layer.data[tuple(here)])  # `take` would copy the whole volume

    def _framed(self, layer: Any, image: QImage) -> Picture:
        area = area_of(layer.data.shape, layer.scale, layer.translate, self.axes)
        return Picture(image, area, float(layer.opacity), str(layer.blending) == "additive")


class _Kept(NamedTuple):
    """A picture, and what it shows: the state of its layer, and of a mask the values."""

    state: tuple[Any, ...]
    colormap: Any  # kept alive, so that no other one gets its id
    values: AnyArray | None
    picture: Picture

    def holds(self, values: AnyArray) -> bool:
        """Whether these values are shown: strokes change a mask in place."""
        return self.values is None or np.array_equal(self.values, values)


def _state_of(layer: Any, index: int) -> tuple[Any, ...]:
    shown = (
        (layer.contour,) if isinstance(layer, Labels)
        else (id(layer.data), tuple(layer.contrast_limits), layer.gamma)
    )
    return (*shown, index, id(layer.colormap), layer.opacity, str(layer.blending),
            tuple(layer.scale), tuple(layer.translate))


def area_of(shape: Any, scale: Any, translate: Any, axes: tuple[int, int, int]) -> QRectF:
    """Rectangle of a plane of a grid (mm); the centre of its first voxel is at `translate`."""
    _, rows, columns = axes
    return QRectF(
        float(translate[columns] - scale[columns] / 2), float(translate[rows] - scale[rows] / 2),
        float(shape[columns] * scale[columns]), float(shape[rows] * scale[rows]),
    )


def tint_image(marked: NDArray[np.bool_]) -> QImage:
    """Highlight newly filled voxels, with the others transparent."""
    pixels = np.zeros((*marked.shape, 4), np.uint8)
    pixels[marked] = TINT
    return _image(pixels)


def _can_be_drawn(layer: Any) -> bool:
    """Whether a layer is a plain volume; others are shown by napari's canvas only."""
    plain = isinstance(layer, Image | Labels) and layer.visible and layer.ndim == 3
    return plain and not layer.multiscale and not getattr(layer, "rgb", False)


def _scan_image(layer: Image, values: AnyArray) -> QImage:
    low, high = layer.contrast_limits
    part = (np.asarray(values, np.float32) - low) / max(high - low, 1e-12)
    part = np.clip(np.nan_to_num(part), 0, 1)
    if layer.gamma != 1:
        part = part**layer.gamma
    table = np.round(255 * layer.colormap.map(np.linspace(0, 1, LEVELS))).astype(np.uint8)
    return _image(table[(part * (LEVELS - 1) + 0.5).astype(np.uint8)])


def _labels_image(layer: Labels, values: AnyArray) -> QImage:
    if layer.contour > 0:
        values = np.where(_border(values, layer.contour), values, 0)
    if values.dtype == np.uint8:
        table = layer.colormap.map(np.arange(LEVELS, dtype=np.uint8))
        return _image(np.round(255 * table).astype(np.uint8)[values])
    return _image(np.round(255 * layer.colormap.map(values)).astype(np.uint8))


def _border(values: AnyArray, width: int) -> NDArray[np.bool_]:
    """Voxels with another label among their neighbours, out to a width."""
    found = np.zeros(values.shape, bool)
    for step in range(1, width + 1):
        for axis in (0, 1):
            high, low = [slice(None)] * 2, [slice(None)] * 2
            high[axis], low[axis] = slice(step, None), slice(None, -step)
            differ = values[tuple(high)] != values[tuple(low)]
            found[tuple(high)] |= differ
            found[tuple(low)] |= differ
    return found


def _image(pixels: NDArray[np.uint8]) -> QImage:
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    image = QImage(pixels.tobytes(), width, height, 4 * width, QImage.Format.Format_RGBA8888)
    # A copy, as Qt does not own the buffer, in the format that it draws fastest.
    return image.convertToFormat(QImage.Format.Format_ARGB32_Premultiplied)
