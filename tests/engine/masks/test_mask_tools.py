from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_singlestrip.engine.masks import mask_tools

ONE_MM = (1.0, 1.0, 1.0)
THICK = (4.0, 1.0, 1.0)


def ellipsoid(
    semi_mm: tuple[float, float, float], spacing: tuple[float, float, float] = ONE_MM, n: int = 40
) -> np.ndarray:
    """An ellipsoid in the middle of an image of n mm (or more) along each axis."""
    shape = [max(int(n / s), int(2 * r / s) + 5) for s, r in zip(spacing, semi_mm, strict=True)]
    index: Any = np.indices(shape).reshape(3, -1).T
    mm = (index - (np.array(shape) - 1) / 2) * spacing
    return np.asarray(((mm / semi_mm) ** 2).sum(axis=1) < 1).reshape(shape)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def only_slices(mask: np.ndarray, axis: int, numbers: list[int]) -> np.ndarray:
    out = np.zeros_like(mask)
    np.moveaxis(out, axis, 0)[numbers] = np.moveaxis(mask, axis, 0)[numbers]
    return out


masks = st.integers(0, 2**32 - 1).map(
    lambda seed: ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(14, 12, 13)), 2)
    > 0.03
)
axes = st.integers(0, 2)


# --- interpolation


@given(masks, axes, st.integers(2, 5))
def test_interpolation_fills_only_the_empty_slices_between_painted_ones(
    mask: np.ndarray, axis: int, every: int
) -> None:
    painted = only_slices(mask, axis, list(range(1, mask.shape[axis], every)))
    before = painted.copy()

    made = mask_tools.interpolate_slices(painted, axis, ONE_MM)

    np.testing.assert_array_equal(painted, before)  # the argument is not changed
    used = mask_tools.painted_slices(painted, axis)
    one, other = np.moveaxis(painted, axis, 0), np.moveaxis(made, axis, 0)
    np.testing.assert_array_equal(one[used], other[used])
    if used.size:
        assert not other[: used[0]].any() and not other[used[-1] + 1 :].any()
        assert mask_tools.painted_slices(made, axis).size == used[-1] - used[0] + 1
    else:
        assert not made.any()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_head_painted_on_every_tenth_slice_becomes_round(axis: int) -> None:
    truth = ellipsoid((28, 24, 20), n=62)
    used = mask_tools.painted_slices(truth, axis)
    painted = only_slices(truth, axis, [int(used[0]) + 1, *used[3:-3:10], int(used[-1]) - 1])

    made = mask_tools.interpolate_slices(painted, axis, ONE_MM)

    assert dice(made, truth) > 0.97
    # The straight way between slices loses more: the cubic is worth it.
    assert made.sum() > 0.96 * truth.sum()


def test_slices_that_fill_their_box_are_interpolated() -> None:
    block = np.zeros((16, 9, 9), dtype=bool)
    block[3:14, 2:7, 2:7] = True

    made = mask_tools.interpolate_slices(only_slices(block, 0, [3, 8, 13]), 0, ONE_MM)

    np.testing.assert_array_equal(made, block)


def test_between_equal_slices_nothing_swings() -> None:
    """Two painted slices side by side give no slope for a gap of twenty."""
    square = np.zeros((24, 20, 20), dtype=bool)
    square[[0, 1, 22, 23], 5:15, 5:15] = True
    square[[1, 22], 4, 5:15] = True  # a stroke slipped: steep between neighbours

    made = mask_tools.interpolate_slices(square, 0, ONE_MM)

    assert made[11].sum() == pytest.approx(110, abs=12)


def test_shapes_that_do_not_overlap_are_connected() -> None:
    mask = np.zeros((11, 40, 40), dtype=bool)
    mask[0, 2:10, 2:10] = True
    mask[10, 28:36, 28:36] = True

    made = mask_tools.interpolate_slices(mask, 0, ONE_MM)

    assert mask_tools.painted_slices(made, 0).size == 11
    centre = np.argwhere(made[5]).mean(axis=0)
    np.testing.assert_allclose(centre, [18.5, 18.5], atol=1)


def test_the_plane_that_was_painted_is_found() -> None:
    painted = only_slices(ellipsoid((12, 12, 12)), 1, [10, 15, 20, 25])

    assert mask_tools.axis_with_gaps(painted, 0) == 1  # whatever is looked at
    assert mask_tools.axis_with_gaps(painted, 1) == 1
    assert mask_tools.axis_with_gaps(ellipsoid((12, 12, 12)), 2) is None
    assert mask_tools.axis_with_gaps(np.zeros((4, 4, 4), bool), 0) is None


# --- tidying


@given(masks)
def test_one_piece_is_left_and_it_is_the_largest(mask: np.ndarray) -> None:
    made = mask_tools.keep_largest(mask)

    assert not (made & ~mask).any()
    labels, n = ndimage.label(mask)
    if n:
        assert ndimage.label(made)[1] == 1
        assert made.sum() == np.bincount(labels.ravel())[1:].max()


@given(masks)
def test_no_hole_is_left(mask: np.ndarray) -> None:
    made = mask_tools.fill_holes(mask)

    np.testing.assert_array_equal(made, ndimage.binary_fill_holes(mask))


@given(masks, st.floats(0.5, 3))
def test_smoothing_keeps_the_volume(mask: np.ndarray, width: float) -> None:
    made = mask_tools.smooth(mask, ONE_MM, width)

    assert made.sum() == mask.sum()


def test_smoothing_takes_bumps_away() -> None:
    truth = ellipsoid((15, 15, 15))
    rough = truth ^ (np.random.default_rng(0).random(truth.shape) < 0.03)

    made = mask_tools.smooth(rough, ONE_MM, 1.5)

    assert dice(made, truth) > dice(rough, truth) + 0.01


def test_smoothing_is_in_mm() -> None:
    truth = ellipsoid((20, 20, 20), THICK, 60)
    comb = truth.copy()
    comb[::2] = False  # every second slice of 4 mm is missing

    fine, wide = (mask_tools.smooth(comb, THICK, mm) for mm in (1.0, 6.0))

    np.testing.assert_array_equal(fine[::2].any(), False)
    assert wide[::2].any()


def test_a_brain_that_the_picture_cuts_off_is_not_rounded_there() -> None:
    cut = ellipsoid((15, 15, 15))[20:]

    made = mask_tools.smooth(cut, ONE_MM, 2.0)

    assert made[0].sum() >= 0.97 * cut[0].sum()


@pytest.mark.parametrize("mm", [1.0, 3.0])
def test_growing_and_shrinking_move_the_surface_by_mm(mm: float) -> None:
    ball = ellipsoid((12, 12, 12), n=44)

    larger, smaller = (mask_tools.grow(ball, ONE_MM, by) for by in (mm, -mm))

    for made, radius in ((larger, 12 + mm), (smaller, 12 - mm)):
        assert made.sum() == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.09)
    assert not (ball & ~larger).any() and not (smaller & ~ball).any()


@given(masks, st.sampled_from([-1.2, -1.0, 1.0, 1.6]), st.sampled_from([ONE_MM, THICK]))
def test_small_and_large_steps_are_done_in_two_ways_with_one_result(
    mask: np.ndarray, mm: float, spacing: tuple[float, float, float]
) -> None:
    swept = mask_tools.grow(mask, spacing, mm)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mask_tools, "MAX_BALL", 0)
        np.testing.assert_array_equal(swept, mask_tools.grow(mask, spacing, mm))


def test_growing_by_a_voxel_does_not_leap_over_thick_slices() -> None:
    flat = np.zeros((7, 20, 20), dtype=bool)
    flat[3, 8:12, 8:12] = True

    made = mask_tools.grow(flat, THICK, 1.0)

    np.testing.assert_array_equal(mask_tools.painted_slices(made, 0), [3])
    assert made[3].sum() > 16


def test_growing_nothing_and_everything() -> None:
    empty, full = np.zeros((5, 5, 5), bool), np.ones((5, 5, 5), bool)

    assert not mask_tools.grow(empty, ONE_MM, 1).any()
    assert mask_tools.grow(full, ONE_MM, 1).all()
    assert not mask_tools.smooth(empty, ONE_MM, 1).any()


# --- slices and ranges


def test_the_nearest_painted_slice_is_copied() -> None:
    mask = np.zeros((10, 6, 6), dtype=bool)
    mask[2, 1:3] = True
    mask[8, 4:6] = True

    made = mask_tools.copy_slice(mask, 0, 4)
    np.testing.assert_array_equal(made[4], mask[2])
    np.testing.assert_array_equal(np.delete(made, 4, 0), np.delete(mask, 4, 0))
    np.testing.assert_array_equal(mask_tools.copy_slice(mask, 0, 2)[2], mask[8])
    np.testing.assert_array_equal(mask_tools.copy_slice(mask, 0, 5)[5], mask[2])  # as near: lower
    assert not mask_tools.copy_slice(np.zeros_like(mask), 0, 4).any()


def test_the_range_holds_what_is_painted_and_not_the_skull() -> None:
    rng = np.random.default_rng(1)
    image = rng.normal(100, 5, (20, 20, 20)).astype(np.float32)
    image[:5], image[15:] = 5, 300
    brain = np.zeros(image.shape, dtype=bool)
    brain[6:14] = True

    low, high = mask_tools.range_of(image, brain)

    assert 80 < low < 95 and 105 < high < 120
    low, high = mask_tools.range_of(image, np.zeros_like(brain))
    assert 5 < low < 100 and high == 300
