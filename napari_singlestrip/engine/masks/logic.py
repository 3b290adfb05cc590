"""Boolean operations on masks, and masks from an intensity range."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.errors import UserError

How = Literal["add", "subtract", "intersect"]


def combine(mask: Mask, other: Mask, how: How) -> Mask:
    """Union, difference or intersection with another mask.

    Parameters
    ----------
    mask, other : ndarray of bool, shape (I, P, L)
    how : {"add", "subtract", "intersect"}

    Raises
    ------
    UserError
        If their shapes differ.
    """
    if mask.shape != other.shape:
        raise UserError(
            f"The other mask has {other.shape} voxels, this scan {mask.shape}.",
            "Masks can be combined when they lie on the same grid.",
        )
    if how == "add":
        return mask | other
    return mask & ~other if how == "subtract" else mask & other


def between(
    image: NDArray[np.floating], range_: tuple[float, float], within: Mask | None = None
) -> Mask:
    """Voxels with intensities in a range, its ends included.

    Parameters
    ----------
    image : ndarray, shape (I, P, L)
    range_ : tuple of float
        Lowest and highest intensity.
    within : ndarray of bool, optional
        Restricts the result.
    """
    found: Mask = (image >= range_[0]) & (image <= range_[1])
    return found if within is None else found & within
