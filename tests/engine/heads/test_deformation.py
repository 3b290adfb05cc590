"""Deformations: invertible, about the middle, and a landmark goes where the matrix says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_singlestrip.engine.config import AutoencoderConfig, SynthesisConfig
from napari_singlestrip.engine.heads.deformation import (
    COARSE,
    integrate,
    sample_affine,
    sample_velocity,
    source_coordinates,
)
from napari_singlestrip.engine.heads.separable import interpolation_matrix

Array = np.ndarray[Any, Any]


def f32(values: Any) -> Array:
    """An array of single precision."""
    return np.asarray(values, np.float32)


def tensor(values: Any) -> torch.Tensor:
    """A tensor of single precision."""
    return torch.from_numpy(f32(values))


SHAPE = (8, 10, 12)
STILL = np.zeros((3, 2, 2, 2), np.float32)
SEEDS = st.integers(0, 2**31 - 1)


def coordinates(
    linear: Array, centre: Array, reach: Array, velocity: Array = STILL
) -> Array:
    """Source coordinates of one head, (3, *SHAPE)."""
    found = source_coordinates(
        [torch.from_numpy(velocity)], tensor(linear[None]), tensor(centre[None]), tensor(reach),
        SHAPE,
    )
    position: Array = found[0].numpy()
    return position


def fine_velocity(seed: int, std: float, points: tuple[int, int]) -> Array:
    """A velocity field on the grid that it is integrated on, (3, n, n, n)."""
    v = sample_velocity(np.random.default_rng(seed), std, points)
    up = interpolation_matrix(COARSE, v.shape[-1])
    field: Array = np.einsum("xi,yj,zk,cijk->cxyz", up, up, up, v)
    return field


def displacement(velocity: Array) -> Array:
    """Integrate one field; fractions of the side."""
    found: Array = integrate(torch.from_numpy(velocity)[None])[0].numpy()
    return found


def jacobian_determinant(field: Array) -> Array:
    """Of the map x -> x + field(x), x from 0 to 1 along each side."""
    step = 1 / (field.shape[-1] - 1)
    gradient = np.stack([np.stack(np.gradient(f, step)) for f in field])
    determinant: Array = np.linalg.det(np.moveaxis(gradient, (0, 1), (-2, -1)) + np.eye(3))
    return determinant


# --- affine


@given(SEEDS)
def test_no_range_is_no_change(seed: int) -> None:
    assert np.array_equal(sample_affine(np.random.default_rng(seed), 0, 0, 0, False), np.eye(3))


@given(SEEDS, st.floats(0, 180))
def test_rotations_are_rotations(seed: int, degrees: float) -> None:
    linear = sample_affine(np.random.default_rng(seed), degrees, 0, 0, False)
    assert np.allclose(linear @ linear.T, np.eye(3))
    assert np.linalg.det(linear) == pytest.approx(1)


@given(SEEDS, st.floats(0, 0.5), st.floats(0, 0.3))
def test_affine_is_invertible_and_keeps_to_its_ranges(
    seed: int, scaling: float, shear: float
) -> None:
    linear = sample_affine(np.random.default_rng(seed), 15, scaling, shear, True)
    volume = abs(np.linalg.det(linear))  # shears and rotations keep the volume
    assert (1 - scaling) ** 3 - 1e-9 <= volume <= (1 + scaling) ** 3 + 1e-9


def test_flips_mirror_the_first_axis_of_half_of_the_heads() -> None:
    rng = np.random.default_rng(0)
    drawn = [sample_affine(rng, 0, 0, 0, True) for _ in range(200)]
    mirrored = [np.array_equal(m, np.diag([-1.0, 1.0, 1.0])) for m in drawn]
    plain = [np.array_equal(m, np.eye(3)) for m in drawn]
    assert sum(mirrored) + sum(plain) == 200
    assert 70 < sum(mirrored) < 130


# --- warp


def test_still_velocity_moves_nothing() -> None:
    assert not displacement(np.zeros((3, COARSE, COARSE, COARSE), np.float32)).any()


def test_constant_velocity_is_a_translation() -> None:
    v = np.broadcast_to(f32([0.1, -0.05, 0.02])[:, None, None, None], (3, *[COARSE] * 3))
    assert np.allclose(displacement(v.copy()), v, atol=1e-6)


def test_integration_follows_the_flow() -> None:
    """Against the exact flow of v(x) = a sin(2 pi x), which has a closed form."""
    x = np.linspace(0, 1, COARSE)
    v = np.zeros((3, COARSE, COARSE, COARSE), np.float32)
    v[0] = (0.05 * np.sin(2 * np.pi * x))[:, None, None]
    # dx/dt = a sin(2 pi x)  =>  tan(pi x(1)) = tan(pi x(0)) exp(2 pi a)
    end = np.arctan2(np.sin(np.pi * x) * np.exp(0.1 * np.pi), np.cos(np.pi * x)) / np.pi
    assert np.abs(displacement(v)[0, :, 4, 4] - (end - x)).max() < 3e-3


CONFIGURED = [
    (SynthesisConfig().warp_std, SynthesisConfig().warp_grid),
    (AutoencoderConfig().warp_std, SynthesisConfig().warp_grid),
]


@given(SEEDS, st.sampled_from(CONFIGURED))
def test_configured_warps_never_fold(seed: int, config: tuple[float, tuple[int, int]]) -> None:
    assert jacobian_determinant(displacement(fine_velocity(seed, *config))).min() > 0


@given(SEEDS)
def test_backwards_undoes_forwards(seed: int) -> None:
    std, points = CONFIGURED[0]
    v = fine_velocity(seed, std, points)
    there, back = displacement(v), displacement(-v)
    n = COARSE
    position = np.indices((n, n, n)) + there * (n - 1)
    undone = there + np.stack(
        [ndimage.map_coordinates(b, position, order=1, mode="nearest") for b in back]
    )
    inner = (slice(None), *[slice(3, -3)] * 3)
    # Interpolated linearly between control points as close as two voxels: not exact.
    assert np.sqrt((undone[inner] ** 2).mean()) < 0.2 * np.sqrt((there[inner] ** 2).mean()) + 1e-6


@given(SEEDS)
def test_velocity_is_drawn_within_its_ranges(seed: int) -> None:
    v = sample_velocity(np.random.default_rng(seed), 0.03, (3, 8))
    assert v.dtype == np.float32
    assert v.shape[0] == 3
    assert 3 <= v.shape[1] <= 8
    assert v.shape[1] == v.shape[2] == v.shape[3]
    assert v.std() < 0.03 * 1.5


# --- where voxels come from


def test_identity_is_a_straight_walk_through_the_middle() -> None:
    centre, reach = np.array([20.0, 21.0, 22.0]), np.array([4.0, 5.0, 6.0])
    position = coordinates(np.eye(3), centre, reach)
    for axis, n in enumerate(SHAPE):
        line = np.moveaxis(position[axis], axis, 0).reshape(n, -1)
        expected = centre[axis] + np.linspace(-reach[axis], reach[axis], n)
        assert np.allclose(line, expected[:, None], atol=1e-4)


@given(SEEDS, st.tuples(*[st.integers(0, n - 1) for n in SHAPE]))
def test_landmarks_go_where_the_matrix_says(seed: int, voxel: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed)
    linear = sample_affine(rng, 180, 0.3, 0.2, True)
    centre, reach = rng.uniform(-50, 50, 3), rng.uniform(2, 40, 3)
    from_middle = (2 * np.array(voxel) / (np.array(SHAPE) - 1) - 1) * reach
    expected = centre + linear @ from_middle
    assert np.allclose(coordinates(linear, centre, reach)[(slice(None), *voxel)], expected,
                       atol=1e-3)


def test_warp_comes_before_the_affine() -> None:
    """A shift by a tenth of the side, then turned by the matrix."""
    shift = f32([0.1, 0, 0])
    v = np.broadcast_to(shift[:, None, None, None], (3, 2, 2, 2)).copy()
    linear = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    reach, centre = np.array([4.0, 5.0, 6.0]), np.zeros(3)
    moved = coordinates(linear, centre, reach, v) - coordinates(linear, centre, reach)
    expected = linear @ (2 * reach * shift)
    assert np.allclose(moved, expected[:, None, None, None], atol=1e-4)


def test_heads_of_a_batch_do_not_mix() -> None:
    rng = np.random.default_rng(0)
    velocities = [sample_velocity(rng, 0.03, (3, 8)) for _ in range(3)]
    linear = np.stack([sample_affine(rng, 15, 0.1, 0.1, True) for _ in range(3)])
    centre, reach = rng.uniform(-5, 5, (3, 3)), np.array([4.0, 5.0, 6.0])
    together = source_coordinates(
        [torch.from_numpy(v) for v in velocities], tensor(linear), tensor(centre), tensor(reach),
        SHAPE,
    ).numpy()
    for b in range(3):
        alone = coordinates(linear[b], centre[b], reach, velocities[b])
        assert np.allclose(together[b], alone, atol=1e-4)
