"""A thumbnail of a scan for tables, and notes that require reading its values.

One axial slice through the brain in radiological convention, with the outline of a mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import AnyArray
from napari_singlestrip.engine.imaging.display_orientation import Upright
from napari_singlestrip.engine.imaging.head_middle import level_of_ventricles
from napari_singlestrip.engine.imaging.scan_values import padding_to_air
from napari_singlestrip.engine.imaging.volume import Scan, load_marks, load_mask, open_scan
from napari_singlestrip.engine.masks.doubt import TOO_LITTLE, TOO_MUCH
from napari_singlestrip.errors import UserError

OUTLINE = (0, 216, 240)  # the colour of masks in the window
DOUBT_TINTS = {TOO_MUCH: (255, 69, 48), TOO_LITTLE: (74, 140, 255)}



@dataclass(frozen=True, eq=False)
class ScanPicture:
    """A thumbnail of a scan.

    Attributes
    ----------
    rgb : ndarray of uint8, shape (size, size, 3)
        Padded with black if the slice is not square.
    notes : tuple of str
        Notes on the values, such as "12 values are NaN or inf".
    """

    rgb: NDArray[np.uint8]
    notes: tuple[str, ...] = ()


def scan_picture(
    path: Path, mask: Path | None = None, size: int = 48, marks: Path | None = None
) -> ScanPicture:
    """Read a scan and draw its thumbnail.

    Parameters
    ----------
    path : Path
        The scan's file.
    mask : Path, optional
        A mask on the grid of the scan; an unusable one is not drawn.
    size : int
        Side length in pixels.
    marks : Path, optional
        Doubted regions of the mask: the slice with most of them is drawn, with a tint.

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
    level = level_of_ventricles(data, turn.scale[0]) if inside is None else _middle(inside)
    doubted = None if inside is None else _marks(marks, scan, turn)
    if doubted is not None:
        doubted = np.where(inside == (doubted == TOO_MUCH), doubted, 0)  # the remaining ones
        level = int((doubted != 0).sum((1, 2)).argmax()) if doubted.any() else level
    plane = _contrast(data[level])
    box = _head(plane)
    grey = _fit(plane[box], turn.scale[1:], size)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    if doubted is not None:
        for kind, colour in DOUBT_TINTS.items():
            tinted = _fit((doubted[level][box] == kind).astype(np.float32), turn.scale[1:], size)
            rgb[tinted > 0.5] = 0.45 * rgb[tinted > 0.5] + 0.55 * np.array(colour) / 255
    if inside is not None:
        marked = _fit(inside[level][box].astype(np.float32), turn.scale[1:], size) > 0.5
        rgb[_outline(marked)] = [c / 255 for c in OUTLINE]
    return ScanPicture(np.round(rgb * 255).astype(np.uint8), notes)


def _one_frame(scan: Scan) -> AnyArray:
    """The middle frame, unscaled, which is enough for a thumbnail."""
    frames = scan.read_raw().reshape(*scan.grid.shape, -1, order="F")
    return frames[..., frames.shape[-1] // 2]


def _check_values(frame: AnyArray, scan: Scan) -> tuple[str, ...]:
    low, high = frame.min(), frame.max()
    if low == high:
        raise UserError(
            f"{scan.path.name} is empty: all its values are the same.",
            "Inspect it in a viewer; leave it out, or convert it again from its source.",
        )
    if np.isfinite(low) and np.isfinite(high):  # min and max propagate NaN
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
    except UserError:  # reported where the mask is used
        return None
    return turn.to_display(mask) if mask.any() else None


def _marks(path: Path | None, scan: Scan, turn: Upright) -> NDArray[np.uint8] | None:
    if path is None:
        return None
    try:
        return turn.to_display(load_marks(path, like=scan))
    except UserError:  # reported by the panel
        return None


def _middle(mask: NDArray[np.bool_]) -> int:
    used = np.flatnonzero(mask.any(axis=(1, 2)))
    return int(used[len(used) // 2])


def _contrast(plane: AnyArray) -> NDArray[np.float32]:
    values = np.nan_to_num(plane.astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = np.percentile(values, (1, 99.5))
    if high <= low:
        low, high = values.min(), max(values.max(), values.min() + 1)
    return np.clip((values - low) / np.float32(high - low), 0, 1)


def _head(plane: NDArray[np.float32]) -> tuple[slice, slice]:
    """Crop a slice to the head."""
    parts = []
    for axis in (1, 0):
        used = np.flatnonzero((plane > 0.15).mean(axis=axis) > 0.03)
        parts.append(slice(used[0], used[-1] + 1) if len(used) > 3 else slice(None))
    return parts[0], parts[1]


def _fit(plane: NDArray[np.float32], spacing: tuple[float, ...], size: int) -> AnyArray:
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
