"""Whether a decision is about the mask that is there now, or about another one before it."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from napari_singlestrip.study.tables import Decision, ScoreRow, Standing


def standing(
    decision: Decision, file: Path, digest: str, score: Callable[[], ScoreRow]
) -> Standing:
    """Return what a decision is about.

    Parameters
    ----------
    decision : Decision
    file : Path
        Where its mask is, or was.
    digest : str
        Of the mask that is there; empty without one.
    score : callable
        Returns what the round whose mask was looked at says of it now.
    """
    if decision.state in ("painted", "corrected"):
        return "current" if decision.mask in ("", digest) or not digest else "replaced"
    if decision.round is None:  # rejected before anything was predicted
        return "current"
    if not digest:
        return "older"
    if decision.mask:
        return "current" if decision.mask == digest else "older"
    is_it = _was_there(decision, file) or _scored_alike(decision, score())
    return "current" if is_it else "older"


def _was_there(decision: Decision, file: Path) -> bool:
    """Whether the mask is not newer than a decision of before digests were kept."""
    try:
        decided = datetime.fromisoformat(decision.time)
        written = file.stat().st_mtime
    except (ValueError, OSError):
        return False
    decided = decided if decided.tzinfo else decided.replace(tzinfo=UTC)
    return math.floor(written) <= decided.timestamp()


def _scored_alike(decision: Decision, score: ScoreRow) -> bool:
    """Whether it has the error that the decision noted: files that were copied look newer."""
    return math.isclose(score.autoencoder_error, decision.autoencoder_error, rel_tol=1e-5)
