"""Resampling between grids, without aliasing.

Between grids whose axes are parallel (in any of the 48 orders and directions, at any spacing)
resampling is one small matrix per axis, exact and fast. Between oblique grids, the source is
averaged over blocks if it is the finer one, and then sampled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_singlestrip.engine.arrays import FloatArray
from napari_singlestrip.engine.imaging.grid import Grid, Volume

# Grids count as parallel if that shifts no sample by more than this (source voxels).
_PARALLEL_TOLERANCE = 0.05
_EDGE = 1e-3  # tolerance of the field of view (source voxels), for rounding errors


def resample(volume: Volume, grid: Grid, *, fill: float = 0.0) -> FloatArray:
    """Sample `volume` at the voxels of `grid`.

    Along an axis where the grid is coarser, each value is the mean over the grid's voxel (so that
    thin structures do not alias); where it is finer, values are interpolated linearly.

    Parameters
    ----------
    volume : Volume
        What to sample.
    grid : Grid
        Where.
    fill : float
        Value outside the volume, which extends half a voxel beyond its outermost centres.

    Returns
    -------
    ndarray of float32, shape of `grid`, C order
    """
    to_source = _to_source(volume, grid)
    axes = _parallel_axes(to_source, grid.shape)
    if axes is None:
        return _resample_oblique(volume, grid, fill)
    return _resample_parallel(volume.data, to_source, axes, grid, fill)


def block_mean(volume: Volume, factors: Sequence[int]) -> Volume:
    """Average over blocks of ``factors`` voxels; the last block of an axis may be smaller.

    Parameters
    ----------
    volume : Volume
        Its `data` may be of any real type.
    factors : sequence of three int
        Block size along (i, j, k), at least 1.

    Returns
    -------
    Volume
        float32; its affine gives the centres of whole blocks.
    """
    if max(factors) == 1:
        return volume
    matrices = []
    for n, factor in zip(volume.data.shape, factors, strict=True):
        block = np.arange(n) // factor
        share = (1 / np.bincount(block))[block].astype(np.float32)
        matrices.append(scipy.sparse.csr_array((share, (block, np.arange(n)))))
    step = np.diag([*factors, 1.0])
    step[:3, 3] = (np.asarray(factors) - 1) / 2
    return Volume(apply_matrices(volume.data, matrices), volume.affine @ step, volume.notes)


def apply_matrices(
    data: NDArray[np.generic], matrices: Sequence[scipy.sparse.csr_array]
) -> FloatArray:
    """Apply one sparse matrix (n_out, n_in) along each of three axes.

    Sparse, because each sample needs few voxels, and because dense products start threads, which
    slow each other down on busy cores.

    Returns
    -------
    ndarray of float32, shape (n_out of each axis)
    """
    if data.flags.f_contiguous and not data.flags.c_contiguous:
        return apply_matrices(data.T, matrices[::-1]).T
    out = np.ascontiguousarray(data, dtype=np.float32)
    shrinks = math.prod(m.shape[0] for m in matrices) < out.size
    # The last axis is the slowest, so it comes last, when the array is smallest.
    for axis in (0, 1, 2) if shrinks else (2, 1, 0):
        out = _apply_matrix(out, matrices[axis], axis)
    return out


def _apply_matrix(data: FloatArray, matrix: scipy.sparse.csr_array, axis: int) -> FloatArray:
    i, j, k = data.shape
    if axis == 0:
        out: FloatArray = (matrix @ data.reshape(i, j * k)).reshape(-1, j, k)
    elif axis == 1:
        out = np.stack([matrix @ plane for plane in data])
    else:
        out = np.ascontiguousarray((matrix @ data.reshape(i * j, k).T).T).reshape(i, j, -1)
    return out


def _to_source(source: Volume | Grid, grid: Grid) -> NDArray[np.float64]:
    """Matrix from voxels of `grid` to voxels of `source`."""
    return np.asarray(np.linalg.solve(source.affine, grid.affine), dtype=np.float64)


def _parallel_axes(to_source: NDArray[np.float64], shape: tuple[int, ...]) -> list[int] | None:
    """For each source axis the grid axis along it, or None when the grids are oblique."""
    turn = np.abs(to_source[:3, :3])
    axes = (turn / np.linalg.norm(turn, axis=0)).argmax(axis=1)
    if sorted(axes) != [0, 1, 2]:
        return None
    astray = turn.copy()
    astray[np.arange(3), axes] = 0
    moved = astray @ np.asarray(shape)
    return None if (moved > _PARALLEL_TOLERANCE).any() else [int(a) for a in axes]


def _resample_parallel(
    data: NDArray[np.float32],
    to_source: NDArray[np.float64],
    axes: list[int],
    grid: Grid,
    fill: float,
) -> FloatArray:
    centre = (np.asarray(grid.shape) - 1) / 2
    at_centre = to_source[:3, :3] @ centre + to_source[:3, 3]
    matrices, inside = [], []
    for source_axis, axis in enumerate(axes):
        n, step = data.shape[source_axis], to_source[source_axis, axis]
        position = at_centre[source_axis] + step * (np.arange(grid.shape[axis]) - centre[axis])
        matrices.append(_weights(position, n, abs(step)))
        inside.append(np.abs(position - (n - 1) / 2) <= n / 2 + _EDGE)
    out = apply_matrices(data, matrices)
    for source_axis, is_inside in enumerate(inside):
        if not is_inside.all():
            np.moveaxis(out, source_axis, 0)[~is_inside] = fill
    return np.ascontiguousarray(out.transpose(np.argsort(axes)))


def _weights(position: NDArray[np.float64], n: int, width: float) -> scipy.sparse.csr_array:
    """Overlap of a box of `width` around each position with each voxel; linear for width 1."""
    width = max(width, 1.0)
    position = np.clip(position, -0.5, n - 0.5)
    reach = np.abs(np.arange(n)[None, :] - position[:, None])
    overlap = np.clip((width + 1) / 2 - reach, 0, 1)
    return scipy.sparse.csr_array((overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32))


def _resample_oblique(volume: Volume, grid: Grid, fill: float) -> FloatArray:
    volume = block_mean(volume, _half_steps(volume, grid))
    to_source = _to_source(volume, grid)
    out = np.empty(grid.shape, dtype=np.float32)
    scipy.ndimage.affine_transform(
        np.asarray(volume.data, dtype=np.float32),
        to_source[:3, :3],
        to_source[:3, 3],
        output=out,
        output_shape=grid.shape,
        order=1,
        mode="nearest",
    )
    if not _corners_inside(to_source, grid, volume.data.shape):
        out[~_inside(to_source, grid.shape, volume.data.shape)] = fill
    return out


def _corners_inside(
    to_source: NDArray[np.float64], grid: Grid, source_shape: tuple[int, ...]
) -> bool:
    """Whether the whole grid lies within the source, so that no voxel needs a test."""
    corners = np.indices((2, 2, 2)).reshape(3, 8).T * (np.array(grid.shape) - 1)
    position = corners @ to_source[:3, :3].T + to_source[:3, 3]
    return bool(((position >= -0.5) & (position <= np.array(source_shape) - 0.5)).all())


def _half_steps(volume: Volume, grid: Grid) -> list[int]:
    """Block sizes that bring the volume to about half the spacing of the grid.

    Averaging over whole grid voxels and interpolating after it would blur twice.
    """
    to_grid = np.linalg.solve(grid.affine[:3, :3], volume.affine[:3, :3])
    steps = 1 / np.linalg.norm(to_grid, axis=0)  # voxels of the volume in one of the grid
    return [max(1, round(step / 2)) for step in steps]


def inside_view(source: Grid, grid: Grid) -> NDArray[np.bool_]:
    """Which voxels of `grid` lie within the field of view of `source`, shape of `grid`."""
    return _inside(_to_source(source, grid), grid.shape, source.shape)


def _inside(
    to_source: NDArray[np.float64], shape: tuple[int, ...], source_shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Which voxels of a grid of `shape` lie within the source.

    Along a line of voxels these form one interval: finding its two ends takes a tenth of the time
    of testing every voxel.
    """
    i, j = np.ogrid[: shape[0], : shape[1]]
    first, last = np.zeros(shape[:2]), np.full(shape[:2], shape[2] - 1.0)
    for (x, y, z, start), n in zip(to_source[:3], source_shape, strict=True):
        # Where |start_of_line + z * k - (n - 1) / 2| <= reach.
        line, reach = x * i + y * j + start - (n - 1) / 2, n / 2 + _EDGE
        if abs(z) < 1e-9:
            last = np.where(np.abs(line) <= reach, last, -1)
            continue
        ends = (-reach - line) / z, (reach - line) / z
        first = np.maximum(first, np.minimum(*ends))
        last = np.minimum(last, np.maximum(*ends))
    k = np.arange(shape[2], dtype=np.float32)
    inside: NDArray[np.bool_] = k >= first[..., None].astype(np.float32)
    inside &= k <= last[..., None].astype(np.float32)
    return inside
