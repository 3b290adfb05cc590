"""Drafts: masks that are still being painted, saved after each stroke.

A draft is a file of packed bits: writing a whole head takes a few milliseconds, compared to half a
second for a compressed NIfTI file.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.errors import NotWritten, UserError
from napari_singlestrip.files.atomic import (
    atomic_path,
    open_bounded,
    read_text,
    refuse_links,
    write_text_atomic,
)
from napari_singlestrip.texts import printable

FOLDER = "drafts"
EXTENSION = ".npz"
MAX_BYTES = 256 * 2**20  # 2 billion voxels
MAX_SHAPE_BYTES = 1024
MARK = ".suggested"  # file ending: whose suggestion a draft started from
MAX_MARK_BYTES = 1024
# What zipfile and numpy raise for a damaged file.
DAMAGE = (
    ValueError, LookupError, TypeError, OSError, EOFError, OverflowError, RuntimeError,
    struct.error, zipfile.BadZipFile,
)  # fmt: skip


def draft_path(folder: Path, name: str) -> Path:
    """Return the path of a scan's draft, whether it exists or not."""
    return folder / FOLDER / (name + EXTENSION)


def save_draft(folder: Path, name: str, mask: NDArray[np.bool_]) -> None:
    """Write the draft of a scan's mask.

    Parameters
    ----------
    folder : Path
        The study folder.
    name : str
        Scan.
    mask : ndarray, shape (i, j, k)
        On the scan's grid; non-zero is brain.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    bits = np.packbits(np.asarray(mask, dtype=bool).ravel(order="F"))
    with atomic_path(draft_path(folder, name)) as temporary, temporary.open("wb") as file:
        np.savez(file, bits=bits, shape=np.asarray(mask.shape))


def load_draft(
    folder: Path, name: str, shape: tuple[int, int, int] | None = None
) -> NDArray[np.bool_] | None:
    """Read the draft of a scan's mask; None when there is none.

    Parameters
    ----------
    folder : Path
        The study folder.
    name : str
        Scan.
    shape : (i, j, k), optional
        Of the scan: a draft of another shape is ignored.

    Raises
    ------
    UserError
        If the file is damaged.
    """
    path = draft_path(folder, name)
    hint = "Delete it and paint again."
    try:
        with open_bounded(path, MAX_BYTES) as file:
            return _unpacked(file, shape)
    except FileNotFoundError:
        return None
    except UserError as error:
        raise UserError(error.what, hint) from error
    except DAMAGE as error:
        raise UserError(
            f"The unfinished mask {path} is damaged: {str(error)[:200]}.", hint
        ) from error


def _unpacked(file: BinaryIO, wanted: tuple[int, int, int] | None) -> NDArray[np.bool_] | None:
    with zipfile.ZipFile(file) as records:
        i, j, k = (int(n) for n in _array(records, "shape.npy", MAX_SHAPE_BYTES))
        if min(i, j, k) < 1:
            raise ValueError(f"its shape is {i} x {j} x {k}")
        if wanted is not None and wanted != (i, j, k):
            return None
        bits = _array(records, "bits.npy", MAX_BYTES)
    n_voxels = math.prod((i, j, k))
    if bits.dtype != np.uint8 or bits.size != math.ceil(n_voxels / 8):
        raise ValueError(f"{bits.size} bytes for {n_voxels} voxels")
    return np.unpackbits(bits, count=n_voxels).reshape((i, j, k), order="F") > 0


def _array(records: zipfile.ZipFile, name: str, max_bytes: int) -> NDArray[Any]:
    """Read an array of integers, with no more memory than the file has on disk."""
    record = records.getinfo(name)
    # Ours are not compressed; compressed data could expand a thousandfold.
    if record.compress_type != zipfile.ZIP_STORED or record.file_size > max_bytes:
        raise ValueError("it is compressed, or too large")
    content = records.read(record)
    header = io.BytesIO(content)
    if np.lib.format.read_magic(header) != (1, 0):
        raise ValueError("it is of another version")
    shape, _, dtype = np.lib.format.read_array_header_1_0(header)
    if dtype.kind not in "iu" or len(shape) != 1:
        raise ValueError(f"it holds {dtype} of shape {shape}")
    return np.frombuffer(content, dtype, shape[0], header.tell())


def remove_draft(folder: Path, name: str, *, undone: bool = False) -> None:
    """Remove the draft of a scan.

    Parameters
    ----------
    folder : Path
        The study folder.
    name : str
        Scan.
    undone : bool
        Whether it may be redone: whose suggestion it started from is kept.

    Raises
    ------
    NotWritten
        If the file exists and cannot be removed.
    UserError
        If the folder of drafts is a link out of the study.
    """
    path = draft_path(folder, name)
    refuse_links(path.parent)
    try:
        path.unlink(missing_ok=True)
        if not undone:
            _mark_path(folder, name).unlink(missing_ok=True)
    except OSError as error:
        raise NotWritten(
            f"Cannot remove {path}: {error.strerror or error}.",
            "The unfinished mask stays; change the permissions of its folder.",
        ) from error


def mark_suggested(folder: Path, name: str, by: str) -> None:
    """Keep beside the draft of a scan that it began as a suggestion, and whose.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    path = _mark_path(folder, name)
    path.parent.mkdir(exist_ok=True)
    write_text_atomic(path, by)


def suggested_by(folder: Path, name: str) -> str:
    """Who suggested the draft of a scan; empty when nobody did, or it is not known."""
    try:
        return printable(read_text(_mark_path(folder, name), MAX_MARK_BYTES)).strip()
    except (FileNotFoundError, UserError):
        return ""


def _mark_path(folder: Path, name: str) -> Path:
    return folder / FOLDER / f"{name}{MARK}"


def drafted(folder: Path) -> tuple[str, ...]:
    """Names of the scans that have a draft."""
    files = (folder / FOLDER).glob(f"*{EXTENSION}")
    return tuple(sorted(f.name.removesuffix(EXTENSION) for f in files if f.name[0] != "."))
