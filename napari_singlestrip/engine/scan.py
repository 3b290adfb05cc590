"""A person's scan on disk: opened (header only), checked, and read when its values are needed.

Files are opened for reading only and never changed. Whatever is wrong with one is told in a
sentence with its name, what was found, and the way out.
"""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.grid import Grid, Shape, Volume
from napari_singlestrip.engine.scan_files import (
    CONVERT,
    COPY_AGAIN,
    check_kind,
    checked_name,
    image_of_pair,
    missing_file,
    readable,
)
from napari_singlestrip.engine.scan_names import scan_name
from napari_singlestrip.errors import UserError

_CORRECT = "Correct its header, or convert it again from its source."


@dataclass(frozen=True)
class Layout:
    """Where and how the values lie in the data file."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    slope: float
    inter: float

    @property
    def n_bytes(self) -> int:
        """Size of the values in the (uncompressed) file."""
        return math.prod(self.shape) * self.dtype.itemsize


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
        What a person should know, such as "4D: mean of 12 frames" or "8 degrees oblique".
    header : nibabel header
        As read.
    layout : Layout
        Where the values lie.
    """

    path: Path
    name: str
    grid: Grid
    dtype: np.dtype[Any]
    frames: int
    notes: tuple[str, ...] = ()
    header: Any = field(default=None, repr=False)
    layout: Layout = field(default=None, repr=False)  # type: ignore[assignment]

    def load(self) -> Volume:
        """Read the values: float32, scaling applied, a 4D file averaged over its frames.

        NaN and -inf become the smallest finite value, inf the largest; a note says so.

        Raises
        ------
        UserError
            If the file is damaged, or empty, constant or without any finite value.
        """
        data, notes = _replace_non_finite(self.read_float(), self.path)
        low, high = data.min(), data.max()
        if low == high:
            raise UserError(
                f"{self.path.name} is empty: all its values are {low:g}.",
                "Look at it in a viewer; leave it out, or convert it again from its source.",
            )
        return Volume(data, self.grid.affine, notes)

    def read_float(self) -> NDArray[np.float32]:
        """Scaled values (i, j, k), averaged over frames, with NaN and inf as they are.

        Raises
        ------
        UserError
            If the file is damaged.
        """
        raw = self.read_raw()
        with np.errstate(over="ignore", invalid="ignore"):
            data = _mean_frame(raw.reshape(*self.grid.shape, -1, order="F"))
            if self.layout.slope != 1:
                data *= np.float32(self.layout.slope)
            if self.layout.inter != 0:
                data += np.float32(self.layout.inter)
        return data

    def read_raw(self) -> NDArray[Any]:
        """Read the stored values without scaling, of the file's own shape and type (Fortran order).

        Raises
        ------
        UserError
            If the file is damaged.
        """
        layout = self.layout
        with readable(self.path):
            content = _read_bytes(layout.path)
            if len(content) < layout.offset + layout.n_bytes:
                raise _truncated(layout, len(content))
            raw: NDArray[Any] = np.ndarray(
                layout.shape, layout.dtype, content, layout.offset, order="F"
            )
        return raw


def open_scan(path: str | Path) -> Scan:
    """Read and check the header of a scan; its values stay on disk.

    Parameters
    ----------
    path : str or Path
        NIfTI-1 or -2, MGH/MGZ, or either file of an Analyze or NIfTI pair.

    Raises
    ------
    UserError
        If the file is missing, damaged, of another kind than its extension says, not a 3D or 4D
        volume of plain numbers, or has no usable voxel size or position.
    """
    path = checked_name(Path(path))
    check_kind(path)
    with readable(path):
        image = _open_image(image_of_pair(path))
        layout = _layout_of(image, path)
        _check_stored_spacing(image, path)
        affine = np.asarray(image.affine, dtype=np.float64)
        _check_affine(affine, path)
    shape, frames = _spatial_shape(layout.shape, path)
    _check_dtype(layout.dtype, path)
    _check_size(layout)
    grid = Grid(shape, affine)
    notes = _notes(image.header, grid, frames)
    return Scan(path, scan_name(path), grid, layout.dtype, frames, notes, image.header, layout)


def _open_image(path: Path) -> Any:
    if path.suffix.lower() != ".mgh":
        return nib.load(path, mmap=False)
    with path.open("rb") as file:  # nibabel would leave it open
        holder = nib.fileholders.FileHolder(str(path), file)
        return nib.MGHImage.from_file_map({"image": holder})


def _read_bytes(path: Path) -> bytes:
    # Read whole, not streamed: that is faster, and checks gzip's checksum at the end of the file.
    content = path.read_bytes()
    return gzip.decompress(content) if path.name.lower().endswith("gz") else content


def _mean_frame(frames: NDArray[Any]) -> NDArray[np.float32]:
    """Average over the last axis without a float64 (or float32) copy of all frames."""
    total = frames[..., 0].astype(np.float32)
    for frame in range(1, frames.shape[-1]):
        np.add(total, frames[..., frame], out=total, casting="same_kind")
    if frames.shape[-1] > 1:
        total /= np.float32(frames.shape[-1])
    return total


def _replace_non_finite(
    data: NDArray[np.float32], path: Path
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    if np.isfinite(data.min()) and np.isfinite(data.max()):  # min and max pass NaN on
        return data, ()
    finite = np.isfinite(data)
    n_finite = int(np.count_nonzero(finite))
    if n_finite == 0:
        raise UserError(f"{path.name} has no finite value, only NaN or inf.", COPY_AGAIN)
    low, high = data[finite].min(), data[finite].max()
    np.nan_to_num(data, copy=False, nan=low, posinf=high, neginf=low)
    return data, (f"{data.size - n_finite} values were NaN or inf and were replaced",)


def _layout_of(image: Any, path: Path) -> Layout:
    proxy: Any = getattr(image, "dataobj", None)
    if not hasattr(image, "affine") or not hasattr(proxy, "offset"):
        raise UserError(f"{path.name} holds no volume ({type(image).__name__}).", CONVERT)
    data_path = Path(image.file_map["image"].filename)
    if not data_path.exists():
        raise missing_file(data_path)
    shape = tuple(int(n) for n in proxy.shape)
    return Layout(
        data_path, int(proxy.offset), shape, proxy.dtype, float(proxy.slope), float(proxy.inter)
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
        raise UserError(f"{path.name} is a colour (RGB) picture, not a scan.", hint)
    if dtype.kind not in "iuf":
        raise UserError(f"{path.name} holds {dtype.name} values, not plain numbers.", hint)


def _check_stored_spacing(image: Any, path: Path) -> None:
    """Look for voxel sizes of zero or NaN as stored: nibabel takes 1 mm for zero without a word."""
    header = image.header
    if not isinstance(header, nib.analyze.AnalyzeHeader):  # the base of NIfTI; MGH is another
        return
    if isinstance(header, nib.Nifti1Header) and header["sform_code"] > 0:
        return  # the affine does not come from the voxel sizes
    file_map = image.file_map
    holder = file_map.get("header", file_map["image"])
    with nib.openers.ImageOpener(holder.filename) as file:
        stored = type(header).from_fileobj(file, check=False)["pixdim"][1:4]
    if not np.isfinite(stored).all() or (stored == 0).any():
        raise _bad_spacing(stored, path)


def _bad_spacing(spacing: NDArray[Any], path: Path) -> UserError:
    size = " x ".join(f"{s:.3g}" for s in spacing)
    return UserError(f"{path.name} has a voxel size of zero or NaN ({size} mm).", _CORRECT)


def _check_affine(affine: NDArray[np.float64], path: Path) -> None:
    if not np.isfinite(affine).all():
        raise UserError(f"{path.name} has NaN or inf in its position (affine).", _CORRECT)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if (spacing < 1e-6).any():
        raise _bad_spacing(spacing, path)
    if abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
        raise UserError(f"{path.name} has a singular affine: its axes lie in a plane.", _CORRECT)


def _check_size(layout: Layout) -> None:
    """Find a truncated file before it is read, where no compression hides the size."""
    if layout.path.name.lower().endswith("gz"):
        return
    with readable(layout.path):
        n_bytes = layout.path.stat().st_size
    if n_bytes < layout.offset + layout.n_bytes:
        raise _truncated(layout, n_bytes)


def _truncated(layout: Layout, n_bytes: int) -> UserError:
    return UserError(
        f"{layout.path.name} is truncated: {max(n_bytes - layout.offset, 0)} bytes of values, "
        f"{layout.n_bytes} expected.",
        COPY_AGAIN,
    )


def _notes(header: Any, grid: Grid, frames: int) -> tuple[str, ...]:
    notes = []
    if frames > 1:
        notes.append(f"4D: mean of {frames} frames")
    if grid.obliquity_deg > 0.5:
        notes.append(f"{grid.obliquity_deg:.0f} degrees oblique")
    has_codes = hasattr(header, "keys") and "sform_code" in header
    if has_codes and not (header["sform_code"] or header["qform_code"]):
        notes.append("no orientation in its header: check left and right")
    if isinstance(header, nib.analyze.AnalyzeHeader) and not has_codes:
        notes.append("Analyze format stores no orientation: check left and right")
    return tuple(notes)
