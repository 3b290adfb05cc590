"""What the scores of a ranking tell of the true Dice: both, and their geometric mean.

A pool is small, so its correlation is rough. The pooled correlation takes all pieces together:
score and Dice are centred within each piece first, so that a piece whose masks are all better does
not pass for a good ranking. Its interval draws people with replacement.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from results import FEWEST_PEOPLE, Results, contrast, person
from scipy.stats import rankdata

from napari_singlestrip.engine.judging.ranking_score import ranked_by
from napari_singlestrip.engine.masks.evaluation import correlation

SCORES = ("autoencoder_error", "consistency", "mean")  # as here, higher is better
FEWEST_SCANS = 6  # of a contrast, for a figure of its own
N_DRAWS = 2000


@dataclass(frozen=True)
class Point:
    """A scan of a pool: its scores, higher is better, and the true Dice of its mask."""

    piece: str
    scan: str
    scores: Mapping[str, float]
    dice: float

    def score(self, name: str) -> float:
        """One of `SCORES`; the geometric mean of both as `ranking.score=mean` has it."""
        if name == "mean":
            error, agreement = -self.scores["autoencoder_error"], self.scores["consistency"]
            return -float(ranked_by([error], [agreement], "mean")[0])
        return self.scores[name]


@dataclass(frozen=True)
class Worth:
    """Correlations with the true Dice.

    Attributes
    ----------
    each : dict of str to list of float
        Spearman of every piece, by score.
    pooled : dict of str to float
        Of all pieces together, centred within each.
    intervals : dict of str to (float, float)
        95%, of the pooled ones; of "difference", autoencoder less agreement, too.
    """

    each: dict[str, list[float]]
    pooled: dict[str, float]
    intervals: dict[str, tuple[float, float]]


def points(results: Results, arm: str, *, whole_pool: bool) -> list[Point]:
    """Scans of the pools of an arm that have both scores and a true Dice."""
    found = []
    for (name, piece), content in results.pools.items():
        if name != arm or piece.startswith("fold-all") != whole_pool:
            continue
        for scan, dice in content.get("pool", {}).items():
            scores = {
                "autoencoder_error": -content["errors"].get(scan, math.nan),
                "consistency": content["consistency"].get(scan, math.nan),
            }
            if dice is not None and all(map(math.isfinite, scores.values())):
                found.append(Point(piece, scan, scores, dice))
    return found


def worth(cloud: Sequence[Point]) -> Worth:
    """All correlations of a cloud of points."""
    pieces = _by_piece(cloud)
    each = {
        name: [
            correlation([p.score(name) for p in part], [p.dice for p in part]).spearman
            for part in pieces.values()
        ]
        for name in SCORES
    }
    centred = _centred(pieces)
    pooled = dict(zip(SCORES, _spearman(centred), strict=True))
    people = np.array([person(p.scan) for part in pieces.values() for p in part])
    return Worth(each, pooled, _intervals(centred, people))


def by_contrast(cloud: Sequence[Point]) -> dict[str, tuple[int, dict[str, float]]]:
    """Scans and pooled correlations of each contrast that has enough scans."""
    groups: dict[str, list[Point]] = defaultdict(list)
    for point in cloud:
        groups[contrast(point.scan)].append(point)
    found = {}
    for name, group in sorted(groups.items()):
        n = len({point.scan for point in group})
        if n >= FEWEST_SCANS:
            values = _spearman(_centred(_by_piece(group)))
            found[name] = n, dict(zip(SCORES, values, strict=True))
    return found


def _by_piece(cloud: Sequence[Point]) -> dict[str, list[Point]]:
    pieces: dict[str, list[Point]] = defaultdict(list)
    for point in cloud:
        pieces[point.piece].append(point)
    return pieces


def _centred(pieces: Mapping[str, Sequence[Point]]) -> np.ndarray:
    """Rows of (scores..., Dice), less the mean of their piece."""
    parts = []
    for part in pieces.values():
        rows = np.array([[*(p.score(name) for name in SCORES), p.dice] for p in part])
        parts.append(rows - rows.mean(axis=0))
    return np.concatenate(parts) if parts else np.empty((0, len(SCORES) + 1))


def _spearman(rows: np.ndarray) -> list[float]:
    """Rank correlation of each score with the Dice; NaN where one of them does not vary."""
    # Rounding, so that what is equal but for the centring stays equal.
    rows = np.round(rows, 9)
    varies = np.ptp(rows, axis=0) > 0 if len(rows) > 2 else np.zeros(len(SCORES) + 1, bool)
    ranks = rankdata(rows, axis=0)
    return [
        float(np.corrcoef(ranks[:, i], ranks[:, -1])[0, 1]) if varies[i] and varies[-1]
        else math.nan
        for i in range(len(SCORES))
    ]


def _intervals(rows: np.ndarray, people: np.ndarray) -> dict[str, tuple[float, float]]:
    names = sorted(set(people))
    kinds = (*SCORES, "difference")
    if len(names) < FEWEST_PEOPLE:
        return dict.fromkeys(kinds, (math.nan, math.nan))
    rng = np.random.default_rng(0)
    of_person = {name: np.flatnonzero(people == name) for name in names}
    drawn = []
    for _ in range(N_DRAWS):
        chosen = [of_person[names[i]] for i in rng.integers(len(names), size=len(names))]
        values = _spearman(rows[np.concatenate(chosen)])
        drawn.append((*values, values[0] - values[1]))
    found = {}
    for kind, values in zip(kinds, np.transpose(drawn), strict=True):
        values = values[np.isfinite(values)]
        low, high = np.percentile(values, (2.5, 97.5)) if values.size else (math.nan, math.nan)
        found[kind] = float(low), float(high)
    return found
