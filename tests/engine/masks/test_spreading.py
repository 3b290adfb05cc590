"""Corrections of a few slices are carried into the rest of a mask."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from napari_singlestrip.engine.masks.growing import suggest_brain
from napari_singlestrip.engine.masks.mask_tools import interpolate_slices
from napari_singlestrip.engine.masks.metrics import dice
from napari_singlestrip.engine.masks.next_slice import doubt_of, expected_gains, next_slice
from napari_singlestrip.engine.masks.spreading import Follower, SetSlice, spread_corrections

Spacing = tuple[float, float, float]
TWO_MM: Spacing = (2.0, 2.0, 2.0)
THICK: Spacing = (1.5, 1.5, 5.0)
SHAPE = (80, 96, 80)  # of 2 mm
BEFORE = ((0, 0, 0), (60, 76, 58))
AFTER = ((2, -3, 0), (66, 80, 63))  # 2 to 9 mm away


def ball(
    centre: tuple[float, ...],
    radii: tuple[float, ...],
    spacing: Spacing = TWO_MM,
    extent_mm: tuple[float, ...] = (160, 192, 160),
) -> np.ndarray:
    """An ellipsoid in an image of a certain extent, its centre from the middle of that."""
    shape = tuple(round(e / s) for e, s in zip(extent_mm, spacing, strict=True))
    index: Any = np.ogrid[tuple(slice(n) for n in shape)]
    inside = sum(
        (((i - (n - 1) / 2) * s - c) / r) ** 2
        for i, n, s, c, r in zip(index, shape, spacing, centre, radii, strict=True)
    )
    return np.asarray(inside < 1)


def edit(before: np.ndarray, after: np.ndarray, slices: list[SetSlice]) -> np.ndarray:
    edited = before.copy()
    for s in slices:
        np.moveaxis(edited, s.axis, 0)[s.index] = np.moveaxis(after, s.axis, 0)[s.index]
    return edited


def follow(
    before: np.ndarray,
    after: np.ndarray,
    slices: list[SetSlice],
    spacing: Spacing = TWO_MM,
    image: np.ndarray | None = None,
) -> np.ndarray:
    edited = edit(before, after, slices)
    out = spread_corrections(before, edited, slices, spacing, image)
    for s in slices:
        mine, set_ = np.moveaxis(out, s.axis, 0), np.moveaxis(edited, s.axis, 0)
        np.testing.assert_array_equal(mine[s.index], set_[s.index])
    assert out.dtype == bool
    return out


def picture(brain: np.ndarray, spacing: Spacing = TWO_MM) -> np.ndarray:
    """A brain of 100 in a dark rim, in a head of 60, with noise."""
    distance = ndimage.distance_transform_edt(~brain, sampling=spacing)
    data = np.where(brain, 100.0, np.where(distance < 6, 15.0, np.where(distance < 16, 60.0, 2.0)))
    noise = np.random.default_rng(0).normal(scale=6, size=brain.shape)
    return np.asarray(data + noise, dtype=np.float32)


AXIAL = [SetSlice(2, k) for k in (20, 40, 60)]


# --- the rest comes along


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_surface_moves_with_the_slices_in_any_plane(axis: int) -> None:
    before, after = ball(*BEFORE), ball(*AFTER)
    slices = [SetSlice(axis, k) for k in (22, 40, 58)]
    alone = edit(before, after, slices)

    moved = follow(before, after, slices)

    assert dice(before, after) < 0.91
    assert dice(alone, after) < 0.92
    assert dice(moved, after) > 0.96


def test_slices_of_two_planes_tell_more_than_those_of_one() -> None:
    before, after = ball(*BEFORE), ball(*AFTER)

    one = follow(before, after, AXIAL)
    two = follow(before, after, [*AXIAL, SetSlice(0, 30), SetSlice(1, 60)])

    assert dice(two, after) > dice(one, after) > 0.96


def test_the_picture_takes_the_surface_to_the_border_that_was_drawn() -> None:
    before, after = ball(*BEFORE), ball(*AFTER)
    image = picture(after)

    without = follow(before, after, AXIAL)
    with_it = follow(before, after, AXIAL, image=image)

    assert dice(with_it, after) > 0.985
    assert dice(with_it, after) > dice(without, after)


def test_a_picture_that_says_nothing_does_no_harm() -> None:
    before, after = ball(*BEFORE), ball(*AFTER)
    noise = np.random.default_rng(1).normal(size=before.shape).astype(np.float32)

    for image in (noise, np.zeros(before.shape, np.float32), np.full(before.shape, 7.0)):
        moved = follow(before, after, AXIAL, image=image)

        assert dice(moved, after) > dice(follow(before, after, AXIAL), after) - 0.01


def test_thick_slices_follow() -> None:
    before, after = (ball(*shape, spacing=THICK) for shape in (BEFORE, AFTER))
    slices = [SetSlice(2, k) for k in (8, 16, 24)]

    assert dice(follow(before, after, slices, THICK), after) > 0.95
    assert dice(follow(before, after, slices, THICK, picture(after, THICK)), after) > 0.975


def test_a_mouse_follows_as_a_man_does() -> None:
    """All lengths shrink with the brain."""
    before, after = ball(*BEFORE), ball(*AFTER)
    tenth: Spacing = (0.2, 0.2, 0.2)

    man = follow(before, after, AXIAL)
    mouse = follow(before, after, AXIAL, tenth)

    assert dice(mouse, man) > 0.995


def test_a_blob_beside_the_brain_goes_from_the_slices_between_too() -> None:
    brain = ball((0, 0, 0), (50, 60, 50))
    blob = ball((0, 78, 0), (12, 10, 14))
    before = brain | blob
    slices = [SetSlice(2, k) for k in (37, 43)]

    moved = follow(before, brain, slices)

    between = np.s_[..., 37:44]
    assert np.count_nonzero((moved & ~brain)[between]) < 0.1 * np.count_nonzero(blob[between])
    assert dice(moved, brain) > 0.995


# --- what nobody touched stays


def test_confirmed_slices_change_nothing() -> None:
    before = ball(*BEFORE)

    np.testing.assert_array_equal(follow(before, before, AXIAL), before)
    assert dice(follow(before, before, AXIAL, image=picture(before)), before) > 0.99


def test_no_slices_change_nothing_and_arguments_are_not_changed() -> None:
    before, after = ball(*BEFORE), ball(*AFTER)
    kept = before.copy(), after.copy()

    np.testing.assert_array_equal(spread_corrections(before, after, [], TWO_MM), before)
    spread_corrections(before, after, AXIAL, TWO_MM)

    np.testing.assert_array_equal(before, kept[0])
    np.testing.assert_array_equal(after, kept[1])


def test_only_set_slices_are_read() -> None:
    before, after = ball(*BEFORE), ball(*AFTER)
    edited = edit(before, after, AXIAL)
    scribbled = edited | (np.random.default_rng(0).random(edited.shape) > 0.5)
    scribbled = edit(scribbled, edited, AXIAL)

    np.testing.assert_array_equal(
        spread_corrections(before, edited, AXIAL, TWO_MM),
        spread_corrections(before, scribbled, AXIAL, TWO_MM),
    )


def test_far_from_all_slices_the_surface_moves_less() -> None:
    before = ball(*BEFORE)
    after = ball((0, 0, 0), (66, 82, 64))
    moved = follow(before, after, [SetSlice(2, 62)])

    grown = [np.count_nonzero(moved[..., k] & ~before[..., k]) for k in (60, 16)]
    assert grown[0] > 1.2 * grown[1]


# --- symmetry


@pytest.mark.parametrize("with_picture", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_scan_has_a_mirrored_answer(axis: int, with_picture: bool) -> None:
    before, after = ball(*BEFORE), ball(*AFTER)
    image = picture(after) if with_picture else None
    straight = follow(before, after, AXIAL, image=image)
    n = before.shape[axis]
    slices = [s if s.axis != axis else SetSlice(axis, n - 1 - s.index) for s in AXIAL]

    mirrored = follow(
        np.flip(before, axis), np.flip(after, axis), slices,
        image=None if image is None else np.flip(image, axis),
    )

    assert np.count_nonzero(np.flip(mirrored, axis) ^ straight) < 0.003 * straight.sum()


@pytest.mark.parametrize("order", [(1, 2, 0), (2, 1, 0), (0, 2, 1)])
def test_a_scan_with_other_axes_has_the_same_answer(order: tuple[int, int, int]) -> None:
    before, after = (ball(*shape, spacing=THICK) for shape in (BEFORE, AFTER))
    image = picture(after, THICK)
    slices = [SetSlice(2, k) for k in (8, 16, 24)]
    straight = follow(before, after, slices, THICK, image)
    turned = [SetSlice(order.index(2), s.index) for s in slices]
    spacing: Any = tuple(THICK[a] for a in order)

    answer = follow(
        before.transpose(order), after.transpose(order), turned, spacing, image.transpose(order)
    )

    assert np.count_nonzero(answer ^ straight.transpose(order)) < 0.003 * straight.sum()


# --- hard inputs


def test_the_later_of_contradicting_slices_wins_around_them() -> None:
    """Around where two planes cross, the surroundings do as the later one says."""
    before = ball(*BEFORE)
    large, small = ball((0, 0, 0), (72, 90, 70)), ball((0, 0, 0), (48, 62, 46))
    across, along = SetSlice(2, 40), SetSlice(0, 40)
    volumes = []
    for slices in ([across, along], [along, across]):
        edited = edit(before, large, [across])
        edited = edit(edited, small, [along])
        if slices[-1] == across:
            edited = edit(edited, large, [across])
        out = spread_corrections(before, edited, slices, TWO_MM)
        assert (out[:, :, 40] == edited[:, :, 40]).all()
        assert (out[40] == edited[40]).all()
        volumes.append(np.count_nonzero(out[38:43, :, 38:43]))
    assert volumes[0] < volumes[1]


def test_a_slice_named_twice_counts_once_and_last() -> None:
    before, after = ball(*BEFORE), ball(*AFTER)

    once = follow(before, after, [AXIAL[1], AXIAL[2], AXIAL[0]])
    twice = follow(before, after, [AXIAL[0], AXIAL[1], AXIAL[2], AXIAL[0]])

    np.testing.assert_array_equal(once, twice)


def test_a_slice_set_empty_empties_its_surroundings_not_the_brain() -> None:
    """As where a mask continued into the neck."""
    before = ball((0, 0, 0), (60, 76, 58)) | ball((0, -10, -60), (20, 20, 20))
    wanted = ball((0, 0, 0), (60, 76, 58))
    below = SetSlice(2, 4)

    moved = follow(before, wanted, [below, SetSlice(2, 8)])

    assert not moved[..., 4].any()
    assert np.count_nonzero(moved[..., 6]) < 0.1 * np.count_nonzero(before[..., 6])
    assert dice(moved[..., 16:], wanted[..., 16:]) > 0.99


def test_all_slices_set_empty() -> None:
    before = ball(*BEFORE)
    slices = [SetSlice(2, k) for k in range(before.shape[2])]

    assert not follow(before, np.zeros_like(before), slices).any()


def test_a_slice_of_two_pieces_keeps_both() -> None:
    before = ball((0, 0, 0), (60, 76, 58))
    two = ball((-34, 0, 0), (26, 60, 50)) | ball((34, 0, 0), (26, 60, 50))

    moved = follow(before, two, [SetSlice(2, k) for k in (36, 40, 44)])

    assert ndimage.label(moved[..., 40])[1] == 2
    assert dice(moved[..., 38], two[..., 38]) > dice(before[..., 38], two[..., 38])


@pytest.mark.parametrize("with_picture", [False, True])
def test_a_single_voxel(with_picture: bool) -> None:
    before = ball(*BEFORE)
    voxel = np.zeros_like(before)
    voxel[40, 48, 40] = True
    image = picture(before) if with_picture else None

    follow(before, voxel, [SetSlice(2, 40)], image=image)
    follow(voxel, before, [SetSlice(2, 40)], image=image)
    follow(voxel, voxel, [SetSlice(0, 40)], image=image)
    moved = follow(np.zeros_like(before), voxel, [SetSlice(2, 40)], image=image)
    np.testing.assert_array_equal(moved, voxel)


@pytest.mark.parametrize("shape", [(60, 60, 3), (60, 60, 1), (3, 60, 60), (2, 2, 2), (1, 1, 1)])
def test_scans_of_a_few_slices(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    before, after = (ndimage.gaussian_filter(rng.random(shape), 2) > 0.5 for _ in range(2))
    image = rng.random(shape).astype(np.float32)
    axis = int(np.argmin(shape))

    for picture_ in (None, image):
        follow(before, after, [SetSlice(axis, shape[axis] // 2)], (1.0, 1.0, 6.0), picture_)


def test_a_mask_that_fills_the_picture_and_one_beyond_the_head() -> None:
    full, after = np.ones((40, 40, 40), bool), ball((0, 0, 0), (30, 30, 30), extent_mm=(80, 80, 80))
    slices = [SetSlice(2, k) for k in (10, 20, 30)]

    assert dice(follow(full, after, slices), after) > dice(full, after)
    assert dice(follow(after, full, slices), full) > dice(after, full)
    follow(full, after, slices, image=picture(after))


def test_a_slice_far_from_the_mask_before() -> None:
    before = ball((-50, -50, -50), (20, 20, 20))
    elsewhere = ball((50, 50, 50), (20, 20, 20))

    follow(before, elsewhere, [SetSlice(2, 66)], image=picture(before | elsewhere))


def test_a_picture_with_values_that_are_none() -> None:
    before, after = ball(*BEFORE), ball(*AFTER)
    image = picture(after)
    image[:, :, 10] = np.nan
    image[0, 0, 0] = np.inf

    assert dice(follow(before, after, AXIAL, image=image), after) > 0.9


@pytest.mark.parametrize(
    ("mask", "slices"),
    [
        (np.zeros((4, 4, 5), bool), [SetSlice(0, 0)]),
        (np.zeros((4, 4, 4), bool), [SetSlice(0, 4)]),
        (np.zeros((4, 4, 4), bool), [SetSlice(0, -1)]),
        (np.zeros((4, 4, 4), bool), [SetSlice(3, 0)]),
    ],
)
def test_what_does_not_fit_is_refused(mask: np.ndarray, slices: list[SetSlice]) -> None:
    with pytest.raises(ValueError):
        spread_corrections(np.zeros((4, 4, 4), bool), mask, slices, TWO_MM)
    with pytest.raises(ValueError, match="scan"):
        Follower(np.zeros((4, 4, 4), bool), TWO_MM, np.zeros((4, 4, 3)))


# --- no mask before


def test_without_a_mask_before_the_slices_are_interpolated() -> None:
    after = ball(*AFTER)
    drawn = edit(np.zeros_like(after), after, AXIAL)

    made = follow(np.zeros_like(after), after, AXIAL)

    np.testing.assert_array_equal(made, interpolate_slices(drawn, 2, TWO_MM))


def test_without_a_mask_before_other_planes_and_the_picture_help() -> None:
    after = ball(*AFTER)
    nothing = np.zeros_like(after)
    between = np.s_[..., 20:61]

    one = follow(nothing, after, AXIAL)
    two = follow(nothing, after, [*AXIAL, SetSlice(0, 40)])
    seen = follow(nothing, after, AXIAL, image=picture(after))

    assert dice(two[between], after[between]) >= dice(one[between], after[between])
    assert dice(seen[between], after[between]) > 0.97
    assert not seen[..., :20].any()
    assert not seen[..., 61:].any()


def test_nothing_set_on_nothing_is_nothing() -> None:
    nothing = np.zeros((20, 20, 20), bool)

    assert not follow(nothing, nothing, [SetSlice(1, 3)], image=np.ones((20, 20, 20))).any()


# --- live


def test_a_follower_answers_as_the_function_and_a_coarse_answer_is_near() -> None:
    before, after = (ball(*s, spacing=(1.0, 1.0, 1.0)) for s in (BEFORE, AFTER))
    image = picture(after, (1.0, 1.0, 1.0))
    slices = [SetSlice(2, k) for k in (40, 80, 120)]
    follower = Follower(before, (1.0, 1.0, 1.0), image)

    for n in (1, 2, 3):
        edited = edit(before, after, slices[:n])
        fine = follower.follow(edited, slices[:n])
        coarse = follower.follow(edited, slices[:n], coarse=True)
    whole = spread_corrections(before, edited, slices, (1.0, 1.0, 1.0), image)

    np.testing.assert_array_equal(fine, whole)
    assert dice(coarse, fine) > 0.98
    np.testing.assert_array_equal(coarse[..., 80], edited[..., 80])


def test_a_correction_is_carried_on_while_a_person_waits() -> None:
    """Seconds of processor: about 0.2 on one core at 1 mm; the bound is for slow machines."""
    one: Spacing = (1.0, 1.0, 1.0)
    before, after = (ball(*s, spacing=one, extent_mm=(256, 256, 256)) for s in (BEFORE, AFTER))
    slices = [SetSlice(2, k) for k in range(80, 181, 20)]
    follower = Follower(before, one, picture(after, one))
    edited = edit(before, after, slices)
    follower.follow(edited, slices)

    began = time.process_time()
    follower.follow(edited, slices)

    assert time.process_time() - began < 2


# --- where to look next


def test_doubt_is_largest_where_the_answer_is_least_sure() -> None:
    before, after = ball(*BEFORE), ball(*AFTER)
    follower = Follower(before, TWO_MM, picture(after))

    first = follower.doubt()
    follower.follow(edit(before, after, AXIAL), AXIAL)
    later = follower.doubt()

    assert first.shape == later.shape == before.shape
    assert later.min() >= 0 and later.max() <= 1
    assert first[np.unravel_index(first.argmax(), first.shape)] > 0.5
    assert later.sum() < first.sum()


def test_the_next_slice_is_where_doubt_is_and_not_beside_one_that_is_set() -> None:
    doubt = np.zeros((40, 40, 60))
    doubt[15:25, 15:25, 10] = 1
    doubt[15:25, 15:25, 50] = 0.8

    first = next_slice(doubt, [], TWO_MM, axis=2)
    assert first == SetSlice(2, 10)
    second = next_slice(doubt, [SetSlice(2, 10)], TWO_MM, axis=2)
    assert second == SetSlice(2, 50)
    gains = expected_gains(doubt, [SetSlice(2, 10)], TWO_MM)
    assert [len(g) for g in gains] == [40, 40, 60]
    assert gains[2][10] < 0.01 * gains[2][50]


def test_the_next_slice_of_a_plane_through_all_doubt() -> None:
    doubt = np.zeros((40, 40, 60))
    doubt[20] = 1

    assert next_slice(doubt, [], TWO_MM) == SetSlice(0, 20)


def test_no_doubt_no_slice() -> None:
    assert next_slice(np.zeros((4, 4, 4)), [], TWO_MM) is None
    assert next_slice(np.zeros((0, 4, 4)), [], TWO_MM) is None
    np.testing.assert_allclose(doubt_of(np.array([0, 0.5, 1.0])), [0, 1, 0])


def test_doubt_of_an_empty_mask_is_none() -> None:
    assert not Follower(np.zeros((9, 9, 9), bool), TWO_MM).doubt().any()


def test_a_suggestion_follows_too() -> None:
    after = ball(*AFTER)
    image = picture(after)
    start = suggest_brain(image, TWO_MM)

    assert dice(follow(start, after, AXIAL, image=image), after) > 0.97


# --- one slice alone


def test_one_slice_alone_is_followed_without_the_picture() -> None:
    before, after = ball(*BEFORE), ball(*AFTER)
    lone, two = [SetSlice(2, 40)], [SetSlice(2, 30), SetSlice(2, 50)]

    with_picture = follow(before, after, lone, image=picture(after))
    np.testing.assert_array_equal(with_picture, follow(before, after, lone))
    assert np.any(follow(before, after, two, image=picture(after)) ^ follow(before, after, two))


def test_one_slice_alone_hardly_changes_the_other_end_of_the_head() -> None:
    before, after = ball(*BEFORE), ball((0, 0, 0), (68, 84, 66))
    changed = {}
    for name, slices in (("lone", [SetSlice(2, 62)]), ("two", [SetSlice(2, 62), SetSlice(2, 64)])):
        changed[name] = np.count_nonzero((follow(before, after, slices) ^ before)[..., 14:20])
    assert changed["lone"] < 0.5 * changed["two"]
