"""Where a mask is probably wrong, from a second opinion on it.

The doubt map is the mask minus the second opinion: positive where the mask probably contains too
much, negative where it contains too little. The second opinion is the autoencoder's reconstruction,
or the mean of several networks or of augmented predictions. All of these are uncertain along the
whole surface, which is not informative: only regions that are certain and large enough are
reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import scipy
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.imaging.grid import Grid
from napari_singlestrip.engine.masks.cleanup import bounding_box

Marks = NDArray[np.uint8]
Voxel = tuple[int, int, int]

TOO_MUCH, TOO_LITTLE = 1, 2  # labels of the doubted voxels; 0 is background
MOST_PLACES = 5
LEAST_DOUBT = 0.75  # smaller differences are often false alarms: see docs/places_to_check.md
# For an adult brain; scaled with the volume of the mask for others.
ADULT_ML = 1400.0
LEAST_ML = 1.0


@dataclass(frozen=True)
class Place:
    """A connected region that is probably wrong, of one kind.

    Attributes
    ----------
    kind : {1, 2}
        `TOO_MUCH` or `TOO_LITTLE`.
    volume_ml : float
    voxel : (i, j, k)
        The centre of its thickest part.
    low, high : (i, j, k)
        Corners of its bounding box; `high` is exclusive.
    where : str
        Location such as "left, front, bottom"; "centre" in the middle of all axes.
    """

    kind: int
    volume_ml: float
    voxel: Voxel
    low: Voxel
    high: Voxel
    where: str = ""

    @property
    def in_words(self) -> str:
        """What is probably wrong, and its volume."""
        what = "too much" if self.kind == TOO_MUCH else "missing"
        return f"probably {ml_in_words(self.volume_ml)} {what}"


def ml_in_words(ml: float) -> str:
    """A volume with about two significant digits."""
    return f"{ml:.0f} mL" if ml >= 10 else f"{ml:.1f} mL" if ml >= 0.1 else f"{1000 * ml:.0f} µL"


def doubted(
    doubt: NDArray[np.floating], mask: Mask, grid: Grid, least: float = LEAST_DOUBT
) -> Marks:
    """Label the regions of a mask that are probably wrong: certain, and large enough.

    Parameters
    ----------
    doubt : ndarray, shape (i, j, k)
        -1 to 1: the mask minus a second opinion.
    mask : ndarray of bool, shape (i, j, k)
        Not empty.
    grid : Grid
        Of both.
    least : float
        Least absolute doubt.

    Returns
    -------
    ndarray of uint8, shape (i, j, k)
        `TOO_MUCH` inside the mask, `TOO_LITTLE` outside, 0 elsewhere.
    """
    marks = np.zeros(mask.shape, np.uint8)
    box = bounding_box(np.abs(doubt) >= least)
    if box is None:
        return marks
    values, inside = doubt[box], mask[box]
    least_voxels = _least_ml(mask, grid) / grid.voxel_ml
    for kind, sure in (
        (TOO_MUCH, inside & (values >= least)), (TOO_LITTLE, ~inside & (values <= -least)),
    ):
        marks[box][_large(sure, least_voxels)] = kind
    return marks


def still_doubted(marks: Marks, mask: Mask) -> Marks:
    """Drop what was corrected since: too much was removed, too little was added."""
    left: Marks = np.where(mask == (marks == TOO_MUCH), marks, 0).astype(np.uint8)
    return left


def places(marks: Marks, mask: Mask, grid: Grid, most: int = MOST_PLACES) -> tuple[Place, ...]:
    """Find the largest connected regions of the labelled voxels, the largest first.

    Parameters
    ----------
    marks : ndarray of uint8, shape (i, j, k)
        From `doubted`.
    mask : ndarray of bool, shape (i, j, k)
        Reference for the location within the brain.
    grid : Grid
        Of both.
    most : int
        Largest number of places.
    """
    box = bounding_box(marks != 0)
    if box is None:
        return ()
    least_ml = _least_ml(mask, grid)
    corner = np.array([side.start for side in box])
    found = [
        place
        for kind in (TOO_MUCH, TOO_LITTLE)
        for place in _pieces(marks[box] == kind, kind, corner, grid, least_ml / 2)
    ]
    found.sort(key=lambda place: -place.volume_ml)
    brain = bounding_box(mask) or box
    return tuple(_located(place, brain, grid) for place in found[:most])


def scale_of(mask: Mask, grid: Grid) -> float:
    """Linear size of this brain relative to an adult's; at most 1."""
    share = max(float(np.count_nonzero(mask)) * grid.voxel_ml, 1e-6) / ADULT_ML
    return float(min(share, 1.0) ** (1 / 3))


def whereabouts(voxel: Voxel, box: Sequence[slice], grid: Grid) -> str:
    """Describe the location of a voxel in a brain's box, such as "left, front, bottom"."""
    words = {"R": "right", "L": "left", "A": "front", "P": "back", "S": "top", "I": "bottom"}
    opposite = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}
    found = {}
    for axis, (towards, side) in enumerate(zip(nib.aff2axcodes(grid.affine), box, strict=True)):
        part = (voxel[axis] + 0.5 - side.start) / max(side.stop - side.start, 1)
        if part > 2 / 3:
            found[towards] = words[towards]
        elif part < 1 / 3:
            found[opposite[towards]] = words[opposite[towards]]
    return ", ".join(found[end] for end in "LRAPSI" if end in found) or "centre"


def _least_ml(mask: Mask, grid: Grid) -> float:
    """Least volume of a place."""
    return LEAST_ML * scale_of(mask, grid) ** 3


def _large(marked: Mask, least_voxels: float) -> Mask:
    """Keep the connected components that are large enough."""
    pieces, n = scipy.ndimage.label(marked)
    large = np.bincount(pieces.ravel(), minlength=n + 1) >= max(least_voxels, 1)
    large[0] = False
    kept: Mask = large[pieces]
    return kept


def _pieces(
    marked: Mask, kind: int, corner: NDArray[np.int64], grid: Grid, least_ml: float
) -> list[Place]:
    pieces, _ = scipy.ndimage.label(marked)
    found = []
    for number, box in enumerate(scipy.ndimage.find_objects(pieces), 1):
        piece = pieces[box] == number
        ml = float(np.count_nonzero(piece) * grid.voxel_ml)
        if ml < least_ml:
            continue
        low = corner + [side.start for side in box]
        depth = scipy.ndimage.distance_transform_edt(np.pad(piece, 1), grid.spacing)
        deepest = low - 1 + np.unravel_index(int(depth.argmax()), depth.shape)
        found.append(Place(kind, ml, _voxel(deepest), _voxel(low), _voxel(low + piece.shape)))
    return found


def _voxel(index: NDArray[np.int64]) -> Voxel:
    i, j, k = (int(n) for n in index)
    return i, j, k


def _located(place: Place, brain: Sequence[slice], grid: Grid) -> Place:
    where = whereabouts(place.voxel, brain, grid)
    return Place(place.kind, place.volume_ml, place.voxel, place.low, place.high, where)
