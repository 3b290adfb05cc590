"""The score that masks are ranked by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

ROUNDED = 1e-5  # tables hold six digits


def ranked_by(
    errors: Sequence[float], consistencies: Sequence[float], score: str
) -> npt.NDArray[np.float64]:
    """The ranking score of masks; lower is better.

    Parameters
    ----------
    errors : sequence of N floats
        Of the autoencoder.
    consistencies : sequence of N floats
        Agreement under augmentation, 0 to 1.
    score : {"mean", "autoencoder", "consistency"}
        The autoencoder's error, 1 - agreement, or the geometric mean of these. They complement
        each other: the autoencoder misses a brain-shaped mask in the wrong location, agreement
        misses errors that recur under every augmentation. Their scales differ, too: an arithmetic
        mean would be nearly the autoencoder's error alone. In the mean, an unknown agreement is
        that which masks with such an error have: a mask that only one of several programs made is
        not put last.

    Returns
    -------
    (N,) float64
    """
    disagreement = 1 - np.asarray(consistencies, float)
    if score == "consistency":
        return disagreement
    shapes = np.asarray(errors, float)
    if score == "autoencoder":
        return shapes
    with np.errstate(invalid="ignore"):  # numbers that are no scores, in a table of a person
        return np.sqrt(shapes * _likely(disagreement, shapes))


def _likely(
    disagreement: npt.NDArray[np.float64], shapes: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Fill in unknown disagreement: its place among the known is that of the error among theirs."""
    known = np.isfinite(disagreement) & np.isfinite(shapes)
    if not known.any():
        return disagreement
    expected = np.interp(shapes, np.sort(shapes[known]), np.sort(disagreement[known]))
    return np.where(np.isnan(disagreement), expected, disagreement)


def score_of_ranking(
    errors: Sequence[float], consistencies: Sequence[float], scores: Iterable[str]
) -> str:
    """Find the score by which masks were ranked, in a table as it was stored.

    Parameters
    ----------
    errors, consistencies : sequences of N floats
        As of `ranked_by`, best first.
    scores : iterable of str
        Those that it may have been, the most likely first.

    Returns
    -------
    str
        The first that is known of a mask and nowhere smaller than for the mask before; empty if
        there is none.
    """
    for score in scores:
        values = ranked_by(errors, consistencies, score)
        values = values[np.isfinite(values)]
        if values.size and (np.diff(values) > -ROUNDED).all():
            return score
    return ""
