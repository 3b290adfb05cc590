"""Scans in memory: nibabel images and arrays, checked and read as files are."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.scan import Scan, check_header
from napari_singlestrip.engine.imaging.scan_bytes import check_memory
from napari_singlestrip.engine.imaging.scan_files import readable
from napari_singlestrip.engine.imaging.scan_header import Layout, nifti_header
from napari_singlestrip.errors import UserError

_AFFINE = "Give the 4 x 4 matrix that maps a voxel (i, j, k, 1) to its position in RAS mm."


@dataclass(frozen=True, eq=False)
class ScanInMemory(Scan):
    """A scan that was not opened from a file by us.

    Parameters
    ----------
    source : ndarray or nibabel.arrayproxy.ArrayProxy
        Its values, or a proxy for them; never changed.
    """

    source: Any = field(default=None, repr=False)

    def _read(self) -> tuple[NDArray[Any], tuple[str, ...]]:
        is_elsewhere = isinstance(self.source, ArrayProxy)
        as_float = math.prod(self.grid.shape) * np.dtype(np.float32).itemsize
        check_memory(self.path, as_float + is_elsewhere * self.layout.n_bytes)
        with readable(self.path):
            # Scaled as for files: nibabel's scaling rounds differently.
            values = self.source.get_unscaled() if is_elsewhere else self.source
        # In the memory order of files, so that sums are rounded identically.
        return np.asfortranarray(values), ()


def scan_of_image(image: Any) -> Scan:
    """Make a scan from a nibabel image, as if it had been saved and opened.

    Parameters
    ----------
    image : nibabel.spatialimages.SpatialImage
        3D or 4D, in any orientation; never changed.

    Raises
    ------
    UserError
        As `open_scan`.
    """
    path, source, slope, inter = Path(image.get_filename() or "the image"), image.dataobj, 1.0, 0.0
    with readable(path):
        if type(source) is ArrayProxy:
            slope, inter = float(source.slope), float(source.inter)
        else:  # subclasses scale in ways of their own
            source = np.asarray(source)
        is_known = isinstance(image, nib.Nifti1Pair | nib.MGHImage)
        header = _saved_header(image) if is_known else nifti_header(image.affine, "aligned")
    scan = _scan(path, source, header, slope, inter)
    return scan if is_known else replace(scan, header=image.header)  # results are as from a file


def scan_of_array(array: Any, affine: Any) -> Scan:
    """Make a scan from an array, as if it had been saved as NIfTI and opened.

    Parameters
    ----------
    array : array, shape (i, j, k) or (i, j, k, frames)
        Never changed.
    affine : array, shape (4, 4)
        Voxel index to RAS mm.

    Raises
    ------
    UserError
        As `open_scan`, and if `array` is no array or `affine` no affine.
    """
    return _scan(Path("the array"), _as_array(array), nifti_header(_as_affine(affine), "aligned"))


def _scan(path: Path, source: Any, header: Any, slope: float = 1.0, inter: float = 0.0) -> Scan:
    layout = Layout(path, 0, tuple(source.shape), source.dtype, slope, inter)
    return ScanInMemory(**vars(check_header(path, header, layout)), source=source)


def _saved_header(image: Any) -> Any:
    """A copy of the header with which the image would be saved."""
    stored = image.header.get_best_affine()
    if image.affine is None or np.array_equal(image.affine, stored, equal_nan=True):
        return image.header.copy()
    return type(image)(image.dataobj, image.affine, image.header).header


def _as_array(array: Any) -> NDArray[Any]:
    try:
        return np.asarray(array)
    except (TypeError, ValueError, RuntimeError) as error:  # such as a tensor on a graphics card
        raise UserError(
            f"This {type(array).__name__} is no array: {error}.", "Give a numpy array."
        ) from error


def _as_affine(affine: Any) -> NDArray[np.float64]:
    try:
        matrix = np.asarray(affine, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"The affine is no matrix of numbers: {error}.", _AFFINE) from error
    if matrix.shape != (4, 4):
        raise UserError(f"The affine has the shape {matrix.shape}, not (4, 4).", _AFFINE)
    if not np.array_equal(matrix[3], [0, 0, 0, 1]):
        raise UserError(
            f"The affine's last row is {matrix[3].tolist()}, not [0, 0, 0, 1].",
            f"{_AFFINE} Perhaps it is transposed.",
        )
    return matrix
