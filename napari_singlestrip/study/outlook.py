"""Assessment of a mask before review: a comparison with the others, not a measurement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from napari_singlestrip.engine.masks.doubt import ADULT_ML
from napari_singlestrip.study.review import ReviewRow
from napari_singlestrip.study.tables import ScoreRow

Outlook = Literal["usual", "look", "likely wrong"]
# A palette safe for red-green colour blindness: blue-green, yellow, vermilion.
OUTLOOK_COLOURS: dict[Outlook, str] = {
    "usual": "#12a37f", "look": "#e6b422", "likely wrong": "#e04f1f",
}
OUTLOOK_TIPS: dict[Outlook, str] = {
    "usual": "Its scores are like those of most masks of this round, and no place to check is "
    "large. That does not mean it is right: all may have the same error",
    "look": "Its scores are worse than those of most masks of this round, or it has a large place "
    "to check, or there are too few masks to compare",
    "likely wrong": "Its scores or its volume are far from those of the other masks",
}
FEWEST = 4  # masks needed for a comparison
WORSE, FAR = 1.0, 3.0  # robust standard deviations
LEAST = 0.2  # smaller differences of their logarithms are not informative
ROUNDED = 1e-6  # scores are not smaller
# For an adult brain. On real scans, 11 of the 12 masks with a Dice below 0.94 had a place of this
# size, and 17 of the other 36: see docs/places_to_check.md.
LARGE_PLACE_ML = 10.0


def outlooks(rows: Sequence[ReviewRow]) -> dict[str, Outlook]:
    """Compare the masks of a round with each other, including their largest place to check.

    Parameters
    ----------
    rows : sequence of ReviewRow
        All of a round.
    """
    values = np.array([_doubt(row) for row in rows])
    known = np.isfinite(values)
    if known.sum() < FEWEST:
        return {row.name: "likely wrong" if row.score.flag else "look" for row in rows}
    middle = float(np.median(values[known]))
    spread = max(1.4826 * float(np.median(np.abs(values[known] - middle))), LEAST)
    away = np.where(known, (values - middle) / spread, WORSE + 1)
    return {row.name: _outlook(row, float(z)) for row, z in zip(rows, away, strict=True)}


def has_large_place(score: ScoreRow) -> bool:
    """Whether a place to check is large for a brain of this size; unknown ones are not."""
    size = min(score.volume_ml / ADULT_ML, 1.0)
    return score.largest_place_ml >= LARGE_PLACE_ML * size


def _doubt(row: ReviewRow) -> float:
    """Logarithm of the geometric mean of the scores that were measured; lower is better."""
    scores = row.score.autoencoder_error, 1 - row.score.consistency
    found = [math.log(max(value, ROUNDED)) for value in scores if math.isfinite(value)]
    return sum(found) / len(found) if found else math.nan


def _outlook(row: ReviewRow, away: float) -> Outlook:
    if row.score.flag or away > FAR:
        return "likely wrong"
    return "look" if away > WORSE or has_large_place(row.score) else "usual"
