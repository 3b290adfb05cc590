from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.imaging.resampling import block_mean, inside_view, resample

ALL_48 = list(
    itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3))
)
spacings = st.tuples(*[st.floats(0.6, 3)] * 3)


def ramp(grid: Grid) -> np.ndarray:
    """A linear function of RAS position: it survives averaging and linear interpolation exactly."""
    index = np.indices(grid.shape).reshape(3, -1).T
    position = np.asarray(nib.affines.apply_affine(grid.affine, index))
    return np.asarray(position @ [1.0, -2.0, 0.5]).reshape(grid.shape)


def centred(shape: tuple[int, int, int], matrix: np.ndarray) -> Grid:
    return Grid(shape, nib.affines.from_matvec(matrix, -matrix @ (np.array(shape) - 1) / 2))


def as_volume(grid: Grid) -> Volume:
    return Volume(ramp(grid).astype(np.float32), grid.affine)


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.floats(0.05, 0.7)] * 3), spacings, st.floats(0.5, 6), st.booleans())
def test_every_sample_between_oblique_axes(
    turn: tuple[float, ...], spacing: tuple[float, ...], other_spacing: float, swap: bool
) -> None:
    matrices = [nib.eulerangles.euler2mat(*turn), np.eye(3)]
    fine, coarse = matrices[::-1] if swap else matrices
    source = centred((40, 40, 40), fine @ np.diag(spacing))
    target = centred((6, 7, 5), coarse * min(other_spacing, min(spacing) * 3))
    sampled = resample(as_volume(source), target, fill=np.nan)
    np.testing.assert_allclose(sampled, ramp(target), atol=2e-3)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(ALL_48), spacings, st.floats(0.5, 4), st.tuples(*[st.floats(-4, 4)] * 3))
def test_every_sample_between_parallel_axes(
    turn: tuple[tuple[int, ...], tuple[int, ...]],
    spacing: tuple[float, ...],
    other_spacing: float,
    shift: tuple[float, ...],
) -> None:
    axes, signs = turn
    source = centred((40, 42, 44), (np.diag(signs) @ np.eye(3)[list(axes)]) * np.array(spacing))
    near = centred((4, 5, 6), np.eye(3) * other_spacing)
    target = Grid(near.shape, nib.affines.from_matvec(np.eye(3), shift) @ near.affine)
    sampled = resample(as_volume(source), target, fill=np.nan)
    # A mean over parts of voxels is off by up to an eighth of one, interpolation is exact.
    steps = other_spacing / np.abs(source.affine[:3, :3]).max(axis=1)
    off = 0.13 * np.abs([1.0, 2.0, 0.5]) * np.abs(source.affine[:3, :3]).max(axis=1) * (steps > 1)
    np.testing.assert_allclose(sampled, ramp(target), atol=2e-3 + off.sum())


@pytest.mark.parametrize(("axes", "signs"), ALL_48)
def test_the_same_voxels_in_another_order_are_exact(
    axes: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    data = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    image = nib.Nifti1Image(data, np.diag([2.0, 1.0, 3.0, 1.0]))
    turned = image.as_reoriented(np.array(list(zip(axes, signs, strict=True))))
    target = Grid(turned.shape, turned.affine)
    for same in (np.ascontiguousarray(data), np.asfortranarray(data)):
        volume = Volume(same, image.affine)
        np.testing.assert_allclose(resample(volume, target), turned.get_fdata(), rtol=1e-6)


def test_averaging_keeps_the_total_and_interpolation_the_range() -> None:
    data = np.random.default_rng(0).random((24, 32, 16)).astype(np.float32)
    volume = Volume(data, np.eye(4))
    coarse = Grid((6, 8, 4), nib.affines.from_matvec(np.eye(3) * 4, [1.5] * 3))
    averaged = resample(volume, coarse)
    expected = data.reshape(6, 4, 8, 4, 4, 4).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(averaged, expected, rtol=1e-5)
    fine = resample(Volume(averaged, coarse.affine), volume.grid)
    assert averaged.min() - 1e-6 <= fine.min() <= fine.max() <= averaged.max() + 1e-6


@pytest.mark.parametrize("angle", [0.0, 0.3])
def test_stripes_finer_than_the_grid_fade_instead_of_aliasing(angle: float) -> None:
    """Thick slices: averaged in plane, interpolated across."""
    shape, spacing = (80, 80, 12), (0.9, 0.9, 5.5)
    source = centred(shape, nib.eulerangles.euler2mat(angle) @ np.diag(spacing))
    stripes = np.broadcast_to((np.arange(80) % 2).astype(np.float32)[:, None, None], shape)
    sampled = resample(Volume(stripes, source.affine), centred((10, 10, 8), np.eye(3) * 4))
    assert np.abs(sampled - 0.5).max() < 0.13
    across = np.broadcast_to((np.arange(12) % 2).astype(np.float32), shape)
    sampled = resample(Volume(across, source.affine), centred((3, 3, 40), np.eye(3)))
    assert np.ptp(sampled[1, 1]) > 0.9
    assert np.abs(np.diff(sampled[1, 1])).max() < 0.25  # a ramp, not steps


def test_outside_begins_half_a_voxel_beyond_the_last_centre() -> None:
    volume = Volume(np.ones((4, 4, 4), np.float32), np.eye(4))
    for matrix in (np.eye(3), nib.eulerangles.euler2mat(0.002)):
        grid = Grid((60, 1, 1), nib.affines.from_matvec(matrix * 0.1, [-1, 1, 1]))
        inside = resample(volume, grid, fill=-7)[:, 0, 0] > 0
        position = -1 + 0.1 * np.arange(60)
        far = np.abs(np.abs(position - 1.5) - 2) > 0.01
        np.testing.assert_array_equal(inside[far], (np.abs(position - 1.5) < 2)[far])


def test_nearly_parallel_and_oblique_grids_agree() -> None:
    rng = np.random.default_rng(0)
    source = centred((40, 40, 40), np.eye(3))
    data = np.cumsum(rng.normal(size=source.shape), axis=0).astype(np.float32)
    straight = centred((30, 30, 30), np.eye(3))
    turned = centred((30, 30, 30), nib.eulerangles.euler2mat(0.004))
    a, b = (resample(Volume(data, source.affine), grid) for grid in (straight, turned))
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.99


def test_block_mean_averages_what_remains() -> None:
    data = np.arange(7 * 3 * 2, dtype=np.int16).reshape(7, 3, 2)
    small = block_mean(Volume(data, np.diag([1.0, 2, 3, 1])), (3, 1, 2))  # type: ignore[arg-type]
    assert small.data.shape == (3, 3, 1)
    np.testing.assert_allclose(small.data[0, 0, 0], data[:3, 0].mean())
    np.testing.assert_allclose(small.data[2, 1, 0], data[6:, 1].mean())
    np.testing.assert_allclose(small.affine[:3, 3], [1, 0, 1.5])
    assert small.spacing == (3, 2, 6)


@given(st.integers(0, 2**32 - 1))
def test_inside_is_within_half_a_voxel_of_the_centres(seed: int) -> None:
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    if rng.random() < 0.3:
        turn = np.eye(3)[rng.permutation(3)]
    affine = np.eye(4)
    affine[:3, :3] = turn * rng.uniform(0.3, 2, 3)
    affine[:3, 3] = rng.uniform(-4, 4, 3)
    source, grid = Grid((5, 7, 6), np.eye(4)), Grid((8, 6, 9), affine)
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    position = index @ affine[:3, :3].T + affine[:3, 3]
    beyond = np.abs(position - (np.array(source.shape) - 1) / 2) - np.array(source.shape) / 2
    # Rounding may decide on the edge itself.
    asked = np.asarray(np.abs(beyond - 1e-3).min(axis=-1) > 1e-4)
    expected = np.asarray(beyond <= 1e-3).all(axis=-1)
    differ = inside_view(source, grid) != expected
    assert not (differ & asked).any()
