"""Masks that a person is still painting: saved after each stroke, not decided yet.

A draft is one file of packed bits, because it is written after each stroke: a few milliseconds for
a whole head, where a compressed NIfTI file takes half a second.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.errors import NotWritten, UserError
from napari_singlestrip.files import atomic_path

FOLDER = "drafts"
EXTENSION = ".npz"


def draft_path(folder: Path, name: str) -> Path:
    """Return where the draft of a scan is, or would be."""
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


def load_draft(folder: Path, name: str) -> NDArray[np.bool_] | None:
    """Read the draft of a scan's mask; None when there is none.

    Raises
    ------
    UserError
        If the file is damaged.
    """
    path = draft_path(folder, name)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            shape = tuple(int(n) for n in content["shape"])
            bits = content["bits"]
        n_voxels = math.prod(shape)
        if bits.size != math.ceil(n_voxels / 8):
            raise ValueError(f"{bits.size} bytes for {n_voxels} voxels")
        return np.unpackbits(bits, count=n_voxels).reshape(shape, order="F") > 0
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"The unfinished mask {path} is damaged: {error}.", "Delete it and paint again."
        ) from error


def remove_draft(folder: Path, name: str) -> None:
    """Forget the draft of a scan.

    Raises
    ------
    NotWritten
        If the file is there and cannot be removed.
    """
    path = draft_path(folder, name)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise NotWritten(
            f"Cannot remove {path}: {error.strerror or error}.",
            "The unfinished mask stays; change the permissions of its folder.",
        ) from error


def drafted(folder: Path) -> tuple[str, ...]:
    """Names of the scans that have a draft."""
    files = (folder / FOLDER).glob(f"*{EXTENSION}")
    return tuple(sorted(f.name.removesuffix(EXTENSION) for f in files if f.name[0] != "."))
