"""True Dice of the ranked masks, if there are references, measured in the background."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from napari_singlestrip.engine.masks.evaluation import correlation
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.files.stamp import FileStamp, file_stamp
from napari_singlestrip.study.ranking_report import told, true_dice
from napari_singlestrip.study.references import References
from napari_singlestrip.study.review import Review
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.common.background_cache import BackgroundCache

Key = tuple[Path, FileStamp]  # a predicted mask, as it is


@dataclass(frozen=True)
class Truth:
    """True Dice of a round, and its correlation with the scores.

    Attributes
    ----------
    dices : mapping of str to float
        By scan; those measured so far.
    n_missing : int
        Number of scans still to be measured.
    rank, autoencoder_error, consistency : float
        Spearman correlation with the true Dice; 1 is a perfect score. NaN without at least three.
    """

    dices: Mapping[str, float]
    n_missing: int = 0
    rank: float = math.nan
    autoencoder_error: float = math.nan
    consistency: float = math.nan


class TrueDice(BackgroundCache[Key, float]):
    """Measures scan by scan; NaN where it cannot."""

    thread_name = "true-dice"

    def of(self, study: Study, review: Review) -> Truth:
        """Return the results so far, and start measuring the rest."""
        if study.references.folder is None or review.round is None:
            return Truth({})
        references = cache(study.references.find)  # once for all scans, in the thread
        found = {}
        for row in review.rows:
            path = study.rounds.pseudo_label_path(review.round, row.name)
            stamp = file_stamp(path)
            if stamp is not None:
                work = partial(_measure, study, review.round, row.name, references)
                self.ask((path, stamp), work)
                found[row.name] = self.known((path, stamp))
        n_missing = sum(dice is None for dice in found.values())
        measured = {n: d for n, d in found.items() if d is not None and math.isfinite(d)}
        return _truth(measured, n_missing, review)


def _measure(
    study: Study, round_: int, name: str, references: Callable[[], References]
) -> float:
    dice = attempt(lambda: true_dice(study, round_, name, references()))
    if isinstance(dice, Failure):  # a failed scan does not hide the others
        told(name, dice)
        return math.nan
    return math.nan if dice is None else dice


def _truth(dices: dict[str, float], n_missing: int, review: Review) -> Truth:
    measured = [row for row in review.rows if row.name in dices]
    truth = [dices[row.name] for row in measured]
    # Ranks and errors are negated, so that 1 always means perfect.
    rank = correlation([-row.score.rank or math.nan for row in measured], truth)
    error = correlation([-row.score.autoencoder_error for row in measured], truth)
    agreement = correlation([row.score.consistency for row in measured], truth)
    return Truth(dices, n_missing, rank.spearman, error.spearman, agreement.spearman)
