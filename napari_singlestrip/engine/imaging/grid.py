"""Grids and volumes: where voxels lie in scanner space (RAS, mm).

RAS: x grows to the right, y to the front (anterior), z to the top (superior). The affine maps the
index (i, j, k, 1) of a voxel to the mm position of its centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Grid:
    """A shape and an affine; compare two with `same_as`.

    Parameters
    ----------
    shape : tuple of int
        Voxels along (i, j, k).
    affine : ndarray, shape (4, 4)
        Voxel index to RAS mm; copied and made read-only.
    """

    shape: Shape
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        i, j, k = (int(n) for n in self.shape)
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4):
            raise ValueError(f"affine of shape {affine.shape}, not (4, 4)")
        affine.setflags(write=False)
        object.__setattr__(self, "shape", (i, j, k))
        object.__setattr__(self, "affine", affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size along (i, j, k), in mm."""
        x, y, z = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return float(x), float(y), float(z)

    @property
    def orientation(self) -> str:
        """Orientation of i, j and k, such as "RAS" or "LPI" (nearest axes when oblique)."""
        return "".join(str(code) for code in nib.orientations.aff2axcodes(self.affine))

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel, in mL."""
        return float(abs(np.linalg.det(self.affine[:3, :3])) / 1000.0)

    @property
    def obliquity_deg(self) -> float:
        """Largest angle between a voxel axis and the nearest RAS axis, in degrees (0 to 55)."""
        return float(np.rad2deg(np.max(nib.affines.obliquity(self.affine))))

    @property
    def middle(self) -> NDArray[np.float64]:
        """RAS mm position half-way between the outermost voxels, shape (3,)."""
        position: NDArray[np.float64] = self.corners().mean(axis=0)
        return position

    def corners(self) -> NDArray[np.float64]:
        """RAS mm positions of the eight outermost voxel centres, shape (8, 3)."""
        last = np.array(self.shape) - 1
        index = np.indices((2, 2, 2)).reshape(3, 8).T * last
        positions: NDArray[np.float64] = nib.affines.apply_affine(self.affine, index)
        return positions

    def same_as(self, other: Grid, atol: float = 0.05) -> bool:
        """Whether corresponding voxels of both grids have the same position.

        Headers store single precision and programs round differently, so a small shift is
        tolerated.

        Parameters
        ----------
        other : Grid
            The grid to compare with.
        atol : float
            Largest shift of any voxel, in units of the smallest spacing.
        """
        if self.shape != other.shape:
            return False
        shift = np.abs(self.corners() - other.corners()).max()
        return bool(shift <= atol * min(*self.spacing, *other.spacing))

    def __str__(self) -> str:
        size = " x ".join(str(n) for n in self.shape)
        spacing = " x ".join(f"{s:.3g}" for s in self.spacing)
        return f"{size} voxels of {spacing} mm, {self.orientation}"


@dataclass(frozen=True, eq=False)
class Volume:
    """An array on a grid.

    Parameters
    ----------
    data : ndarray, shape (i, j, k)
        Values; in any memory order, so index it, do not flatten it.
    affine : ndarray, shape (4, 4)
        Voxel index to RAS mm.
    notes : tuple of str
        What a person should know about how the values were read.
    """

    data: NDArray[np.float32]
    affine: NDArray[np.float64]
    notes: tuple[str, ...] = ()

    @property
    def grid(self) -> Grid:
        """Shape and affine."""
        i, j, k = self.data.shape
        return Grid((i, j, k), self.affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size along (i, j, k), in mm."""
        return self.grid.spacing


def signed_permutation(source: Grid, target: Grid) -> tuple[list[int], list[int]] | None:
    """Find the permutation and flips that align the axes of `source` with those of `target`.

    Parameters
    ----------
    source, target : Grid
        Two grids; None is returned unless their axes agree up to order and direction.

    Returns
    -------
    (axes, signs) or None
        For each axis of `target`: the axis of `source` along it, and 1 or -1.
    """
    turn = np.linalg.solve(target.affine[:3, :3], source.affine[:3, :3])
    rounded = np.rint(turn)
    is_permutation = (np.abs(rounded).sum(axis=0) == 1).all() and (
        np.abs(rounded).sum(axis=1) == 1
    ).all()
    if not is_permutation or np.abs(turn - rounded).max() > 0.01:
        return None
    axes = np.abs(rounded).argmax(axis=1)
    signs = rounded[np.arange(3), axes]
    return [int(a) for a in axes], [int(s) for s in signs]


def reorient(data: NDArray[np.generic], source: Grid, target: Grid) -> NDArray[np.generic] | None:
    """View `data` of `source` with its axes ordered and directed like those of `target`.

    No value is interpolated.

    Returns
    -------
    ndarray or None
        A view of `data`; None if the grids differ by more than the order of their voxels.
    """
    found = signed_permutation(source, target)
    if found is None:
        return None
    axes, signs = found
    turned_shape = (source.shape[axes[0]], source.shape[axes[1]], source.shape[axes[2]])
    to_source = np.zeros((4, 4))
    to_source[3, 3] = 1
    for new, (old, sign) in enumerate(zip(axes, signs, strict=True)):
        to_source[old, new] = sign
        to_source[old, 3] = 0 if sign > 0 else source.shape[old] - 1
    if not Grid(turned_shape, source.affine @ to_source).same_as(target):
        return None
    turned = np.transpose(data, axes)
    flips = tuple(axis for axis, sign in enumerate(signs) if sign < 0)
    return np.flip(turned, flips)
