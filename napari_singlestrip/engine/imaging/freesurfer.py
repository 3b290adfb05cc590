"""Writing FreeSurfer files (.mgz and .mgh); they are read like all other scans."""

from __future__ import annotations

import gzip
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.scan import Scan

EXTENSIONS = (".mgz", ".mgh")
# MGH supports these types, and no scaling; other integers use the next larger type.
_TYPES = {
    "uint8": np.uint8, "int8": np.int16, "int16": np.int16, "uint16": np.int32, "int32": np.int32,
}  # fmt: skip


def mgh_content(
    values: NDArray[Any], like: Scan, slope: float, inter: float, compressed: bool
) -> bytes:
    """Make the content of a file with the voxels of a scan, in FreeSurfer's layout.

    Parameters
    ----------
    values : ndarray
        As they are stored in the scan's own format.
    like : Scan
        Gives the position.
    slope, inter : float
        Scaling from the stored values to the scan's intensities.
    compressed : bool
        Whether it is .mgz.
    """
    if values.shape[3:] == (1,):  # nibabel's header cannot express it
        values = values[..., 0]
    kind: Any = _TYPES.get(values.dtype.newbyteorder("=").name, np.float32)
    if (slope, inter) != (1.0, 0.0):
        values, kind = values.astype(np.float64) * slope + inter, np.float32
    image = nib.MGHImage(values.astype(kind), like.grid.affine)
    image.set_data_dtype(kind)
    content: bytes = image.to_bytes()
    return gzip.compress(content, 1, mtime=0) if compressed else content
