"""The window of a scan that a network sees, and how it is cropped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_singlestrip.engine.imaging.geometry import Box
from napari_singlestrip.engine.imaging.grid import Shape, Volume
from napari_singlestrip.engine.imaging.shading import Shading


@dataclass(frozen=True)
class Window:
    """The location of the brain in a scan.

    Attributes
    ----------
    conformed : Volume
        The whole scan on an isotropic grid, along the RAS axes unless the head is pitched.
    probability : (I, J, K) float32
        A first, rough prediction on that grid.
    place : (3,) int or None
        The window's first voxel; None if no brain was found: the window is then the whole scan.
    shape : (I, J, K)
        The size used in training.
    shading : Shading or None
        What `conformed` is without.
    """

    conformed: Volume
    probability: npt.NDArray[np.float32]
    place: npt.NDArray[np.int64] | None
    shape: Shape
    shading: Shading | None = None

    @property
    def view(self) -> Volume:
        """The scan within the window."""
        if self.place is None:
            return self.conformed
        affine = self.conformed.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ self.place
        return Volume(
            cut_out(self.conformed.data, self.place, self.shape), affine, self.conformed.notes
        )


def large_enough(box: Box, side_mm: float) -> Box:
    """Widen a box that would shrink to one voxel in the deepest level, which cannot be normalised.

    Parameters, returns : pair of (3,) RAS mm
        Unchanged if any side is longer than `side_mm`.
    """
    low, high = box
    if (high - low > side_mm * (1 + 1e-3)).any():  # with a tolerance for rounding errors
        return box
    middle = (low + high) / 2
    return middle - side_mm, middle + side_mm


def cut_out(
    data: npt.NDArray[np.float32], place: npt.NDArray[np.int64], shape: Shape
) -> npt.NDArray[np.float32]:
    """Crop `shape` voxels that begin at `place`; zero beyond the edges."""
    out = np.zeros(shape, np.float32)
    source, target = [], []
    for start, n, size in zip(place, shape, data.shape, strict=True):
        first, last = min(max(start, 0), size), max(min(start + n, size), 0)
        source.append(slice(first, max(first, last)))
        target.append(slice(first - start, max(first, last) - start))
    out[tuple(target)] = data[tuple(source)]
    return out
