"""Whether a decision is about the present mask, or about an earlier one."""

from __future__ import annotations

import math
from collections.abc import Callable

from napari_singlestrip.study.tables import Decision, ScoreRow, Standing


def standing(
    decision: Decision, digest: str, score: Callable[[], ScoreRow]
) -> Standing:
    """Return what a decision is about.

    Parameters
    ----------
    decision : Decision
    digest : str
        Of the present mask; empty without one.
    score : callable
        Returns the present scores of the reviewed round.
    """
    if decision.state in ("painted", "corrected"):
        return "current" if decision.mask in ("", digest) or not digest else "replaced"
    if decision.round is None:  # rejected before any prediction
        return "current"
    if not digest:
        return "older"
    if decision.mask:
        return "current" if decision.mask == digest else "older"
    return "current" if _scored_alike(decision, score()) else "older"


def _scored_alike(decision: Decision, score: ScoreRow) -> bool:
    """Compare the error noted by decisions of versions without digests."""
    return math.isclose(score.autoencoder_error, decision.autoencoder_error, rel_tol=1e-5)
