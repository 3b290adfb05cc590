"""Matrices per axis: they do what scipy does, and never make something from nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import ndimage

from napari_singlestrip.engine.heads.separable import (
    apply_separable,
    blur_matrix,
    interpolation_matrix,
    slice_matrix,
)

Array = np.ndarray[Any, Any]
SIZES = st.integers(2, 40)


def noise(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape)


def is_average(matrix: Array) -> bool:
    """Whether each output is a weighted mean of inputs, so that constants stay constant."""
    return bool(np.allclose(matrix.sum(1), 1, atol=1e-5) and matrix.min() >= 0)


@given(SIZES, st.integers(1, 12), st.floats(0, 12), st.floats(1, 16), st.floats(0, 1))
@example(2, 1, 1e-200, 1.0, 0.0)
def test_rows_sum_to_one(n: int, n_in: int, fwhm: float, thickness: float, offset: float) -> None:
    assert is_average(interpolation_matrix(n, n_in))
    assert is_average(blur_matrix(n, fwhm))
    assert is_average(slice_matrix(n, thickness, offset))


@given(SIZES)
def test_nothing_asked_for_is_nothing_done(n: int) -> None:
    identity = np.eye(n, dtype=np.float32)
    for matrix in (
        interpolation_matrix(n, n), blur_matrix(n, 0), slice_matrix(n, 1), slice_matrix(n, 0.5)
    ):  # fmt: skip
        assert np.allclose(matrix, identity, atol=1e-6)
        assert matrix.dtype == np.float32


@given(SIZES, st.integers(2, 12))
def test_interpolation_is_that_of_scipy(n_out: int, n_in: int) -> None:
    x = noise(n_in)
    expected = ndimage.map_coordinates(x, [np.linspace(0, n_in - 1, n_out)], order=1)
    assert np.allclose(interpolation_matrix(n_out, n_in) @ x, expected, atol=1e-5)


def test_one_control_point_is_a_constant() -> None:
    assert np.allclose(interpolation_matrix(7, 1), 1)


@given(SIZES, st.floats(0.5, 8))
def test_blur_is_the_gaussian_of_scipy_renormalised(n: int, fwhm: float) -> None:
    sigma = fwhm / 2.3548200450309493
    x = noise(n)

    def blurred(values: Array) -> Array:
        smooth: Array = ndimage.gaussian_filter1d(values, sigma, mode="constant", truncate=40)
        return smooth

    assert np.allclose(blur_matrix(n, fwhm) @ x, blurred(x) / blurred(np.ones(n)), atol=1e-4)


@given(st.integers(2, 8), st.integers(2, 6))
def test_slices_are_means_of_blocks(thickness: int, n_slices: int) -> None:
    """At its middle, a slice is the mean of the voxels it holds."""
    n = thickness * n_slices
    x = noise(n)
    thick = slice_matrix(n, thickness) @ x
    middle = np.arange(n_slices) * thickness + (thickness - 1) / 2
    at_middle = (thick[np.floor(middle).astype(int)] + thick[np.ceil(middle).astype(int)]) / 2
    # Half-way between two voxels, interpolation leans to neither side only at the ends.
    means = x.reshape(n_slices, thickness).mean(1)
    if thickness % 2:
        assert np.allclose(at_middle, means, atol=1e-4)
    else:
        padded = np.r_[means[0], means, 0]
        lean = 0.5 / thickness
        before = thick[np.floor(middle).astype(int)][1:-1]
        expected = (1 - lean) * padded[2:-2] + lean * padded[1:-3]
        assert np.allclose(before, expected, atol=1e-4)


@given(SIZES, st.floats(1, 16), st.floats(0, 1))
def test_thick_slices_only_lose(n: int, thickness: float, offset: float) -> None:
    x = noise(n)
    thick = slice_matrix(n, thickness, offset) @ x
    assert x.min() - 1e-4 <= thick.min() <= thick.max() <= x.max() + 1e-4
    assert np.abs(np.diff(thick)).max() <= np.abs(np.diff(x)).max() + 1e-4


def test_each_matrix_acts_on_its_own_axis_and_head() -> None:
    x = torch.from_numpy(noise(2, 3, 4, 5, 6))
    matrices = [torch.from_numpy(noise(2, *shape)) for shape in ((7, 4), (8, 5), (9, 6))]
    expected = torch.einsum("bxi,byj,bzk,bcijk->bcxyz", *matrices, x)
    got = apply_separable(x, matrices)
    assert got.shape == (2, 3, 7, 8, 9)
    assert torch.allclose(got, expected)


def test_blur_of_a_volume_is_that_of_scipy() -> None:
    volume = np.zeros((15, 17, 19), np.float32)
    volume[7, 8, 9] = 1
    matrices = [torch.from_numpy(blur_matrix(n, 3.0))[None] for n in volume.shape]
    got = apply_separable(torch.from_numpy(volume)[None, None], matrices)[0, 0].numpy()
    assert np.allclose(got, ndimage.gaussian_filter(volume, 3.0 / 2.35482, truncate=6), atol=1e-5)
