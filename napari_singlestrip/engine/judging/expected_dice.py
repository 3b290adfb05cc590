"""From scores to the Dice one may expect, with a 90% interval; needs no torch.

The curve was fitted on masks whose true Dice is known (`benchmarks/accuracy/expected.py`): log(1 -
Dice) is a level for each kind of round, plus a share of the logarithms of the autoencoder's error
and of 1 - agreement. What it is wrong by differs from study to study, with the brain that was
painted and with the scans, so that each corrected mask of a study moves what is expected of the
others and narrows their interval. Where scores lie beyond those of the fit, there is no interval.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

FILE = Path(__file__).with_suffix(".json")
Kind = Literal["first", "self-trained", "corrected"]
ROOM = 1.25  # scores beyond those of the fit by this factor still have an interval
MOST = 2.0  # standard deviations that one corrected mask may be off: it may be another scan's


@dataclass(frozen=True)
class ExpectedDice:
    """What to expect of a mask; NaN where it is not known.

    Attributes
    ----------
    dice : float
        Overlap with what a person would have drawn.
    low, high : float
        Between these in 9 of 10 masks.
    """

    dice: float = math.nan
    low: float = math.nan
    high: float = math.nan

    @property
    def in_words(self) -> str:
        """Such as "0.951 (0.93 to 0.97)"; empty where nothing is known."""
        if math.isnan(self.dice):
            return ""
        if math.isnan(self.low):
            return f"{self.dice:.3f} (interval not known)"
        return f"{self.dice:.3f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class Shift:
    """What the corrected masks of a study say about its other masks.

    Attributes
    ----------
    moved : float
        Added to the expected log(1 - Dice).
    width : float
        Of the interval, relative to that of a study without a corrected mask.
    """

    moved: float = 0.0
    width: float = 1.0


@dataclass(frozen=True)
class Curve:
    """What was fitted; see the module.

    Attributes
    ----------
    levels : mapping of str to float
        By effort and kind of round, such as "quick first".
    slopes : (float, float)
        Of log(error) and of log(1 - agreement).
    spread : mapping of str to (float, float)
        By effort; between them lies what log(1 - Dice) is beside the curve in 9 of 10 masks of
        other people, or more.
    within, between : float
        Its standard deviations over the masks of a study, and over studies.
    seen : mapping of str to pairs
        By effort, least and largest error and 1 - agreement of the fit.
    """

    levels: Mapping[str, float]
    slopes: tuple[float, float]
    spread: Mapping[str, tuple[float, float]]
    within: float
    between: float
    seen: Mapping[str, tuple[tuple[float, float], tuple[float, float]]]

    def log_error(self, error: float, agreement: float, effort: str, kind: Kind) -> float:
        """Expected log(1 - Dice); NaN where a score is missing or nothing was fitted."""
        level = self.levels.get(f"{effort} {kind}", math.nan)
        if not (error > 0 and 0 < 1 - agreement < 1):
            return math.nan
        of_error, of_agreement = self.slopes
        return level + of_error * math.log(error) + of_agreement * math.log(1 - agreement)

    def has_seen(self, error: float, agreement: float, effort: str) -> bool:
        """Whether scores are like those of the fit."""
        ranges = self.seen[effort]
        return all(
            low / ROOM <= value <= high * ROOM
            for value, (low, high) in zip((error, 1 - agreement), ranges, strict=True)
        )


@cache
def curve() -> Curve:
    """The curve of this version."""
    return curve_from(json.loads(FILE.read_text(encoding="utf-8")))


def curve_from(said: Mapping[str, Any]) -> Curve:
    """Read what the script of the fit wrote."""
    return Curve(
        said["levels"], tuple(said["slopes"]),
        {effort: (low, high) for effort, (low, high) in said["spread"].items()},
        said["within"], said["between"],
        {effort: (tuple(a), tuple(b)) for effort, (a, b) in said["seen"].items()},
    )


def expected_dice(
    error: float, agreement: float, effort: str, kind: Kind, shift: Shift | None = None,
    fitted: Curve | None = None,
) -> ExpectedDice:
    """Return the Dice to expect of a mask.

    Parameters
    ----------
    error : float
        Of the autoencoder, by Dice.
    agreement : float
        Under augmentation.
    effort : str
    kind : {"first", "self-trained", "corrected"}
        What the round learned from: one painted scan, its own masks beside it, or masks that a
        person corrected.
    shift : Shift, optional
        What is known from corrected masks, by `shift_by`.
    fitted : Curve, optional
        Instead of that of this version.
    """
    fitted, shift = fitted or curve(), shift or Shift()
    middle = fitted.log_error(error, agreement, effort, kind) + shift.moved
    if math.isnan(middle):
        return ExpectedDice()
    dice = _dice(middle)
    if not fitted.has_seen(error, agreement, effort):
        return ExpectedDice(dice)
    best, worst = (middle + shift.width * edge for edge in fitted.spread[effort])
    return ExpectedDice(dice, _dice(worst), _dice(best))


def surprise(
    error: float, agreement: float, effort: str, kind: Kind, dice: float,
    fitted: Curve | None = None,
) -> float:
    """What log(1 - Dice) of a corrected mask is beside the curve; NaN where nothing was fitted.

    Parameters
    ----------
    error, agreement, effort, kind
        Of the predicted mask, as in `expected_dice`.
    dice : float
        With the corrected one.
    fitted : Curve, optional
        Instead of that of this version.
    """
    fitted = fitted or curve()
    limit = MOST * math.hypot(fitted.within, fitted.between)
    beside = math.log(max(1 - dice, 1e-9)) - fitted.log_error(error, agreement, effort, kind)
    return max(-limit, min(limit, beside)) if math.isfinite(beside) else math.nan


def shift_by(surprises: Sequence[float], fitted: Curve | None = None) -> Shift:
    """Say what corrected masks tell of the others of their study.

    The best guess of what this study is beside the curve: the mean of the surprises, the closer to
    zero the fewer there are.

    Parameters
    ----------
    surprises : sequence of float
        Of corrected masks, from `surprise`; NaN is left out.
    fitted : Curve, optional
        Instead of that of this version.
    """
    known = [value for value in surprises if math.isfinite(value)]
    if not known:
        return Shift()
    fitted, n = fitted or curve(), len(known)
    within, between = fitted.within**2, fitted.between**2
    share = n * between / (n * between + within)
    left = within + between * (1 - share)
    return Shift(share * sum(known) / n, math.sqrt(left / (within + between)))


def _dice(log_error: float) -> float:
    return max(0.0, 1 - math.exp(log_error))
