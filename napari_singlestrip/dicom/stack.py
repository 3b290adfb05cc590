"""Stacking the slices of a series, and checking whether they form a volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.errors import UserError
from napari_singlestrip.texts import counted

MIN_SLICES = 3
_ALIKE_MM = 0.02  # positions are stored with few digits
_ALIKE_SHARE = 0.03  # of the slice distance, which scanners round as well
_ALIKE_DIRECTION = 1e-3
_OBLIQUE_DEGREES = 3.0
_PLANES = ("sagittal", "coronal", "axial")
_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # DICOM's patient axes are left, posterior, superior


class SlicesMissing(UserError):
    """A series that would be a volume if it were whole."""


@dataclass(frozen=True)
class Frame:
    """One slice: an image, or a frame of a multi-frame one.

    Attributes
    ----------
    position : tuple of float
        Of the first voxel, in mm to the left, posterior and superior.
    directions : tuple of float
        Along a row, then along a column.
    spacing : tuple of float
        Between rows, then between columns, in mm.
    shape : tuple of int
        Rows and columns.
    """

    position: tuple[float, ...]
    directions: tuple[float, ...]
    spacing: tuple[float, ...]
    shape: tuple[int, int]


@dataclass(frozen=True)
class Stack:
    """Slices that form a volume.

    Attributes
    ----------
    slices : tuple of tuple of int
        Frames of each slice: several if there are several volumes.
    shape : tuple of int
        Columns, rows, slices.
    affine : ndarray, shape (4, 4)
        Column, row and slice to RAS mm.
    """

    slices: tuple[tuple[int, ...], ...]
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    @property
    def n_volumes(self) -> int:
        """Number of images of each slice."""
        return len(self.slices[0])


def stack(frames: Sequence[Frame]) -> Stack:
    """Stack the slices of a series.

    Raises
    ------
    UserError
        If they do not form a volume: several orientations or sizes, missing slices, uneven
        distances.
    """
    _check_alike(frames)
    along = normal(frames[0])
    by_place = _by_place(frames, along)
    slices = list(by_place.values())
    if len(slices) < MIN_SLICES:
        raise UserError(f"It has only {counted(len(slices), 'slice')}.", "That is no volume.")
    _check_distances(list(by_place))
    counts = {len(here) for here in slices}
    if len(counts) > 1:
        raise SlicesMissing(
            f"Slices are missing: of some there are {max(counts)} images, of others {min(counts)}.",
            "Export the whole series again.",
        )
    first, last = (np.array(frames[slices[n][0]].position) for n in (0, -1))
    step = (last - first) / (len(slices) - 1)
    _check_straight(step, along)
    rows, columns = frames[0].shape
    return Stack(
        tuple(map(tuple, slices)), (columns, rows, len(slices)), _affine(frames[0], first, step)
    )


def normal(frame: Frame) -> NDArray[np.float64]:
    """The stacking direction of the slices."""
    row, column = np.reshape(np.asarray(frame.directions, dtype=np.float64), (2, 3))
    return np.cross(row, column)


def orientation_words(frame: Frame) -> str:
    """Describe the orientation of slices: "axial", "sagittal, oblique 12°"."""
    along = np.abs(normal(frame))
    axis = int(along.argmax())
    length = float(np.linalg.norm(along)) or 1.0
    angle = math.degrees(math.acos(min(1.0, float(along[axis]) / length)))
    tilted = f", oblique {angle:.0f}°" if angle > _OBLIQUE_DEGREES else ""
    return f"{_PLANES[axis]}{tilted}"


def _check_alike(frames: Sequence[Frame]) -> None:
    directions: list[NDArray[np.float64]] = []
    for frame in frames:
        here = np.asarray(frame.directions)
        if not any(np.abs(here - other).max() < _ALIKE_DIRECTION for other in directions):
            directions.append(here)
    if len(directions) > 1:
        raise UserError(
            f"Its images lie in {len(directions)} orientations, as those of a localiser do.",
            "Choose another series.",
        )
    sizes = {frame.shape for frame in frames}
    spacings = {tuple(round(mm, 3) for mm in frame.spacing) for frame in frames}
    if len(sizes) > 1 or len(spacings) > 1:
        raise UserError("Its images have several sizes.", "Choose another series.")


def _by_place(
    frames: Sequence[Frame], along: NDArray[np.float64]
) -> dict[float, list[int]]:
    """Frames by position along the stack, in this order."""
    places: dict[float, list[int]] = {}
    at = [float(np.dot(along, frame.position)) for frame in frames]
    last = -math.inf
    for n in np.argsort(at, kind="stable").tolist():
        if at[n] - last > _ALIKE_MM:
            last = at[n]
            places[last] = []
        places[last].append(n)
    return places


def _check_distances(places: list[float]) -> None:
    distances = np.diff(places)
    usual = float(np.median(distances))
    off = np.abs(distances - usual) > max(_ALIKE_MM, _ALIKE_SHARE * usual)
    if not off.any():
        return
    steps = distances / float(distances.min())
    whole = np.rint(steps)
    if np.abs(steps - whole).max() < 0.1 and usual < 1.5 * float(distances.min()):
        n = int(np.flatnonzero(off)[0]) + 1
        missing = int((whole - 1).sum())
        raise SlicesMissing(
            f"{counted(missing, 'slice')} {'is' if missing == 1 else 'are'} missing; the first "
            f"gap is after slice {n} of {len(places)}.", "Export the whole series again.",
        )
    raise UserError(
        f"Its slices lie {distances.min():.3g} to {distances.max():.3g} mm apart, so its voxels "
        "have no one size.", "Choose another series, or resample it with another program.",
    )


def _check_straight(step: NDArray[np.float64], along: NDArray[np.float64]) -> None:
    """Refuse slices of a tilted gantry, whose in-plane shift makes the grid non-orthogonal."""
    aside = float(np.linalg.norm(step - np.dot(step, along) * along))
    if aside > max(_ALIKE_MM, _ALIKE_SHARE * float(np.linalg.norm(step))):
        raise UserError(
            "Its slices are shifted against each other, as with a tilted gantry.",
            "Choose another series, or resample it with another program.",
        )


def _affine(
    frame: Frame, first: NDArray[np.float64], step: NDArray[np.float64]
) -> NDArray[np.float64]:
    row, column = np.reshape(np.asarray(frame.directions, dtype=np.float64), (2, 3))
    affine = np.eye(4)
    affine[:3, 0] = row * frame.spacing[1]
    affine[:3, 1] = column * frame.spacing[0]
    affine[:3, 2], affine[:3, 3] = step, first
    return _TO_RAS @ affine
