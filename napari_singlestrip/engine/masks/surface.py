"""The surface of a mask as triangles, by surface nets.

One vertex for each cell that the surface passes through, at the mean of its crossings with the
cell's edges: this gives regular triangles, and runs in numpy, which releases the GIL. The marching
cubes of scikit-image and other libraries hold it, which would freeze the window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import AnyArray

LEVEL = 0.5
WIDTH = 1.1  # of the Gaussian, in cells: removes the staircase of voxels, not the gyri
ROOM = 3  # margin around the mask for the Gaussian, in cells


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles whose front faces outwards.

    Attributes
    ----------
    vertices : ndarray of float32, shape (n, 3)
        mm.
    faces : ndarray of int32, shape (m, 3)
        Indices of vertices, counterclockwise seen from outside.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]

    def normals(self) -> NDArray[np.float32]:
        """Direction away from the mask at each vertex, of length 1."""
        a, b, c = (self.vertices[self.faces[:, n]] for n in range(3))
        of_faces = np.cross(b - a, c - a)  # as long as the triangle is large
        n, corners = len(self.vertices), self.faces.ravel()
        summed = np.stack(
            [np.bincount(corners, np.repeat(of_faces[:, axis], 3), n) for axis in range(3)], 1
        )
        length = np.linalg.norm(summed, axis=1, keepdims=True)
        return np.asarray(summed / np.maximum(length, 1e-12), np.float32)

    def volume(self) -> float:
        """Enclosed volume (mm3)."""
        if not len(self.faces):
            return 0.0
        a, b, c = (self.vertices[self.faces[:, n]].astype(np.float64) for n in range(3))
        return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def surface_of(mask: AnyArray, affine: AnyArray, cell_mm: float = 0.0) -> Surface:
    """Find the surface of a mask.

    Parameters
    ----------
    mask : ndarray, shape (i, j, k)
        Not 0 is inside.
    affine : ndarray, shape (4, 4)
        Voxel index to mm.
    cell_mm : float
        Approximate size of the cells: coarser is faster. 0 for one cell per voxel.

    Returns
    -------
    Surface
        Closed, also where the mask touches the border. Without triangles if the mask is empty.
    """
    spacing = np.linalg.norm(np.asarray(affine)[:3, :3], axis=0)
    steps = tuple(max(1, round(cell_mm / mm)) for mm in spacing)
    box = _box(mask, steps)
    if box is None:
        return Surface(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32))
    field = _thinned(mask[box], steps)
    smoothed = _smoothed(field, spacing * steps)
    if smoothed.max() <= LEVEL:  # so thin that the Gaussian would remove it
        smoothed = field
    vertices, faces = _nets(smoothed)
    first = np.array([part.start for part in box])
    # The centre of a block of voxels, in voxels.
    index = (vertices - ROOM) * steps + first + (np.array(steps) - 1) / 2
    placed = index @ np.asarray(affine)[:3, :3].T + np.asarray(affine)[:3, 3]
    if np.linalg.det(np.asarray(affine)[:3, :3]) < 0:
        faces = faces[:, ::-1]
    return Surface(placed.astype(np.float32), np.ascontiguousarray(faces, np.int32))


# --- the field whose isosurface is extracted


def _box(mask: AnyArray, steps: tuple[int, ...]) -> tuple[slice, ...] | None:
    """Smallest box around the mask, of whole blocks."""
    box, rest = [], mask
    for axis, step in enumerate(steps):
        others = tuple(n for n in range(3) if n != axis)
        used = np.flatnonzero(rest.any(axis=others))
        if not used.size:
            return None
        box.append(slice(int(used[0]) // step * step, int(used[-1]) + 1))
        rest = mask[tuple(box)]  # what is left to search
    return tuple(box)


def _thinned(mask: AnyArray, steps: tuple[int, ...]) -> NDArray[np.float32]:
    """Fraction of each block of voxels that is inside, with a margin."""
    inside = mask != 0
    lacking = [(0, -n % step) for n, step in zip(inside.shape, steps, strict=True)]
    if any(after for _, after in lacking):
        inside = np.pad(inside, lacking)
    field = np.zeros([n // step for n, step in zip(inside.shape, steps, strict=True)], np.float32)
    for i in range(steps[0]):
        for j in range(steps[1]):
            for k in range(steps[2]):
                field += inside[i :: steps[0], j :: steps[1], k :: steps[2]]
    return np.pad(field / np.float32(np.prod(steps)), ROOM)


def _smoothed(field: NDArray[np.float32], cells_mm: AnyArray) -> NDArray[np.float32]:
    # Equally wide in mm along every axis; coarse axes need no smoothing.
    return scipy.ndimage.gaussian_filter(field, WIDTH * cells_mm.min() / cells_mm, truncate=3.0)


# --- surface nets


def _nets(field: NDArray[np.float32]) -> tuple[AnyArray, AnyArray]:
    """Vertices (in cells) and triangles of the isosurface."""
    inside = field > LEVEL
    parts = [_crossed_edges(field, inside, axis) for axis in range(3)]
    points = np.concatenate([part[0] for part in parts])
    cells = np.concatenate([part[1] for part in parts])  # four around each edge
    _, corner = np.unique(cells.ravel(), return_inverse=True)
    n = int(corner.max()) + 1 if corner.size else 0
    count = np.bincount(corner, minlength=n)
    vertices = np.stack(
        [np.bincount(corner, np.repeat(points[:, a], 4), n) / count for a in range(3)], 1
    )
    quads = corner.reshape(-1, 4)
    return vertices, np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _crossed_edges(field: AnyArray, inside: AnyArray, axis: int) -> tuple[AnyArray, AnyArray]:
    """Where edges along an axis cross the level, and the four cells around each of them."""
    low, high = [slice(None)] * 3, [slice(None)] * 3
    low[axis], high[axis] = slice(None, -1), slice(1, None)
    at = np.stack(np.nonzero(inside[tuple(low)] != inside[tuple(high)]), 1)
    strides = np.array([field.shape[1] * field.shape[2], field.shape[2], 1])
    flat = at @ strides
    values = field.ravel()
    below, above = values[flat], values[flat + strides[axis]]
    points = at.astype(np.float64)
    points[:, axis] += (LEVEL - below) / (above - below)
    b, c = strides[(axis + 1) % 3], strides[(axis + 2) % 3]
    around = flat[:, None] + np.array([-b - c, -c, 0, -b])
    around[below <= LEVEL] = around[below <= LEVEL][:, ::-1]  # outside is below: reversed
    return points, around
