"""Where each voxel of a synthetic head comes from: an affine and a diffeomorphic warp.

Both are composed on a coarse grid and upsampled once, which costs a fraction of warping at full
resolution. Parameters are sampled first (`sample_affine`, `sample_velocity`), then applied.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from napari_singlestrip.engine.arrays import FloatArray
from napari_singlestrip.engine.heads.separable import upsample

COARSE = 16  # points per side on which velocities are integrated and affines folded in
SQUARINGS = 4  # scaling and squaring steps (Arsigny et al. 2006; as in Hoffmann's generators)


def sample_affine(
    rng: np.random.Generator, rotation_deg: float, scaling: float, shear: float, flip: bool
) -> npt.NDArray[np.float64]:
    """Sample a linear map about the centre: rotation, scaling, shear and perhaps a reflection.

    Parameters
    ----------
    rng : numpy.random.Generator
    rotation_deg : float
        Angles are uniform in plus or minus this, about each axis (degrees).
    scaling : float
        Each axis is scaled by a factor in 1 - scaling to 1 + scaling.
    shear : float
        Off-diagonal entries are uniform in plus or minus this.
    flip : bool
        Reflect the first axis (left-right on a RAS grid) in half of the samples.

    Returns
    -------
    (3, 3) float64
    """
    angles = np.deg2rad(rng.uniform(-rotation_deg, rotation_deg, 3))
    linear = np.eye(3)
    for axis, angle in enumerate(angles):
        linear = linear @ _rotation(axis, angle)
    shears = np.eye(3)
    shears[np.triu_indices(3, 1)] = rng.uniform(-shear, shear, 3)
    linear = linear @ shears @ np.diag(rng.uniform(1 - scaling, 1 + scaling, 3))
    mirrored = flip and rng.random() < 0.5
    return linear @ np.diag([-1.0 if mirrored else 1.0, 1.0, 1.0])


def sample_velocity(rng: np.random.Generator, std: float, points: tuple[int, int]) -> FloatArray:
    """Sample a stationary velocity field at its control points.

    Parameters
    ----------
    rng : numpy.random.Generator
    std : float
        The SD itself is uniform in 0 to `std` (fraction of the grid's side).
    points : (int, int)
        Range of the number of control points on each side.

    Returns
    -------
    (3, g, g, g) float32
    """
    g = int(rng.integers(points[0], points[1] + 1))
    return (rng.uniform(0, std) * rng.standard_normal((3, g, g, g))).astype(np.float32)


def integrate(velocity: torch.Tensor) -> torch.Tensor:
    """Integrate a stationary velocity field by scaling and squaring.

    Parameters
    ----------
    velocity : (B, 3, n, n, n) tensor
        In fractions of the side.

    Returns
    -------
    (B, 3, n, n, n) tensor
        Displacement of a diffeomorphism, in fractions of the side.
    """
    n = velocity.shape[-1]
    axis = torch.arange(n, device=velocity.device, dtype=velocity.dtype)
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"))
    displacement = velocity / 2**SQUARINGS
    for _ in range(SQUARINGS):
        displacement = displacement + _trilinear(displacement, grid + displacement * (n - 1))
    return displacement


def source_coordinates(
    velocities: list[torch.Tensor],
    linear: torch.Tensor,
    centre: torch.Tensor,
    reach: torch.Tensor,
    shape: tuple[int, int, int],
) -> torch.Tensor:
    """Voxel coordinates in the label maps for each voxel of the synthetic heads.

    Parameters
    ----------
    velocities : B float32 tensors (3, g, g, g)
        From `sample_velocity`; all tensors are on the device that does the computation.
    linear : (B, 3, 3) float32 tensor
        From `sample_affine`.
    centre : (B, 3) float32 tensor
        Centre of the synthetic grid in the label maps (voxels).
    reach : (3,) float32 tensor
        Half the extent of the synthetic grid, in voxels of the label maps.
    shape : (I, J, K)
        Of the synthetic grid.

    Returns
    -------
    (B, 3, I, J, K) float32 tensor
    """
    coarse = (COARSE, COARSE, COARSE)
    fields = [upsample(velocity, coarse) for velocity in velocities]
    warp = integrate(torch.stack(fields))
    axis = torch.linspace(-1, 1, COARSE, device=reach.device)
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"))
    # The grid runs from -1 to 1, so a displacement by one side is two units.
    position = (grid + 2 * warp) * reach.view(1, 3, 1, 1, 1)
    turned = torch.einsum("bxy,byijk->bxijk", linear, position)
    turned = turned + centre.view(-1, 3, 1, 1, 1)
    fine = upsample(turned.flatten(0, 1), shape)
    return fine.view(len(velocities), 3, *shape)


def _rotation(axis: int, angle: float) -> npt.NDArray[np.float64]:
    a, b = [d for d in range(3) if d != axis]
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return matrix


def _trilinear(field: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """Sample (B, C, n, n, n) at (B, 3, n, n, n) voxel positions, edges replicated.

    All eight corners are gathered at once instead of by grid_sample, which has no 3D version on
    MPS. Gathering single values is several times faster than gathering rows.
    """
    n = field.shape[-1]
    position = position.clamp(0, n - 1)
    low = position.floor().clamp_(max=n - 2)
    i, j, k = (position - low).unsqueeze(2).unbind(1)
    x, y, z = low.int().unbind(1)
    starts = torch.arange(0, field.numel(), n**3, device=field.device, dtype=torch.int32)
    first = starts.view(*field.shape[:2], 1, 1, 1) + ((x * n + y) * n + z).unsqueeze(1)
    corners = [(a * n + b) * n + c for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    index = torch.stack([first + corner for corner in corners])
    picked = field.flatten().index_select(0, index.flatten()).view(2, 2, 2, *field.shape)
    picked = picked[0].lerp(picked[1], i)
    picked = picked[0].lerp(picked[1], j)
    return picked[0].lerp(picked[1], k)
