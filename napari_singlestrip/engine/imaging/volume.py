"""Reading scans, writing masks and brains: the public functions for images on disk.

`Grid` and `Volume` are defined in ``grid``, finding files in ``scan_files``, reading in ``scan``.
Output is written on the scan's own grid, with its shape, affine and header codes, and replaces an
existing file atomically.
"""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging import freesurfer
from napari_singlestrip.engine.imaging.grid import Grid, Volume, reorient
from napari_singlestrip.engine.imaging.scan import Scan, open_scan
from napari_singlestrip.engine.imaging.scan_files import SCAN_EXTENSIONS
from napari_singlestrip.engine.imaging.scan_search import MADE_FOR, SIGNATURE, find_scans
from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import atomic_path

__all__ = [
    "SCAN_EXTENSIONS", "WRITTEN", "Grid", "Scan", "Volume", "find_scans", "load_marks", "load_mask",
    "mask_image", "open_scan", "reorient", "save_brain", "save_map", "save_marks", "save_mask",
]  # fmt: skip

# Only the fields of the position: others may hold names, dates or an old display range.
_POSITION_FIELDS = (
    "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y",
    "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units",
)  # fmt: skip
WRITTEN = (".nii.gz", ".nii", *freesurfer.EXTENSIONS)
_FAST_COMPRESSION = 1  # level 6 takes ten times as long and saves a few per cent


def load_mask(path: str | Path, like: Scan, *, check: bool = True) -> NDArray[np.bool_]:
    """Read a mask that belongs to a scan.

    A file with the same voxels in another axis order or direction is reoriented. If the scan's
    header contradicts itself, the program that wrote the mask may have read it differently: such a
    mask is accepted on its grid, too.

    Parameters
    ----------
    path : str or Path
        A mask or label file; every value above 0.5 is brain.
    like : Scan
        The scan it was painted on.
    check : bool
        Refuse a mask that marks nothing or everything.

    Returns
    -------
    ndarray of bool, shape (i, j, k)
        On the scan's grid.

    Raises
    ------
    UserError
        If the file cannot be read, lies on another grid, has several frames or values that are not
        finite, or marks nothing or everything.
    """
    scan = open_scan(path)
    if scan.frames > 1:
        raise UserError(
            f"The mask {scan.path.name} has {scan.frames} frames.", "Save it as one 3D volume."
        )
    _check_could_fit(scan, like)
    whole = scan.layout.dtype.kind in "iu" and (scan.layout.slope, scan.layout.inter) == (1, 0)
    # Whole numbers are compared as they are stored: as floats they take four times the memory.
    values = scan.read_raw().reshape(scan.grid.shape, order="F") if whole else scan.read_float()
    if not whole and not np.isfinite(values.sum(dtype=np.float64)):
        raise UserError(
            f"The mask {scan.path.name} has NaN or inf values.", "Save it with 0 outside, 1 inside."
        )
    mask: NDArray[np.bool_] = _on_grid_of(values, scan, like) > (0 if whole else 0.5)
    if check:
        _check_two_sides(mask, scan.path)
    return mask


def save_mask(
    path: str | Path, mask: NDArray[Any], like: Scan, fingerprint: str = ""
) -> None:
    """Write a mask as a uint8 file (0 outside, 1 inside) on the scan's own grid.

    Parameters
    ----------
    path : str or Path
        Ends in .nii, .nii.gz, .mgz or .mgh; an existing file is replaced atomically.
    mask : ndarray, shape (i, j, k)
        True or non-zero inside.
    like : Scan
        Gives shape, affine, sform and qform codes and units.
    fingerprint : str
        Of the scan's file; stored in the header, which ties the mask to the scan.

    Raises
    ------
    UserError
        If the name has another extension or is that of the scan, or the file cannot be written.
    ValueError
        If the mask has another shape than the scan.
    """
    _write(path, (np.asarray(mask) != 0).astype(np.uint8), like, fingerprint=fingerprint)


def mask_image(mask: NDArray[Any], like: Scan) -> Any:
    """Make an image of a mask in memory, as `save_mask` writes it.

    Parameters
    ----------
    mask : ndarray, shape (i, j, k)
        True or non-zero inside.
    like : Scan
        Gives shape, affine, sform and qform codes and units. If nibabel finds no usable position in
        its header, those of the grid are written.

    Returns
    -------
    nibabel.Nifti1Image or nibabel.Nifti2Image
        uint8, 0 outside and 1 inside.

    Raises
    ------
    ValueError
        If the mask has another shape than the scan.
    """
    values = (np.asarray(mask) != 0).astype(np.uint8)
    _check_shape(values.shape, like)
    header = _header_for(like, values, 1.0, 0.0)
    header["descrip"] = SIGNATURE
    place = header.get_best_affine()[:3, :3]
    if not np.isfinite(place).all() or np.linalg.matrix_rank(place) < 3:  # nibabel refuses these
        _set_position(header, like.grid)
    kind: Any = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    return kind(values, header.get_best_affine(), header)


def save_map(path: str | Path, values: NDArray[Any], like: Scan) -> None:
    """Write a map of numbers, such as a heat map, as float32 NIfTI on the scan's own grid.

    Parameters, errors : as `save_mask`.
    """
    _write(path, np.asarray(values, dtype=np.float32), like)


def save_marks(path: str | Path, marks: NDArray[np.uint8], like: Scan) -> None:
    """Write marks of a few kinds (0 for none) as uint8 NIfTI on the scan's own grid.

    Parameters, errors : as `save_mask`.
    """
    _write(path, np.asarray(marks, dtype=np.uint8), like)


def load_marks(path: str | Path, like: Scan) -> NDArray[np.uint8]:
    """Read what `save_marks` wrote for a scan.

    Raises
    ------
    UserError
        If the file cannot be read, or lies on another grid.
    """
    stored = open_scan(path)
    _check_could_fit(stored, like)
    raw = stored.read_raw()
    if raw.dtype != np.uint8 or raw.ndim != 3:
        raise UserError(f"{stored.path} is damaged.", "Delete it: ranking writes it again.")
    marks: NDArray[np.uint8] = _on_grid_of(raw, stored, like)
    return marks


def save_brain(
    path: str | Path, mask: NDArray[Any], scan: Scan, fingerprint: str = ""
) -> None:
    """Write the scan with everything outside the mask set to zero, all frames of a 4D scan.

    Data type, scaling and the values inside are those of the scan. Only if its scaling cannot
    express zero is the file written as scaled float32.

    Parameters, errors : as `save_mask`; also if the scan's file is damaged.
    """
    _check_target(Path(path), scan)
    raw = scan.read_raw()
    inside = np.asarray(mask, dtype=bool)
    _check_shape(inside.shape, scan)
    inside = inside.reshape(inside.shape + (1,) * (raw.ndim - 3))
    slope, inter = scan.layout.slope, scan.layout.inter
    zero = _stored_zero(raw.dtype, slope, inter)
    if zero is None:
        raw = raw.astype(np.float32) * np.float32(slope) + np.float32(inter)
        zero, slope, inter = np.float32(0), 1.0, 0.0
    _write(path, np.where(inside, raw, zero), scan, slope, inter, fingerprint)


def _stored_zero(dtype: np.dtype[Any], slope: float, inter: float) -> Any | None:
    """Return the stored value that scaling turns into exactly 0, if `dtype` has one."""
    exact = -inter / slope
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        if exact != round(exact) or not info.min <= exact <= info.max:
            return None
        exact = round(exact)
    zero = dtype.type(exact)
    return zero if float(zero) * slope + inter == 0 else None


def _write(
    path: str | Path,
    values: NDArray[Any],
    like: Scan,
    slope: float = 1.0,
    inter: float = 0.0,
    fingerprint: str = "",
) -> None:
    """Write stored values as they are: nibabel's own writer would choose a new scaling."""
    path = Path(path)
    _check_target(path, like)
    _check_shape(values.shape[:3], like)
    name = path.name.lower()
    if name.endswith(freesurfer.EXTENSIONS):
        content = freesurfer.mgh_content(values, like, slope, inter, name.endswith("z"))
    else:
        content = _nifti_content(values, like, slope, inter, fingerprint, name.endswith(".gz"))
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _nifti_content(
    values: NDArray[Any], like: Scan, slope: float, inter: float, fingerprint: str, packed: bool
) -> bytes:
    header = _header_for(like, values, slope, inter)
    header["descrip"] = MADE_FOR + fingerprint.encode() if fingerprint else SIGNATURE
    # Compressed in memory, for a single write, and without a time stamp, so that files are
    # reproducible.
    content: bytes = (
        header.binaryblock + bytes(4) + values.astype(header.get_data_dtype()).tobytes("F")
    )
    return gzip.compress(content, _FAST_COMPRESSION, mtime=0) if packed else content


def _header_for(like: Scan, values: NDArray[Any], slope: float, inter: float) -> Any:
    is_nifti = isinstance(like.header, nib.Nifti1Header)  # NIfTI-2 and pairs are subclasses
    needs_2 = isinstance(like.header, nib.Nifti2Header) or max(values.shape) > 32767
    header = nib.Nifti2Header() if needs_2 else nib.Nifti1Header()
    header.set_data_dtype(values.dtype.newbyteorder("="))
    header.set_data_shape(values.shape)
    if is_nifti:
        for name in _POSITION_FIELDS:
            header[name] = like.header[name]
        header["pixdim"][: values.ndim + 1] = like.header["pixdim"][: values.ndim + 1]
        _shorten_quaternion(header)
    else:
        _set_position(header, like.grid)
    header["scl_slope"], header["scl_inter"] = slope, inter
    header["vox_offset"] = header.sizeof_hdr + 4
    return header


def _set_position(header: Any, grid: Grid) -> None:
    header.set_xyzt_units("mm", "sec")
    header.set_qform(grid.affine, code="scanner")
    header.set_sform(grid.affine, code="scanner")


def _shorten_quaternion(header: Any) -> None:
    """Normalise a quaternion that rounding made longer than nibabel accepts."""
    quaternion = np.array([header[f"quatern_{name}"] for name in "bcd"])
    rounding = float(np.finfo(quaternion.dtype).eps)
    length = math.hypot(*quaternion.tolist())
    if math.isfinite(length) and length * length - 1 >= 3 * rounding:  # nibabel's limit
        for name, value in zip("bcd", quaternion / length * (1 - rounding), strict=True):
            header[f"quatern_{name}"] = value


def _check_target(path: Path, like: Scan) -> None:
    if not path.name.lower().endswith(WRITTEN):
        raise UserError(f"Cannot write {path.name}.", "Give it a name that ends in .nii.gz.")
    if path.resolve() in (like.path.resolve(), like.layout.path.resolve()):
        raise UserError(f"{path} is the scan itself.", "Choose another name, or another folder.")


def _check_shape(shape: tuple[int, ...], like: Scan) -> None:
    if tuple(shape) != like.grid.shape:
        raise ValueError(f"shape {shape} on the grid of {like.name}, {like.grid.shape}")


def _check_could_fit(mask: Scan, like: Scan) -> None:
    """Refuse a mask on another grid before its values are read."""
    _on_grid_of(np.broadcast_to(np.False_, mask.grid.shape), mask, like)


def _on_grid_of(values: NDArray[Any], mask: Scan, like: Scan) -> NDArray[Any]:
    """View the values of a mask on the grid of its scan."""
    if mask.grid.same_as(like.grid):
        return values
    turned = reorient(values, mask.grid, like.grid)
    if turned is not None:
        return turned
    if any(a.same_as(b) for a in mask.readings for b in like.readings):
        return values
    raise _another_grid(mask, like)


def _another_grid(mask: Scan, like: Scan) -> UserError:
    if sorted(mask.grid.shape) == sorted(like.grid.shape):
        position = np.round(mask.grid.affine[:3, 3], 1).tolist()
        expected = np.round(like.grid.affine[:3, 3], 1).tolist()
        difference = f"{mask.grid}, first voxel at {position} mm; the scan has {like.grid}, "
        difference += f"at {expected} mm"
    else:
        difference = f"{mask.grid}; the scan has {like.grid}"
    return UserError(
        f"The mask {mask.path.name} is on another grid than {like.path.name}: {difference}.",
        "Paint it on this scan, or resample it to the scan's grid first.",
    )


def _check_two_sides(mask: NDArray[np.bool_], path: Path) -> None:
    if not mask.any():
        raise UserError(f"The mask {path.name} is empty: nothing is marked.", "Paint the brain.")
    if mask.all():
        raise UserError(
            f"The mask {path.name} marks every voxel, also outside the brain.",
            "Erase what is not brain; the file should be 0 outside and 1 inside.",
        )
