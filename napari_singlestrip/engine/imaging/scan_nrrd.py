"""NRRD files, as 3D Slicer writes them: header by pynrrd, values read like those of all scans.

They are treated as NIfTI files with the same position, and results for them are written as NIfTI.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.scan_files import readable
from napari_singlestrip.engine.imaging.scan_header import Layout, nifti_header
from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import open_regular

EXTENSION = ".nrrd"
MAX_HEADER_BYTES = 2**20
_SAVE_AGAIN = "Save it as NIfTI with the program that made it (3D Slicer: Save, .nii.gz)."
# Type names of 3D Slicer and teem.
_TYPES = {
    "int8": ("signed char", "int8", "int8_t"),
    "uint8": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "int16": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "uint16": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "int32": ("int", "signed int", "int32", "int32_t"),
    "uint32": ("uint", "unsigned int", "uint32", "uint32_t"),
    "float32": ("float",), "float64": ("double",),
}  # fmt: skip
# Signs of the first two spatial axes, to right-anterior-superior.
_SPACES = {
    "left-posterior-superior": (-1, -1), "lps": (-1, -1),
    "right-anterior-superior": (1, 1), "ras": (1, 1),
    "left-anterior-superior": (-1, 1), "las": (-1, 1),
}  # fmt: skip


def read_nrrd_header(path: Path) -> tuple[Any, Layout]:
    """Read the header of an NRRD file.

    Returns
    -------
    header
        nibabel's, of a NIfTI file with the same voxels at the same position.
    Layout
        Not yet compared with the file's size.

    Raises
    ------
    UserError
        If pynrrd is missing, or if the file is not NRRD, has detached data, an unsupported
        encoding, several segments, several values per voxel or no position.
    """
    fields, offset = _fields(path)
    _check_one_segment(path, fields)
    if "data file" in fields or "datafile" in fields:
        raise _cannot(path, "keeps its values in another file")
    encoding = str(fields.get("encoding", "")).lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise _cannot(path, f"has the encoding {encoding or 'none'}, not raw or gzip")
    shape = tuple(int(n) for n in fields["sizes"])
    packed = encoding != "raw"
    layout = Layout(
        path, 0 if packed else offset, shape, _dtype(path, fields), 1.0, 0.0, packed,
        offset if packed else 0,
    )
    return nifti_header(_affine(path, fields, len(shape)), "scanner"), layout


def _fields(path: Path) -> tuple[dict[str, Any], int]:
    """Fields of the header, and the offset of its end."""
    try:
        import nrrd
    except ImportError as error:
        raise UserError(
            f"{path.name} is an NRRD file, and pynrrd, which reads those, is not installed.",
            'Install it: pip install "napari-singlestrip[nrrd]"',
        ) from error
    with readable(path), open_regular(path) as file:
        start = file.read(MAX_HEADER_BYTES)
    ends = [at + len(end) for end in (b"\n\n", b"\r\n\r\n") if (at := start.find(end)) >= 0]
    if not start.startswith(b"NRRD") or not ends:
        raise _cannot(path, "is not an NRRD file, or damaged")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # duplicate fields: the last one counts
            fields: dict[str, Any] = dict(nrrd.read_header(io.BytesIO(start[: min(ends)])))
        _ = fields["sizes"], fields["type"]
    except (nrrd.NRRDError, ValueError, LookupError, TypeError, OverflowError) as error:
        raise _cannot(path, "has a header that cannot be read") from error
    return fields, min(ends)


def _check_one_segment(path: Path, fields: dict[str, Any]) -> None:
    """Refuse a segmentation of several things: which of them is the brain, no file says."""
    names = [
        str(fields.get(f"{key.removesuffix('_ID')}_Name", key))
        for key in sorted(fields) if key.startswith("Segment") and key.endswith("_ID")
    ]
    if len(names) > 1:
        raise UserError(
            f"{path.name} has {len(names)} segments: {', '.join(names)}.",
            "Export that of the brain alone (3D Slicer: Segmentations, Export to files).",
        )


def _dtype(path: Path, fields: dict[str, Any]) -> np.dtype[Any]:
    said = str(fields["type"]).lower()
    kind = next((kind for kind, names in _TYPES.items() if said in names), None)
    if kind is None:
        raise _cannot(path, f"holds values of the type {said}")
    order = ">" if str(fields.get("endian", "little")).lower() == "big" else "<"
    return np.dtype(kind).newbyteorder(order)  # type: ignore[arg-type]


def _affine(path: Path, fields: dict[str, Any], n_axes: int) -> NDArray[np.float64]:
    signs = _SPACES.get(str(fields.get("space", "")).lower())
    directions, origin = fields.get("space directions"), fields.get("space origin")
    if signs is None or directions is None or origin is None:
        raise _cannot(path, "has no position in space")
    try:
        rows = np.array(
            [[np.nan] * 3 if row is None else row for row in directions], dtype=np.float64
        )
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = rows[:3].T, np.asarray(origin, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise _cannot(path, "has no position in space") from error
    if rows.shape != (n_axes, 3) or not np.isfinite(affine).all():
        raise _cannot(path, "has several values per voxel")
    affine[0] *= signs[0]
    affine[1] *= signs[1]
    return affine


def _cannot(path: Path, why: str) -> UserError:
    return UserError(f"{path.name} {why}.", _SAVE_AGAIN)
