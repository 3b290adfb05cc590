"""The ranking of a round, with the true Dice if reference masks are given."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.engine.masks.evaluation import Correlation, correlation
from napari_singlestrip.errors import UserError
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.study.references import References
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import ScoreRow


@dataclass(frozen=True)
class RankedScan:
    """A scan's scores, and the Dice of its predicted mask with the reference, if there is one."""

    score: ScoreRow
    dice: float | None = None


@dataclass(frozen=True)
class RankingReport:
    """Rows in the order of the ranking, and the correlation of the scores with the true Dice.

    Attributes
    ----------
    rows : tuple of RankedScan
        Best first; scans without a rank last.
    correlations : dict of str to Correlation
        By score: "rank", "autoencoder_error" and "consistency". Ranks and errors are negated first,
        so that 1 always means perfect. Empty without references.
    problems : tuple of str
        Why the Dice of a scan could not be measured.
    """

    rows: tuple[RankedScan, ...]
    correlations: dict[str, Correlation]
    problems: tuple[str, ...] = ()


def ranking_report(study: Study, round_: int) -> RankingReport:
    """Return the ranking of a round as the worker wrote it.

    Reference masks are only used here, after the ranking: no score depends on them.

    Parameters
    ----------
    study : Study
        With or without references.
    round_ : int
        Round of self-training.

    Raises
    ------
    UserError
        If the round was not ranked yet.
    """
    scores = sorted(study.rounds.scores(round_), key=lambda row: (row.rank or math.inf, row.scan))
    if not scores:
        raise UserError(
            f"Round {round_} of the study {study.name} was not ranked yet.",
            f"Run `singlestrip run {study.folder}` first.",
        )
    rows, problems = [], []
    try:
        references = study.references.find()
    except UserError as error:
        references = References()
        problems.append(str(error))
    for score in scores:
        dice = attempt(true_dice, study, round_, score.scan, references)
        if isinstance(dice, Failure):  # a failed scan does not hide the others
            problems.append(told(score.scan, dice))
            dice = None
        rows.append(RankedScan(score, dice))
    return RankingReport(tuple(rows), _correlations(rows), tuple(problems))


def told(scan: str, failure: Failure) -> str:
    """Describe the failure of a scan; the traceback of a bug goes to the log."""
    if not failure.traceback:
        return str(failure)
    logging.getLogger(__name__).error("%s: %s\n%s", scan, failure, failure.traceback)
    return f"{scan}: {failure}".removeprefix(": ")


def _correlations(rows: Sequence[RankedScan]) -> dict[str, Correlation]:
    measured = [row for row in rows if row.dice is not None]
    if not measured:
        return {}
    truth = [row.dice or 0.0 for row in measured]
    return {
        "rank": correlation([-r.score.rank or math.nan for r in measured], truth),
        "autoencoder_error": correlation([-r.score.autoencoder_error for r in measured], truth),
        "consistency": correlation([r.score.consistency for r in measured], truth),
    }


def true_dice(study: Study, round_: int, name: str, references: References) -> float | None:
    """Return the Dice of a predicted mask with its reference; None if one of them is missing.

    Parameters
    ----------
    study : Study
    round_ : int
        Round of the predicted mask.
    name : str
        Scan.
    references : References
        Result of `Study.find_references`, for all scans.

    Raises
    ------
    UserError
        If one of them cannot be read, or is on another grid.
    """
    reference = references.of(name)
    prediction = study.rounds.pseudo_label_path(round_, name)
    if reference is None or not prediction.exists():
        return None
    from napari_singlestrip.engine.masks.metrics import dice

    grid = open_scan(prediction)  # the grid of its scan, which may be missing
    return float(dice(load_mask(prediction, like=grid), load_mask(reference, like=grid)))
