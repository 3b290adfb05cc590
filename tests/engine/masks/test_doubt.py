"""Where a mask is probably wrong: marks, places and their words."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.grid import Grid
from napari_singlestrip.engine.masks.doubt import (
    TOO_LITTLE,
    TOO_MUCH,
    doubted,
    ml_in_words,
    places,
    still_doubted,
    whereabouts,
)

SIDE = 80
GRID = Grid((SIDE, SIDE, SIDE), np.diag([2.0, 2.0, 2.0, 1.0]))


def ball(centre: tuple[int, int, int], radius: float, side: int = SIDE) -> NDArray[np.bool_]:
    """A ball of voxels."""
    away = np.indices((side,) * 3) - np.reshape(centre, (3, 1, 1, 1))
    inside: NDArray[np.bool_] = (away**2).sum(0) <= radius**2
    return inside


def leaking() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """A mask with a lump on the right and a bite in front, and the brain."""
    brain = ball((40, 40, 40), 25)
    return (brain | ball((68, 40, 40), 6)) & ~ball((40, 62, 40), 5), brain


def test_a_lump_and_a_bite_are_two_places_with_their_volumes() -> None:
    mask, brain = leaking()
    marks = doubted(mask.astype(float) - brain, mask, GRID)
    lump, bite = places(marks, mask, GRID)
    assert (lump.kind, bite.kind) == (TOO_MUCH, TOO_LITTLE)
    for place, wrong in ((lump, mask & ~brain), (bite, brain & ~mask)):
        assert wrong[place.voxel]
        assert place.volume_ml == pytest.approx(wrong.sum() * GRID.voxel_ml, rel=0.3)
        assert all(a <= n < b for a, n, b in zip(place.low, place.voxel, place.high, strict=True))
    assert lump.in_words.endswith(" too much")
    assert bite.in_words.startswith("probably ") and bite.in_words.endswith(" missing")
    assert (lump.where, bite.where) == ("right", "front")


def test_a_rim_of_doubt_is_no_place() -> None:
    """Judges are unsure along the whole surface."""
    mask = ball((40, 40, 40), 25)
    rim = mask & ~ball((40, 40, 40), 24)
    assert not doubted(np.where(rim, 0.5, 0.0), mask, GRID).any()


def test_marks_are_where_they_can_be_true() -> None:
    mask, brain = leaking()
    marks = doubted(mask.astype(float) - brain, mask, GRID)
    assert mask[marks == TOO_MUCH].all()
    assert not mask[marks == TOO_LITTLE].any()
    assert not doubted(np.zeros(mask.shape), mask, GRID).any()


def test_what_was_corrected_is_not_doubted_any_more() -> None:
    mask, brain = leaking()
    marks = doubted(mask.astype(float) - brain, mask, GRID)
    assert np.array_equal(still_doubted(marks, mask), marks)
    assert not still_doubted(marks, brain).any()
    without_lump = mask & brain
    left = still_doubted(marks, without_lump)
    assert set(np.unique(left)) == {0, TOO_LITTLE}


def test_at_most_five_places_and_the_largest_first() -> None:
    marks = np.zeros(GRID.shape, np.uint8)
    for n in range(7):
        marks[4 + 10 * n : 12 + 10 * n, 4:8, 4 : 10 + 2 * n] = TOO_MUCH
    found = places(marks, marks > 0, GRID)
    volumes = [place.volume_ml for place in found]
    assert len(found) == 5
    assert volumes == sorted(volumes, reverse=True)
    assert found[0].low[0] == 64


def test_a_brain_of_a_mouse_has_small_places() -> None:
    """What is large is measured by the brain."""
    small = Grid(GRID.shape, np.diag([0.2, 0.2, 0.2, 1.0]))
    mask, brain = leaking()
    marks = doubted(mask.astype(float) - brain, mask, small)
    assert len(places(marks, mask, small)) == 2


def test_nothing_is_found_in_nothing() -> None:
    empty = np.zeros(GRID.shape, bool)
    assert places(empty.astype(np.uint8), empty, GRID) == ()
    assert not doubted(np.ones(empty.shape), empty, GRID).any()


def test_where_is_said_by_the_affine() -> None:
    box = (slice(0, 30),) * 3
    turned = np.array([[0, -1.0, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    assert whereabouts((0, 15, 29), box, GRID) == "left, top"
    assert whereabouts((15, 15, 15), box, GRID) == "centre"
    assert whereabouts((29, 0, 0), box, Grid(GRID.shape, turned)) == "right, back, top"


@pytest.mark.parametrize(
    ("ml", "words"), [(14.2, "14 mL"), (3.04, "3.0 mL"), (0.25, "0.2 mL"), (0.012, "12 µL")]
)
def test_volumes_have_two_digits(ml: float, words: str) -> None:
    assert ml_in_words(ml) == words
