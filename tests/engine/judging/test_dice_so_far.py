"""What is expected of a mask after some slices, from what was wrong in them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_singlestrip.engine.judging.dice_so_far import (
    FEWEST,
    ROOM,
    SEEN,
    DiceSoFar,
    SliceCheck,
    dice_so_far,
)


def checks(*errors: float, both: int = 10_000) -> list[SliceCheck]:
    return [SliceCheck(round(error * both), both) for error in errors]


def test_a_slice_is_compared_as_seen_and_as_set() -> None:
    seen, left = np.zeros((2, 4, 5), bool)
    seen[:2], left[1:3] = True, True
    assert SliceCheck.of(seen, left) == SliceCheck(10, 20)


def test_the_less_was_wrong_the_better_the_mask() -> None:
    good, bad = dice_so_far(checks(*[0.025] * 5)), dice_so_far(checks(*[0.07] * 5))
    assert good is not None and bad is not None
    assert bad.dice + 0.004 < good.dice < 1
    for told in (good, bad):
        assert told.low < told.dice < told.high < 1


def test_large_slices_count_for_more() -> None:
    small = dice_so_far([*checks(0.02, 0.02, 0.02), *checks(0.3, both=100)])
    large = dice_so_far([*checks(0.02, 0.02, 0.02), *checks(0.2)])
    assert small is not None and large is not None and small.dice > large.dice


def test_few_slices_tell_nothing() -> None:
    assert dice_so_far([]) is None
    assert dice_so_far(checks(*[0.03] * (FEWEST - 1))) is None
    assert dice_so_far(checks(*[0.03] * FEWEST)) is not None
    assert dice_so_far([SliceCheck(0, 0)] * FEWEST) is None  # slices beyond the brain


def test_what_was_never_seen_is_not_told_and_nothing_wrong_is_not_perfect() -> None:
    assert dice_so_far(checks(*[1.02 * SEEN[1] * ROOM] * 5)) is None
    perfect, least = dice_so_far(checks(*[0.0] * 5)), dice_so_far(checks(*[SEEN[0]] * 5))
    assert perfect is not None and least is not None
    assert perfect.dice == pytest.approx(least.dice, abs=1e-4)


def test_each_further_slice_brings_less() -> None:
    gains = [found.gain for n in (4, 6, 12) if (found := dice_so_far(checks(*[0.05] * n)))]
    assert gains == sorted(gains, reverse=True) and len(gains) == 3


def test_it_is_said_in_one_line() -> None:
    told = DiceSoFar(5, 0.98061, 0.97214, 0.98651, 0.00041)
    said = "about 0.981 (0.972 to 0.987) after 5 slices; another brings about 0.0004"
    assert told.in_words == said
