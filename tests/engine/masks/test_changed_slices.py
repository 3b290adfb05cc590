"""Which slices a person set."""

from __future__ import annotations

import numpy as np
import pytest

from napari_singlestrip.engine.masks.changed_slices import changed_slices, is_another_mask
from napari_singlestrip.engine.masks.spreading import SetSlice

SHAPE = (20, 22, 24)


def brain() -> np.ndarray:
    """A box of 12 slices each way."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[4:16, 5:17, 6:18] = True
    return mask


def covers(slices: tuple[SetSlice, ...], changed: np.ndarray) -> bool:
    left = changed.copy()
    for s in slices:
        np.moveaxis(left, s.axis, 0)[s.index] = False
    return not left.any()


def test_nothing_changed() -> None:
    assert changed_slices(brain(), brain()) == ()
    assert changed_slices(np.zeros(SHAPE, dtype=bool), np.zeros(SHAPE, dtype=bool)) == ()


@pytest.mark.parametrize("axis", (0, 1, 2))
def test_slices_of_one_plane(axis: int) -> None:
    edited = brain()
    for index in (7, 8, 12):
        np.moveaxis(edited, axis, 0)[index, 5:9] ^= True
    assert changed_slices(brain(), edited) == tuple(SetSlice(axis, n) for n in (7, 8, 12))


def test_slices_of_two_planes_that_cross() -> None:
    edited = brain()
    edited[8, 3:19, 3:20] ^= True
    edited[:, 9, 5:19] ^= True
    edited[12, 3:19, 3:20] ^= True
    found = changed_slices(brain(), edited)
    assert set(found) == {SetSlice(0, 8), SetSlice(0, 12), SetSlice(1, 9)}


def test_strokes_at_one_place_of_neighbouring_slices_belong_to_the_slices_on_screen() -> None:
    edited = brain()
    edited[7:12, 5, 6:18] = False  # all on one coronal slice, which nobody looked at as a whole
    assert changed_slices(brain(), edited) == (SetSlice(1, 5),)
    seen = [SetSlice(0, n) for n in (11, 8, 9, 7, 10)]
    assert changed_slices(brain(), edited, seen) == tuple(seen)  # in the order they were set


def test_slices_that_were_only_looked_at_are_not_set() -> None:
    edited = brain()
    edited[9, 5:17, 6:8] = False
    assert changed_slices(brain(), edited, [SetSlice(0, 9), SetSlice(1, 2)]) == (SetSlice(0, 9),)


def test_every_changed_voxel_is_on_a_slice() -> None:
    rng = np.random.default_rng(0)
    edited = brain() ^ (rng.random(SHAPE) < 0.002)
    found = changed_slices(brain(), edited)
    assert covers(found, brain() != edited)
    assert len(found) == len(set(found)) < 25


def test_what_changed_as_a_whole_is_another_mask() -> None:
    i, p, l = np.indices(SHAPE) - 10  # noqa: E741
    before = i**2 + p**2 + l**2 < 60
    few = before.copy()
    few[6:12:2] ^= True
    assert not is_another_mask(before, few)
    assert not is_another_mask(before, before)
    assert is_another_mask(before, np.roll(before, 2, axis=1))
    assert is_another_mask(before, np.zeros(SHAPE, dtype=bool))
