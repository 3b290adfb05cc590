"""A scan on disk: opened (header only), checked, and read when its values are needed.

Files are opened for reading only and never changed. Every problem is reported with the name of the
file, what was found, and what to do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.grid import Grid, Shape, Volume
from napari_singlestrip.engine.imaging.scan_bytes import (
    COPY_AGAIN,
    check_claim,
    check_memory,
    read_values,
)
from napari_singlestrip.engine.imaging.scan_files import check_kind, checked_name, readable
from napari_singlestrip.engine.imaging.scan_header import Layout, read_header
from napari_singlestrip.engine.imaging.scan_names import scan_name
from napari_singlestrip.engine.imaging.scan_nrrd import EXTENSION, read_nrrd_header
from napari_singlestrip.engine.imaging.scan_position import find_position
from napari_singlestrip.engine.imaging.scan_values import (
    mean_frame,
    padding_to_air,
    replace_non_finite,
)
from napari_singlestrip.errors import UserError

MAX_VOXELS = 2**30  # of one frame: 1024 along each side, twice the size of the largest scans


@dataclass(frozen=True, eq=False)
class Scan:
    """A checked header; `load` reads the values.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        File name without its extension.
    grid : Grid
        Grid of the three spatial axes.
    dtype : numpy.dtype
        Type of the stored values, before scaling.
    frames : int
        Volumes in the file, 1 unless it is 4D.
    notes : tuple of str
        Remarks for the user, such as "4D: mean of 12 frames" or "8 degrees oblique"; `doubts` come
        first.
    header : nibabel header
        With its fields as stored.
    layout : Layout
        Where the values lie.
    readings : tuple of Grid
        `grid`, then the grids that other programs may read from the same header.
    doubts : tuple of str
        Contradictions within the file, and where other programs may read it differently.
    """

    path: Path
    name: str
    grid: Grid
    dtype: np.dtype[Any]
    frames: int
    notes: tuple[str, ...] = ()
    header: Any = field(default=None, repr=False)
    layout: Layout = field(default=None, repr=False)  # type: ignore[assignment]
    readings: tuple[Grid, ...] = field(default=(), repr=False)
    doubts: tuple[str, ...] = ()

    def load(self) -> Volume:
        """Read the values: float32, scaling applied, a 4D file averaged over its frames.

        NaN and -inf are replaced by the smallest finite value, inf by the largest, and padding by
        air, with a note.

        Raises
        ------
        UserError
            If the file is damaged, too large for the free memory, empty, constant or without any
            finite value.
        """
        raw, notes = self._read()
        data, non_finite = replace_non_finite(self._scaled(raw), self.path)
        low, high = data.min(), data.max()
        if low == high:
            raise UserError(
                f"{self.path.name} is empty: all its values are {low:g}.",
                "Inspect it in a viewer; leave it out, or convert it again from its source.",
            )
        data, padding = padding_to_air(data)
        return Volume(data, self.grid.affine, (*notes, *non_finite, *padding))

    def read_float(self) -> NDArray[np.float32]:
        """Scaled values (i, j, k), averaged over frames, with NaN and inf as they are.

        Raises
        ------
        UserError
            If the file is damaged.
        """
        return self._scaled(self.read_raw())

    def read_raw(self) -> NDArray[Any]:
        """Read the stored values without scaling, in the file's own shape and type (Fortran order).

        Raises
        ------
        UserError
            If the file is damaged, or too large for the free memory.
        """
        return self._read()[0]

    def _read(self) -> tuple[NDArray[Any], tuple[str, ...]]:
        layout = self.layout
        as_float = math.prod(self.grid.shape) * np.dtype(np.float32).itemsize
        check_memory(self.path, layout.n_bytes + as_float)
        with readable(self.path):
            values, notes = read_values(layout.stretch)
        raw: NDArray[Any] = np.ndarray(layout.shape, layout.dtype, values.data, order="F")
        return raw, notes

    def _scaled(self, raw: NDArray[Any]) -> NDArray[np.float32]:
        with np.errstate(over="ignore", invalid="ignore"):
            data = mean_frame(raw.reshape(*self.grid.shape, -1, order="F"))
            if self.layout.slope != 1:
                data *= np.float32(self.layout.slope)
            if self.layout.inter != 0:
                data += np.float32(self.layout.inter)
        return data


def open_scan(path: str | Path) -> Scan:
    """Read and check the header of a scan; its values stay on disk.

    Parameters
    ----------
    path : str or Path
        NIfTI-1 or -2, MGH/MGZ, NRRD, or either file of an Analyze or NIfTI pair.

    Raises
    ------
    UserError
        If the file is missing, damaged, of a type other than its extension says, not a 3D or 4D
        volume of plain numbers, larger than `MAX_VOXELS`, or has no usable voxel size or position.
    """
    path = checked_name(Path(path))
    check_kind(path)
    doubts: tuple[str, ...] = ()
    if path.name.lower().endswith(EXTENSION):
        header, layout = read_nrrd_header(path)
    else:
        header, layout, doubts = read_header(path)
    scan = check_header(path, header, layout, doubts)
    with readable(layout.path):
        check_claim(layout.stretch)
    return scan


def check_header(
    path: Path, header: Any, layout: Layout, doubts: tuple[str, ...] = ()
) -> Scan:
    """Check a header.

    Parameters
    ----------
    path : Path
        The file, for messages.
    header : nibabel header
        With its fields as stored.
    layout : Layout
        Not yet compared with the file's size.
    doubts : tuple of str
        Found when it was read.

    Raises
    ------
    UserError
        If it does not describe a 3D or 4D volume of plain numbers with at most `MAX_VOXELS`, a
        voxel size and a position.
    """
    shape, frames = _spatial_shape(layout.shape, path)
    _check_dtype(layout.dtype, path)
    _check_size(layout)
    position = find_position(header, shape, path)
    grid = Grid(shape, position.affine)
    doubts += position.notes
    readings = tuple(Grid(shape, affine) for affine in position.readings)
    return Scan(
        path, scan_name(path), grid, layout.dtype, frames, (*doubts, *_notes(grid, frames)),
        header, layout, readings, doubts,
    )


def _spatial_shape(shape: tuple[int, ...], path: Path) -> tuple[Shape, int]:
    """Split a shape into (i, j, k) and the number of frames."""
    size = " x ".join(str(n) for n in shape)
    if 0 in shape or min(shape, default=0) < 0:
        raise UserError(f"{path.name} is empty: its size is {size or 0}.", COPY_AGAIN)
    kept = list(shape)
    while len(kept) > 3 and kept[-1] == 1:
        kept.pop()
    if len(kept) < 3 or 1 in kept[:3]:
        raise UserError(
            f"{path.name} is a single slice ({size}), not a volume.",
            "Join the slices of the scan into one 3D file and use that.",
        )
    if len(kept) > 4:
        raise UserError(
            f"{path.name} has {len(shape)} dimensions ({size}).", "Save one 3D volume of it."
        )
    return (kept[0], kept[1], kept[2]), kept[3] if len(kept) == 4 else 1


def _check_dtype(dtype: np.dtype[Any], path: Path) -> None:
    hint = "Save the scan's own grey values (for complex values, their magnitude) and use that."
    if dtype.fields:
        raise UserError(f"{path.name} is a colour (RGB) image, not a scan.", hint)
    if dtype.kind not in "iuf":
        raise UserError(f"{path.name} holds {dtype.name} values, not plain numbers.", hint)


def _check_size(layout: Layout) -> None:
    """Refuse a volume that is too large before it is read."""
    n_voxels = math.prod(layout.shape[:3])
    if n_voxels > MAX_VOXELS:
        size = " x ".join(str(n) for n in layout.shape[:3])
        raise UserError(
            f"{layout.path.name} is too large: its header says {size} voxels; at most "
            f"{MAX_VOXELS:.3g} are read.",
            "Save a copy with larger voxels, or convert it again if it is not so large.",
        )


def _notes(grid: Grid, frames: int) -> tuple[str, ...]:
    notes = []
    if frames > 1:
        notes.append(f"4D: mean of {frames} frames")
    if grid.obliquity_deg > 0.5:
        notes.append(f"{grid.obliquity_deg:.0f} degrees oblique")
    return tuple(notes)
