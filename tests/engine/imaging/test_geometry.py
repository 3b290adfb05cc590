from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_singlestrip.engine.imaging import geometry
from napari_singlestrip.engine.imaging.geometry import (
    conform,
    conform_grid,
    head_box,
    normalize,
    resample,
    signed_distance,
    unconform,
)
from napari_singlestrip.engine.imaging.grid import Grid, Volume

ALL_48 = list(
    itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3))
)
BOX = (np.array([-60.0, -70, -50]), np.array([60.0, 70, 50]))


def centred(
    shape: tuple[int, ...], matrix: np.ndarray, shift: tuple[float, ...] = (0, 0, 0)
) -> Grid:
    offset = np.asarray(shift) - matrix @ (np.array(shape) - 1) / 2
    return Grid((shape[0], shape[1], shape[2]), nib.affines.from_matvec(matrix, offset))


def positions(grid: Grid) -> np.ndarray:
    index = np.moveaxis(np.indices(grid.shape), 0, -1)
    return np.asarray(nib.affines.apply_affine(grid.affine, index))


def ellipsoid(grid: Grid, centre: tuple[float, ...] = (4, -6, 9)) -> np.ndarray:
    """An egg of half axes 30, 40 and 25 mm, with a bump that breaks every symmetry."""
    x = positions(grid) - np.asarray(centre)
    egg = ((x / [30.0, 40.0, 25.0]) ** 2).sum(axis=-1) < 1
    bump = ((x - [24, 18, 8]) ** 2).sum(axis=-1) < 14**2
    return np.asarray(egg | bump)


def head(grid: Grid, rng: np.random.Generator, noise: float = 0.03) -> np.ndarray:
    """Brain, skull, scalp, a bright neck, and noise."""
    x = positions(grid)
    radius = np.sqrt(((x / [45.0, 55.0, 42.0]) ** 2).sum(axis=-1))
    image = np.select([radius < 0.8, radius < 0.9, radius < 1], [0.4, 0.05, 0.7], 0.0)
    neck = (np.hypot(x[..., 0], x[..., 1] + 10) < 20) & (x[..., 2] < -35)
    image = np.where(neck, 3.0, image)
    return np.asarray(np.abs(image + noise * rng.normal(size=grid.shape)), dtype=np.float32) * 500


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * np.count_nonzero(a & b) / (a.sum() + b.sum()))


def round_trip(mask: np.ndarray, grid: Grid, spacing: float) -> np.ndarray:
    conformed = conform_grid(spacing, BOX)
    soft = resample(Volume(mask.astype(np.float32), grid.affine), conformed)
    return unconform(soft, conformed, grid) > 0.5


@settings(max_examples=50, deadline=None)
@given(st.floats(0.2, 9), st.sampled_from([1, 8, 16]), st.tuples(*[st.floats(1, 150)] * 3))
def test_the_conform_grid_covers_its_box(
    spacing: float, multiple: int, size: tuple[float, ...]
) -> None:
    low = np.array([-20.0, 33, 5])
    high = low + np.minimum(size, 40 * spacing)
    grid = conform_grid(spacing, (low, high), multiple=multiple)
    assert grid.orientation == "RAS"
    assert all(n % multiple == 0 for n in grid.shape)
    assert grid.spacing == pytest.approx((spacing,) * 3)
    corners = grid.corners()
    assert (corners.min(axis=0) - spacing / 2 <= low + 1e-4 * spacing).all()
    assert (corners.max(axis=0) + spacing / 2 >= high - 1e-4 * spacing).all()
    assert (np.array(grid.shape) * spacing <= high - low + (multiple + 1e-6) * spacing).all()


def test_a_grid_that_would_be_too_large_gets_larger_voxels_and_a_note() -> None:
    grid = conform_grid(1.0, BOX, max_voxels=64**3)
    assert np.prod(grid.shape) <= 64**3
    assert (np.array(grid.shape) * grid.spacing >= BOX[1] - BOX[0]).all()
    scan = centred((40, 40, 40), np.eye(3) * 3)
    volume = Volume(head(scan, np.random.default_rng(0)), scan.affine)
    assert "mm taken" in conform(volume, 1.0, max_voxels=32**3).notes[0]
    assert conform(volume, 4.0, max_voxels=64**3).notes == ()


@pytest.mark.parametrize(("axes", "signs"), ALL_48)
def test_masks_come_back_for_all_orientations(
    axes: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    spacing = np.diag(np.array([1.7, 2.0, 2.9])[list(axes)])
    shape = tuple(np.array([64, 60, 36])[list(axes)].tolist())
    grid = centred(shape, (np.diag(signs) @ np.eye(3)[:, list(axes)]) @ spacing)
    mask = ellipsoid(grid)
    back = round_trip(mask, grid, 4.0)
    assert back.shape == mask.shape
    assert dice(back, mask) > 0.97


@settings(max_examples=8, deadline=None)
@given(
    st.tuples(*[st.floats(-3, 3)] * 3),
    st.tuples(*[st.floats(1, 3)] * 3),
    st.tuples(*[st.floats(-9, 9)] * 3),
)
def test_masks_come_back_from_oblique_grids(
    turn: tuple[float, ...], spacing: tuple[float, ...], shift: tuple[float, ...]
) -> None:
    matrix = nib.eulerangles.euler2mat(*turn) @ np.diag(spacing)
    shape = tuple(int(n) for n in np.ceil(125 / np.array(spacing)))
    grid = centred(shape, matrix, shift)
    mask = ellipsoid(grid)
    assert dice(round_trip(mask, grid, 4.0), mask) > 0.97


def test_four_millimetres_keep_a_mask_of_one_millimetre() -> None:
    grid = centred((120, 130, 110), np.eye(3))
    mask = ellipsoid(grid)
    assert dice(round_trip(mask, grid, 4.0), mask) > 0.985
    assert dice(round_trip(mask, grid, 2.0), mask) > 0.993


def test_what_is_far_from_the_field_is_exactly_fill() -> None:
    conformed, target = conform_grid(4.0, BOX), centred((90, 90, 60), np.eye(3) * 1.5)
    field = np.full(conformed.shape, -3.0, np.float32)
    assert (unconform(field, conformed, target, fill=-3.0) == -3).all()
    field[14:17, 15:18, 13:15] = 2.0
    out = unconform(field, conformed, target, fill=-3.0)
    assert (out[:20] == -3).all()
    assert out.max() == pytest.approx(2, abs=0.01)
    elsewhere = centred((20, 20, 20), np.eye(3), (500, 0, 0))
    assert (unconform(field, conformed, elsewhere, fill=-3.0) == -3).all()


def test_the_window_changes_nothing() -> None:
    conformed = conform_grid(4.0, BOX)
    field = resample(
        Volume(ellipsoid(centred((60, 70, 50), np.eye(3) * 2)).astype(np.float32),
               centred((60, 70, 50), np.eye(3) * 2).affine),
        conformed,
    )  # fmt: skip
    for matrix in (np.eye(3), nib.eulerangles.euler2mat(0.4, 0.2, 0.1)):
        target = centred((100, 100, 100), matrix * 1.2)
        whole = resample(Volume(field, conformed.affine), target)
        np.testing.assert_allclose(unconform(field, conformed, target), whole, atol=0.011)


@pytest.mark.parametrize("angle", [0.0, 0.3])
def test_the_box_holds_the_head_and_not_the_air(angle: float) -> None:
    matrix = nib.eulerangles.euler2mat(angle) * 2.0
    grid = centred((90, 90, 90), matrix)
    image = head(grid, np.random.default_rng(0), noise=0.06)
    low, high = head_box(Volume(image, grid.affine))
    assert (low <= [-43, -53, -60]).all()
    assert (high >= [43, 53, 40]).all()
    assert (high <= [56, 66, 53]).all()
    assert (low[:2] >= [-56, -66]).all()


def test_a_broken_scalp_belongs_to_the_head_and_a_far_speck_does_not() -> None:
    grid = centred((64, 64, 64), np.eye(3) * 3)
    x = positions(grid)
    radius = np.linalg.norm(x, axis=-1)
    scalp = (np.abs(radius - 60) < 2) & (np.indices(grid.shape).sum(axis=0) % 3 == 0)
    image = ((radius < 50) | scalp).astype(np.float32)
    image[62, 62, 62] = 1
    low, high = head_box(Volume(image, grid.affine))
    assert (low < -57).all()
    assert (high > 57).all()
    assert (high < 66).all()


def test_without_a_head_the_box_is_the_field_of_view() -> None:
    grid = centred((30, 20, 10), np.diag([-2.0, 3, 4]), (1, 2, 3))
    data = np.ones(grid.shape, np.float32)
    data[0, 0, 0] = 2
    low, high = head_box(Volume(data, grid.affine))
    np.testing.assert_allclose(low, [-29, -28, -17])
    np.testing.assert_allclose(high, [31, 32, 23])


def test_conform_scales_intensities_whatever_the_units() -> None:
    grid = centred((60, 64, 60), np.eye(3) * 2)
    image = head(grid, np.random.default_rng(0))
    first = conform(Volume(image, grid.affine), 4.0)
    other = conform(Volume(image * 37 - 1000, grid.affine), 4.0)
    assert first.data.dtype == np.float32
    assert first.data.flags.c_contiguous
    assert (first.data.min(), first.data.max()) == (0, 1)
    assert first.grid.orientation == "RAS"
    np.testing.assert_allclose(first.data, other.data, atol=1e-4)


def test_normalize_survives_odd_pictures() -> None:
    for data in (np.zeros((4, 4, 4)), np.eye(4)[None] * 7, -np.arange(27.0).reshape(3, 3, 3)):
        scaled = normalize(data.astype(np.float32))
        assert np.isfinite(scaled).all()
        assert scaled.min() >= 0
        assert scaled.max() <= 1


@pytest.mark.parametrize("fast", [True, False])
def test_signed_distance_of_a_ball(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fast:
        monkeypatch.setattr(geometry, "fast_edt", None)
    spacing = (1.0, 1.5, 2.0)
    x = positions(centred((60, 40, 30), np.diag(spacing)))
    radius = np.linalg.norm(x, axis=-1)
    distance = signed_distance(radius < 15, spacing)
    assert distance.dtype == np.float32
    assert np.abs(distance - (radius - 15)).max() < 1.5
    assert ((distance < 0) == (radius < 15)).all()
    band = signed_distance(radius < 15, spacing, band_mm=5.0)
    np.testing.assert_allclose(band, np.clip(distance, -5, 5), atol=1e-5)


def test_signed_distance_of_a_plane_is_exact_and_of_nothing_infinite() -> None:
    mask = np.zeros((10, 3, 3), bool)
    mask[:4] = True
    expected = (np.arange(10) - 3.5) * 2
    np.testing.assert_allclose(signed_distance(mask, (2.0, 2, 2))[:, 1, 1], expected)
    assert (signed_distance(mask & False, (1.0, 1, 1)) == np.inf).all()
    assert (signed_distance(mask | True, (1.0, 1, 1), band_mm=3) == -3).all()
