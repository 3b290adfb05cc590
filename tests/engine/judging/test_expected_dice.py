"""The Dice to expect from scores: worse scores promise less, corrections move and narrow it."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from napari_singlestrip.engine.judging.expected_dice import (
    MOST,
    ExpectedDice,
    Shift,
    curve,
    expected_dice,
    shift_by,
    surprise,
)

USUAL = 0.025, 0.993  # error and agreement


def test_worse_scores_promise_less() -> None:
    found = [
        expected_dice(*scores, "quick", "first").dice
        for scores in (USUAL, (0.05, 0.993), (0.05, 0.985))
    ]
    assert found == sorted(found, reverse=True) and len(set(found)) == 3
    assert 0.92 < found[0] < 0.97


def test_kinds_of_rounds_that_were_not_fitted_have_none() -> None:
    assert "thorough first" not in curve().levels
    assert math.isnan(expected_dice(*USUAL, "thorough", "first").dice)


def test_the_interval_holds_what_is_expected_and_is_never_above_one() -> None:
    errors, disagreements = curve().seen["quick"]
    for error in np.geomspace(*errors, 3):
        for disagreement in np.geomspace(*disagreements, 3):
            found = expected_dice(error, 1 - disagreement, "quick", "self-trained")
            assert 0 < found.low < found.dice < found.high < 1


@pytest.mark.parametrize("scores", [(0.5, 0.993), (0.025, 0.6), (0.0001, 0.993)])
def test_beyond_the_scores_of_the_fit_there_is_no_interval(scores: tuple[float, float]) -> None:
    found = expected_dice(*scores, "quick", "first")
    assert math.isfinite(found.dice) and math.isnan(found.low) and math.isnan(found.high)
    assert found.in_words.endswith("(interval not known)")


@pytest.mark.parametrize(
    "asked",
    [(math.nan, 0.993, "quick"), (0.02, math.nan, "quick"), (0.0, 0.993, "quick"),
     (0.02, 1.0, "quick"), (*USUAL, "thorough")],
)
def test_nothing_is_said_without_scores_or_a_fit(asked: tuple[float, float, str]) -> None:
    found = expected_dice(*asked, "first")
    assert math.isnan(found.dice) and found.in_words == ""


def test_in_words() -> None:
    assert ExpectedDice(0.9512, 0.926, 0.968).in_words == "0.951 (0.93 to 0.97)"


def test_corrected_masks_move_the_others_and_narrow_the_interval() -> None:
    before = expected_dice(*USUAL, "quick", "first")
    worse = surprise(*USUAL, "quick", "first", before.dice - 0.01)
    assert worse > 0
    widths, dices = [before.high - before.low], [before.dice]
    for n in (1, 2, 4, 32):
        found = expected_dice(*USUAL, "quick", "first", shift_by([worse] * n))
        widths.append((found.high - found.low) / (1 - found.dice))
        dices.append(found.dice)
    widths[0] /= 1 - before.dice
    assert widths == sorted(widths, reverse=True)
    assert dices == sorted(dices, reverse=True)
    assert dices[-1] == pytest.approx(before.dice - 0.01, abs=0.003)


def test_a_mask_that_was_left_as_it_was_moves_little() -> None:
    """It may have been looked at in a few slices only."""
    fitted = curve()
    limit = MOST * math.hypot(fitted.within, fitted.between)
    assert surprise(*USUAL, "quick", "first", 1.0) == -limit
    assert surprise(*USUAL, "quick", "first", 0.0) == limit
    moved = expected_dice(*USUAL, "quick", "first", shift_by([-limit])).dice
    assert moved - expected_dice(*USUAL, "quick", "first").dice < 0.01


def test_what_is_not_known_moves_nothing() -> None:
    assert shift_by([]) == shift_by([math.nan]) == Shift()
    assert math.isnan(surprise(math.nan, 0.97, "quick", "first", 0.95))


def test_the_best_guess_is_what_bayes_says() -> None:
    """Studies that differ as the fit says: no other share of the mean is closer to the truth."""
    fitted, rng, n = curve(), np.random.default_rng(0), 3
    studies = rng.normal(0, fitted.between, 20000)
    means = studies + rng.normal(0, fitted.within / math.sqrt(n), len(studies))
    ours = shift_by([1.0] * n).moved
    wrong = {
        share: float(np.mean((share * means - studies) ** 2))
        for share in (0.5 * ours, ours, 1.5 * ours)
    }
    assert min(wrong, key=lambda share: wrong[share]) == ours


def test_it_is_known_without_torch() -> None:
    code = (
        "import sys, napari_singlestrip.engine.judging.expected_dice as e; e.curve(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_interval_is_that_of_the_effort() -> None:
    fitted = replace(curve(), spread={"quick": (-0.5, 0.5), "standard": (0.0, 0.0)})
    quick, standard = (
        expected_dice(*USUAL, effort, "first", fitted=fitted) for effort in ("quick", "standard")
    )
    assert quick.low < quick.dice < quick.high
    assert standard.low == standard.dice == standard.high
