"""A napari layer as a scan file to which a model can be applied, and back; without Qt or viewer.

For a layer that shows a file, the file itself is used, since its header gives the orientation. The
voxels are compared, because they may have been changed. Any other layer is written to a file first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import AnyArray
from napari_singlestrip.engine.imaging.display_orientation import Upright
from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.errors import UserError

SAMPLE = 8  # every n-th voxel along each axis is compared first
ROUNDING = 1e-5  # of the range of intensities
# Orientation of napari's axes if unknown: that of our display (I, P, L), in RAS.
DISPLAYED = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]], float)


@dataclass(frozen=True, eq=False)
class LayerPicture:
    """A snapshot of a layer for a thread.

    Attributes
    ----------
    name : str
    data : ndarray, 3D
    files : tuple of Path
        Files it may have come from.
    affine : ndarray, shape (4, 4)
        Voxel of the layer to RAS mm.
    knows_up : bool
        Whether a header gives the orientation; otherwise that of the display is assumed.
    """

    name: str
    data: AnyArray
    files: tuple[Path, ...]
    affine: AnyArray
    knows_up: bool


@dataclass(frozen=True, eq=False)
class LayerScan:
    """The file behind a layer.

    Attributes
    ----------
    path : Path
    turn : ndarray, shape (3, 2)
        Orientation transform from the file's axes to the layer's, in nibabel's form.
    upright : bool
        Whether the layer shows the file as our reader would.
    written : bool
        Whether the file was written for this purpose; else it is the user's own.
    """

    path: Path
    turn: AnyArray
    upright: bool
    written: bool

    def mask(self, path: Path) -> NDArray[np.uint8]:
        """Read a mask of the file, with the axes of the layer."""
        found = load_mask(path, like=open_scan(self.path), check=False)
        turned = nib.orientations.apply_orientation(found, self.turn)
        return np.ascontiguousarray(turned, dtype=np.uint8)


def picture_of(layer: Any) -> LayerPicture:
    """Take a snapshot of an image layer.

    Raises
    ------
    UserError
        If it is not a 3D image.
    """
    data = layer.data[0] if layer.multiscale else layer.data
    if layer.rgb or data.ndim != 3:
        what = "a colour image" if layer.rgb else f"an image with {data.ndim} axes"
        raise UserError(
            f"{layer.name} is {what}, not a 3D scan.", "Choose an image layer with three axes."
        )
    named = layer.metadata.get("path"), getattr(layer.source, "path", None)
    files = tuple(dict.fromkeys(Path(str(path)) for path in named if path))
    affine = _affine_of_reader(layer, data.shape)
    known = affine is not None
    return LayerPicture(
        layer.name, np.asarray(data), files, _affine_in_world(layer) if affine is None else affine,
        known,
    )


def scan_of(picture: LayerPicture, folder: Path) -> LayerScan:
    """Find the file that a layer shows, or write one into a folder.

    Raises
    ------
    UserError
        If the layer holds no numbers, or the file cannot be written.
    """
    for path in picture.files:
        with suppress(UserError):  # missing, or of a format that only napari reads
            found = _shown_file(path, picture.data)
            if found is not None:
                return found
    return _written(picture, folder)


def turn_between(
    volume: AnyArray, data: AnyArray, first: Sequence[AnyArray] = ()
) -> AnyArray | None:
    """Return the reorientation that maps one array to the other; None if they differ."""
    for turn in (*first, *_turns()):
        turned = nib.orientations.apply_orientation(volume, turn)
        if turned.shape == data.shape and _same(turned, data):
            return turn
    return None


def file_name(name: str) -> str:
    """Make a valid file name from a layer's name."""
    return re.sub(r"[^\w-]+", "_", name).strip("_")[:60] or "layer"


# --- inside


def _shown_file(path: Path, data: AnyArray) -> LayerScan | None:
    scan = open_scan(path)
    if sorted(scan.grid.shape) != sorted(data.shape):
        return None
    own = Upright(scan.grid.affine).turn  # how our reader shows it
    turn = turn_between(scan.load().data, data, [own])
    return None if turn is None else LayerScan(path, turn, turn is own, written=False)


def _written(picture: LayerPicture, folder: Path) -> LayerScan:
    if picture.data.dtype.kind not in "biuf":
        raise UserError(f"{picture.name} holds no plain numbers.", "Choose a scan.")
    path = folder / f"{file_name(picture.name)}.nii"
    image = nib.Nifti1Image(picture.data.astype(np.float32), picture.affine)
    image.header.set_xyzt_units("mm")
    try:
        nib.save(image, path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror or error}.", "Free some space."
        ) from error
    return LayerScan(path, _identity(), upright=False, written=True)


def _same(one: AnyArray, other: AnyArray) -> bool:
    step = tuple(slice(None, None, max(1, n // SAMPLE)) for n in one.shape)
    for part in (step, (slice(None),) * 3):
        a, b = one[part].astype(np.float32), other[part].astype(np.float32)
        span = float(np.ptp(a))
        if not np.abs(a - b).max() <= ROUNDING * span:  # also False for NaN
            return False
    return True


def _turns() -> list[AnyArray]:
    """All 48 reorientations, simple ones first."""
    return [
        np.array(list(zip(axes, flips, strict=True)), float)
        for flips in sorted(product((1, -1), repeat=3), key=lambda f: -sum(f))
        for axes in permutations(range(3))
    ]


def _identity() -> AnyArray:
    return np.array([[0, 1], [1, 1], [2, 1]], float)


def _affine_of_reader(layer: Any, shape: tuple[int, ...]) -> AnyArray | None:
    """Affine of a layer made by our reader, whose values may have changed since."""
    stored = np.asarray(layer.metadata.get("affine", ()), float)
    if stored.shape != (4, 4):
        return None
    turn = Upright(stored)
    axes = turn.source_axes
    if not np.allclose(turn.scale, layer.scale, rtol=1e-3) or len(shape) != 3:
        return None
    on_file = [0, 0, 0]
    for axis, n in zip(axes, shape, strict=True):
        on_file[axis] = n
    return turn.affine_of_display((on_file[0], on_file[1], on_file[2]))


def _affine_in_world(layer: Any) -> AnyArray:
    """Affine from napari's own scale, rotation and units."""
    units = [_in_mm(unit) for unit in getattr(layer, "units", None) or (1, 1, 1)]
    origin = np.asarray(layer.data_to_world((0, 0, 0)), float)
    world = np.eye(4)
    for axis in range(3):
        step = np.asarray(layer.data_to_world(np.eye(3)[axis]), float) - origin
        world[:3, axis] = step * units
    world[:3, 3] = origin * units
    return np.asarray(DISPLAYED @ world)


def _in_mm(unit: Any) -> float:
    """Length of a unit; pixels, napari's default, count as mm."""
    with suppress(Exception):  # the units library may not know pixels
        return float((1 * unit).to("mm").magnitude)
    return 1.0
