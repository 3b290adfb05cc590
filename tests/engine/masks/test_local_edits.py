"""What brushes do where they touch."""

from __future__ import annotations

import numpy as np
import pytest

from napari_singlestrip.engine.masks.local_edits import (
    disc,
    hanging_together,
    like_tissue,
    moved_here,
    pushed,
    smoothed_here,
    snapped,
)

SPACINGS = [(1.0, 1.0, 1.0), (0.5, 0.5, 2.0), (1.2, 0.9, 0.9)]
SHAPE = (41, 41, 1)
MIDDLE = (20.0, 20.0, 0.0)


def half(column: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """All that is left of a column."""
    found = np.zeros(shape, dtype=bool)
    found[:, :column] = True
    return found


def noisy(values: np.ndarray, seed: int = 0) -> np.ndarray:
    return values + np.random.default_rng(seed).normal(0, 4, values.shape).astype(np.float32)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_dab_is_round_in_mm_and_never_nothing(spacing: tuple[float, float, float]) -> None:
    found = disc(SHAPE, MIDDLE, 6.0, spacing)
    extent = [np.ptp(np.nonzero(found)[axis]) * spacing[axis] for axis in (0, 1)]
    assert extent == pytest.approx([12.0, 12.0], abs=2 * max(spacing[:2]))
    area = found.sum() * spacing[0] * spacing[1]
    assert area == pytest.approx(np.pi * 36, rel=0.1)
    assert disc(SHAPE, (20.4, 20.4, 0.0), 0.01, spacing).sum() == 1


def test_the_smart_brush_stops_at_an_edge() -> None:
    bright = half(23)
    image = noisy(np.where(bright, 100, 40).astype(np.float32))
    touched = disc(SHAPE, MIDDLE, 9, SPACINGS[0])
    found = like_tissue(image, touched, MIDDLE, SPACINGS[0])
    assert (found & ~bright).sum() == 0
    assert (found & bright).sum() > 0.8 * (touched & bright).sum()


def test_the_smart_brush_does_not_jump_over_a_thin_wall() -> None:
    """As bright on both sides: a skull between brain and scalp."""
    image = np.full(SHAPE, 100, np.float32)
    image[:, 24:27] = 20
    touched = disc(SHAPE, MIDDLE, 10, SPACINGS[0])
    found = like_tissue(noisy(image), touched, MIDDLE, SPACINGS[0])
    assert not found[:, 24:].any()
    assert found[:, :23].sum() > 0.8 * touched[:, :23].sum()


def test_in_even_tissue_the_smart_brush_is_a_brush() -> None:
    touched = disc(SHAPE, MIDDLE, 8, SPACINGS[0])
    found = like_tissue(noisy(np.full(SHAPE, 100, np.float32)), touched, MIDDLE, SPACINGS[0])
    assert not (found & ~touched).any()
    assert found.sum() > 0.85 * touched.sum()
    outside = like_tissue(np.ones(SHAPE), np.zeros(SHAPE, bool), MIDDLE, SPACINGS[0])
    assert not outside.any()


@pytest.mark.parametrize("spacing", SPACINGS)
def test_smoothing_takes_a_spike_only_where_the_brush_is(
    spacing: tuple[float, float, float]
) -> None:
    mask = half(20)
    mask[10, 20:26] = mask[30, 20:26] = True  # two spikes
    touched = np.zeros(SHAPE, dtype=bool)
    touched[:20] = True
    found = smoothed_here(mask, touched, spacing, 2.0)
    assert not found[10, 22:].any()
    assert np.array_equal(found[20:], mask[20:])


def test_growing_and_shrinking_move_the_surface_by_mm_where_the_brush_is() -> None:
    spacing, touched = (1.0, 0.5, 3.0), disc(SHAPE, MIDDLE, 8, (1.0, 0.5, 3.0))
    for distance, edge in ((2.0, 24), (-2.0, 16)):
        found = moved_here(half(20), touched, spacing, distance)
        assert np.array_equal(found[20], half(edge)[20])
        assert np.array_equal(found[0], half(20)[0])


@pytest.mark.parametrize("by", [4.0, -4.0])
def test_pushing_moves_the_surface_with_the_brush_and_fades(by: float) -> None:
    mask = half(20)
    start = (20.0, 20.0 - by / 2, 0.0)
    end = (20.0, 20.0 + by / 2, 0.0)
    found = pushed(mask, start, end, 10.0, SPACINGS[0])
    moved = found[:, :, 0].sum(axis=1) - 20.0
    assert np.sign(by) * moved[20] >= 2
    assert moved[5] == 0  # out of reach
    assert (np.sign(by) * np.diff(np.sign(by) * moved[20:31]) <= 0).all() or by < 0
    assert abs(moved[14]) < abs(moved[20])


def test_snapping_finds_the_edge_within_reach_and_no_other() -> None:
    image = noisy(np.where(half(23), 100, 30).astype(np.float32))
    touched = disc(SHAPE, MIDDLE, 9, SPACINGS[0])
    found = snapped(half(20), image, touched, SPACINGS[0], 4.0)
    assert found[20].sum() == 23
    assert found[2].sum() == 20  # not touched
    far = snapped(half(14), image, touched, SPACINGS[0], 4.0)
    assert abs(int(far[20].sum()) - 14) <= 4
    nothing = snapped(half(0), image, touched, SPACINGS[0], 4.0)
    assert not nothing.any()


def test_in_3d_a_box_of_several_slices_is_worked_on_as_one() -> None:
    shape, middle = (21, 21, 21), (10.0, 10.0, 10.0)
    image = noisy(np.where(half(12, shape), 100, 30).astype(np.float32))
    touched = disc(shape, middle, 7, SPACINGS[0])
    assert touched.sum() == pytest.approx(4 / 3 * np.pi * 343, rel=0.1)
    found = snapped(half(10, shape), image, touched, SPACINGS[0], 3.0)
    assert found[10, :, 10].sum() == 12 and found[10, :, 7].sum() == 12
    painted = like_tissue(image, touched, middle, SPACINGS[0])
    assert not (painted & ~half(12, shape)).any()


def test_specks_beside_a_stroke_are_left_out() -> None:
    candidates, painted = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    candidates[4, 1:6] = candidates[4, 8] = candidates[0, 0] = True
    assert np.array_equal(np.argwhere(hanging_together(candidates, painted)),
                          [(4, n) for n in range(1, 6)])
    painted[4, 7] = True  # the speck touches what is painted
    assert np.array_equal(np.argwhere(hanging_together(candidates, painted)), [(4, 8)])
    painted[4, 1] = True
    assert hanging_together(candidates, painted).sum() == 6
    assert not hanging_together(np.zeros((3, 3), bool), np.ones((3, 3), bool)).any()
