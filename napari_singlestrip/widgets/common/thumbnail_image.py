"""A small picture of a scan for tables, and what is only seen when its values are read.

One axial slice through the brain, upright and hung as radiologists do, with the outline of a mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.display_orientation import Upright
from napari_singlestrip.engine.imaging.scan_values import padding_to_air
from napari_singlestrip.engine.imaging.volume import Scan, load_mask, open_scan
from napari_singlestrip.errors import UserError

OUTLINE = (0, 216, 240)  # the colour of masks in the window
# From the top of the head to the level of the ventricles; the middle of a picture that reaches
# down the neck would show the jaw.
BELOW_TOP_MM = 75.0

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class ScanPicture:
    """A picture of a scan.

    Attributes
    ----------
    rgb : ndarray of uint8, shape (size, size, 3)
        Black around the slice where it is not square.
    notes : tuple of str
        What the values are like, such as "12 values are NaN or inf".
    """

    rgb: NDArray[np.uint8]
    notes: tuple[str, ...] = ()


def scan_picture(path: Path, mask: Path | None = None, size: int = 48) -> ScanPicture:
    """Read a scan and draw its picture.

    Parameters
    ----------
    path : Path
        The scan's file.
    mask : Path, optional
        A mask on the grid of the scan; one that cannot be used is not drawn.
    size : int
        Pixels of a side.

    Raises
    ------
    UserError
        If the scan cannot be read, or all its values are the same.
    """
    scan = open_scan(path)
    frame = _one_frame(scan)
    notes = _check_values(frame, scan)
    finite = np.nan_to_num(frame.astype(np.float32), posinf=0.0, neginf=0.0)
    frame, padding = padding_to_air(finite)
    notes += padding
    turn = Upright(scan.grid.affine)
    data, inside = turn.to_display(frame), _mask(mask, scan, turn)
    level = _level(data, turn.scale[0]) if inside is None else _middle(inside)
    plane = _contrast(data[level])
    box = _head(plane)
    grey = _fit(plane[box], turn.scale[1:], size)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    if inside is not None:
        marked = _fit(inside[level][box].astype(np.float32), turn.scale[1:], size) > 0.5
        rgb[_outline(marked)] = [c / 255 for c in OUTLINE]
    return ScanPicture(np.round(rgb * 255).astype(np.uint8), notes)


def _one_frame(scan: Scan) -> Array:
    """The middle frame as stored: scaling does not matter for a picture."""
    frames = scan.read_raw().reshape(*scan.grid.shape, -1, order="F")
    return frames[..., frames.shape[-1] // 2]


def _check_values(frame: Array, scan: Scan) -> tuple[str, ...]:
    low, high = frame.min(), frame.max()
    if low == high:
        raise UserError(
            f"{scan.path.name} is empty: all its values are the same.",
            "Look at it in a viewer; leave it out, or convert it again from its source.",
        )
    if np.isfinite(low) and np.isfinite(high):  # min and max pass NaN on
        return ()
    n_bad = frame.size - int(np.count_nonzero(np.isfinite(frame)))
    if n_bad == frame.size:
        raise UserError(
            f"{scan.path.name} has no finite value, only NaN or inf.",
            "Copy or convert it again from its source.",
        )
    return (f"{n_bad} values are NaN or inf: they are replaced",)


def _mask(path: Path | None, scan: Scan, turn: Upright) -> NDArray[np.bool_] | None:
    if path is None:
        return None
    try:
        mask = load_mask(path, like=scan, check=False)
    except UserError:  # whoever uses the mask says what is wrong with it
        return None
    return turn.to_display(mask) if mask.any() else None


def _middle(mask: NDArray[np.bool_]) -> int:
    used = np.flatnonzero(mask.any(axis=(1, 2)))
    return int(used[len(used) // 2])


def _level(data: Array, spacing: float) -> int:
    """Slice at the level of the ventricles, or the middle one where no head is found."""
    coarse = np.nan_to_num(data[:, ::4, ::4].astype(np.float32), posinf=0.0, neginf=0.0)
    bright = coarse > coarse.min() + 0.1 * (np.percentile(coarse, 99) - coarse.min())
    rows = np.flatnonzero(bright.mean(axis=(1, 2)) > 0.03)
    middle = len(data) // 2
    if not len(rows):
        return middle
    below = int(rows[0] + BELOW_TOP_MM / spacing)
    return below if below < len(data) else middle


def _contrast(plane: Array) -> NDArray[np.float32]:
    values = np.nan_to_num(plane.astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = np.percentile(values, (1, 99.5))
    if high <= low:
        low, high = values.min(), max(values.max(), values.min() + 1)
    return np.clip((values - low) / np.float32(high - low), 0, 1)


def _head(plane: NDArray[np.float32]) -> tuple[slice, slice]:
    """The part of a slice that is not air: the head fills the picture."""
    parts = []
    for axis in (1, 0):
        used = np.flatnonzero((plane > 0.15).mean(axis=axis) > 0.03)
        parts.append(slice(used[0], used[-1] + 1) if len(used) > 3 else slice(None))
    return parts[0], parts[1]


def _fit(plane: NDArray[np.float32], spacing: tuple[float, ...], size: int) -> Array:
    """Resample a slice to fit a square, keeping its proportions in mm."""
    extent = np.array(plane.shape) * np.array(spacing)
    step = extent.max() / size / np.array(spacing)  # voxels per pixel
    smooth = scipy.ndimage.uniform_filter(plane, np.maximum(1, np.round(step)).astype(int))
    middle = (np.array(plane.shape) - 1) / 2
    offset = (np.arange(size) - (size - 1) / 2)[:, None] * step + middle
    rows, columns = np.meshgrid(offset[:, 0], offset[:, 1], indexing="ij")
    return scipy.ndimage.map_coordinates(smooth, [rows, columns], order=1, mode="constant")


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    edge: NDArray[np.bool_] = mask & ~scipy.ndimage.binary_erosion(mask)
    return edge
