"""The header of a scan: its file format, and the layout of its values.

The header's fields are read as stored: nibabel would refuse some files that FSL and ITK read,
change others silently, and read all extensions, of which a file can hold millions.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.scan_bytes import COPY_AGAIN, GZIP, Stretch, read_start
from napari_singlestrip.engine.imaging.scan_files import files_of, readable
from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import open_regular

_ENOUGH = 1024  # bytes: every header is shorter
_NIFTI_1, _NIFTI_2, _MGH = 348, 540, 284  # bytes of a header; MGH's with its padding
_EXTENSION_FLAG = 4  # bytes that follow the header of a .nii file


@dataclass(frozen=True)
class Layout:
    """Layout of the values in the data file."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    slope: float
    inter: float
    is_gzip: bool = False
    stream_at: int = 0
    has_footer: bool = False

    @property
    def n_bytes(self) -> int:
        """Size of the values in the (uncompressed) file."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def stretch(self) -> Stretch:
        """Byte range of the values."""
        return Stretch(
            self.path, self.offset, self.n_bytes, self.is_gzip, self.stream_at, self.has_footer
        )


def read_header(path: Path) -> tuple[Any, Layout, tuple[str, ...]]:
    """Read the header of a scan.

    Parameters
    ----------
    path : Path
        Any file that `scan_files.checked_name` accepts.

    Returns
    -------
    header
        nibabel's, with the fields as stored.
    Layout
        Not yet compared with the file's size.
    tuple of str
        What a person should know.

    Raises
    ------
    UserError
        If a file is missing, or its content contradicts its extension.
    """
    header_path, data_path = files_of(path)
    with readable(header_path):
        start, is_gzip = read_start(header_path, _ENOUGH)
    if not start:
        raise UserError(f"{header_path.name} is an empty file of 0 bytes.", COPY_AGAIN)
    is_pair = header_path != data_path
    header = _parse(start, path, is_pair)
    layout = _layout(header, path, data_path, is_gzip)
    if is_pair:
        layout, notes = _offset_of_pair(replace(layout, is_gzip=_data_are_gzip(layout)))
    else:
        layout, notes = _offset_of_single(layout, start)
    if layout.is_gzip != data_path.name.lower().endswith("z"):  # .nii.gz, .mgz
        what = "compressed with gzip" if layout.is_gzip else "not compressed"
        notes += (f"{what}, against its extension: rename it for other programs",)
    return header, layout, notes


def _parse(start: bytes, path: Path, is_pair: bool) -> Any:
    """Parse the first bytes as nibabel's header, without its checks."""
    kind: Any = nib.freesurfer.mghformat.MGHHeader
    if path.suffix.lower() in (".mgh", ".mgz"):
        if start[:4] == b"\0\0\0\1" and len(start) >= _MGH:
            return kind(start[:_MGH], check=False)
        raise _no_header(path, "an MGH")
    if start[4:7] in (b"n+2", b"ni2") and len(start) >= _NIFTI_2:
        kind = nib.nifti2.Nifti2PairHeader if is_pair else nib.Nifti2Header
        return kind(start[:_NIFTI_2], _byte_order(start, _NIFTI_2, 16, "i8", path), check=False)
    if len(start) < _NIFTI_1:
        raise _no_header(path, "a NIfTI")
    order = _byte_order(start, _NIFTI_1, 40, "i2", path)
    if start[344:347] in (b"n+1", b"ni1"):
        kind = nib.nifti1.Nifti1PairHeader if is_pair else nib.Nifti1Header
        return kind(start[:_NIFTI_1], order, check=False)
    if is_pair:
        return nib.spm2analyze.Spm2AnalyzeHeader(start[:_NIFTI_1], order, check=False)
    raise _no_header(path, "a NIfTI")


def _byte_order(start: bytes, size: int, dim_at: int, dim_type: str, path: Path) -> str:
    """Byte order in which the header's own size, or else its number of axes, makes sense."""
    for order in "<>":
        if np.frombuffer(start, f"{order}i4", 1)[0] == size:
            return order
    for order in "<>":
        if 1 <= np.frombuffer(start, order + dim_type, 1, dim_at)[0] <= 7:
            return order
    raise _no_header(path, "a NIfTI")


def _no_header(path: Path, kind: str) -> UserError:
    return UserError(
        f"{path.name} is damaged, or not what its extension says: it does not begin with {kind} "
        "header.",
        COPY_AGAIN,
    )


def _layout(header: Any, path: Path, data_path: Path, is_gzip: bool) -> Layout:
    try:
        dtype = header.get_data_dtype()
    except KeyError as error:
        code = int(header["type" if "type" in header else "datatype"])
        raise UserError(
            f"{path.name} holds values of an unknown type (code {code}).", COPY_AGAIN
        ) from error
    if isinstance(header, nib.freesurfer.mghformat.MGHHeader):
        shape = tuple(int(n) for n in header["dims"])
        # Behind the values stand the sequence's times, and in FreeSurfer's files tags.
        big_endian = dtype.newbyteorder(">")
        return Layout(data_path, _MGH, shape, big_endian, 1.0, 0.0, is_gzip, has_footer=True)
    slope, inter = _scaling(header)
    offset = float(header["vox_offset"])
    start = int(offset) if math.isfinite(offset) else -1
    return Layout(data_path, start, _shape(header, path), dtype, slope, inter, is_gzip)


def _shape(header: Any, path: Path) -> tuple[int, ...]:
    n = int(header["dim"][0])
    if not 1 <= n <= 7:
        raise UserError(
            f"{path.name} is damaged: its header says that it has {n} dimensions.", COPY_AGAIN
        )
    shape = [int(m) for m in header["dim"][1 : n + 1]]
    # Some programs write 0 for a missing axis; FSL and ITK read it as 1.
    return (*shape[:3], *(max(m, 1) for m in shape[3:]))


def _scaling(header: Any) -> tuple[float, float]:
    """Slope and intercept; a slope that is 0 or not finite means that there is no scaling."""
    if not isinstance(header, nib.Nifti1Header):
        slope, inter = header.get_slope_inter()
    else:
        slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope is None or slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0
    return slope, inter if inter is not None and math.isfinite(inter) else 0.0


def _data_are_gzip(layout: Layout) -> bool:
    """Whether the values of a pair are compressed; raw values may begin like gzip by chance."""
    path = layout.path
    with readable(path), open_regular(path) as file:
        looks_so = file.read(2) == GZIP
        n_bytes = os.fstat(file.fileno()).st_size
    fits = n_bytes in (layout.n_bytes, layout.offset + layout.n_bytes)
    return looks_so and (path.name.lower().endswith("z") or not fits)


def _offset_of_single(layout: Layout, start: bytes) -> tuple[Layout, tuple[str, ...]]:
    """Correct the offset of a .nii file: values begin after the header."""
    if layout.path.suffix.lower() in (".mgh", ".mgz"):
        return layout, ()
    size = _NIFTI_2 if start[4:7] in (b"n+2", b"ni2") else _NIFTI_1
    usual = size + _EXTENSION_FLAG
    if layout.offset >= usual:
        return layout, ()
    n_bytes = None if layout.is_gzip else layout.path.stat().st_size - layout.n_bytes
    if n_bytes == size or (layout.offset == size and n_bytes != usual):
        return replace(layout, offset=size), ()
    note = f"its header says that values begin at byte {layout.offset}: byte {usual} taken"
    return replace(layout, offset=usual), (note,)


def _offset_of_pair(layout: Layout) -> tuple[Layout, tuple[str, ...]]:
    """Correct the offset of a .img file: 0 if its size is exactly that of its values."""
    if layout.offset and not layout.is_gzip and layout.path.stat().st_size == layout.n_bytes:
        note = f"its header says that values begin at byte {layout.offset}: byte 0 taken"
        return replace(layout, offset=0), (note,)
    return layout, ()


def nifti_header(affine: NDArray[np.float64], code: str) -> Any:
    """Return the NIfTI header for an image without one: units of mm, and its position.

    Parameters
    ----------
    affine : (4, 4) float64
        Voxels to RAS mm.
    code : {"scanner", "aligned"}
        NIfTI's name of the space.
    """
    header = nib.Nifti1Header()
    header.set_xyzt_units("mm")
    with np.errstate(over="ignore"):  # values that overflow are refused later
        header.set_sform(affine, code=code)
        header["pixdim"][1:4] = nib.affines.voxel_sizes(affine)
    return header
