"""Mapping the voxels of a converted scan to the slices of its series."""

from __future__ import annotations

import itertools
from typing import TypeVar

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.dicom.stack import Stack
from napari_singlestrip.errors import UserError

T = TypeVar("T", bound=np.generic)

_ALIKE_VOXELS = 0.05  # of a voxel, anywhere in the volume
_ELSEWHERE = UserError(
    "It does not lie on the slices of its DICOM series.",
    "Masks go back only on the grid that was converted: do not resample or crop the scan.",
)


def onto_stack(values: NDArray[T], affine: NDArray[np.float64], stack: Stack) -> NDArray[T]:
    """Reorder the values of a converted scan like the slices of its series, without resampling.

    Parameters
    ----------
    values : ndarray, shape (i, j, k)
    affine : ndarray, shape (4, 4)
        Voxel index to RAS mm.
    stack : Stack

    Returns
    -------
    ndarray, shape (slices, rows, columns)

    Raises
    ------
    UserError
        If the grids differ.
    """
    turn = _turn(values.shape, affine, stack)
    turned = nib.orientations.apply_orientation(values, turn)
    return np.ascontiguousarray(turned.transpose(2, 1, 0))


def lies_on(shape: tuple[int, ...], affine: NDArray[np.float64], stack: Stack) -> bool:
    """Whether a grid has the voxels of a series, in any order."""
    try:
        _turn(shape, affine, stack)
    except UserError:
        return False
    return True


def _turn(
    shape: tuple[int, ...], affine: NDArray[np.float64], stack: Stack
) -> NDArray[np.float64]:
    """Orientation transform (as in nibabel) from the scan's axes to those of the series."""
    to_stack = np.linalg.inv(stack.affine) @ affine
    turn: NDArray[np.float64] = nib.orientations.io_orientation(to_stack)
    if np.isnan(turn).any():
        raise _ELSEWHERE
    turned_shape = tuple(shape[int(np.flatnonzero(turn[:, 0] == axis)[0])] for axis in range(3))
    turned = affine @ nib.orientations.inv_ornt_aff(turn, shape)
    ends = [(0.0, n - 1.0) for n in stack.shape]
    corners = np.array([[*corner, 1.0] for corner in itertools.product(*ends)]).T
    off = np.abs(np.linalg.inv(stack.affine) @ turned @ corners - corners).max()
    if turned_shape != stack.shape or off > _ALIKE_VOXELS:
        raise _ELSEWHERE
    return turn
