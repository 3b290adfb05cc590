"""Results of a demo beyond its study: unseen heads, and run times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from napari_singlestrip.engine.masks.evaluation import EvaluationRow


@dataclass(frozen=True)
class UnseenHead:
    """A head outside the study, with its masks before and after fine-tuning.

    Attributes
    ----------
    scan, reference, before, after : Path
        Files of the scan, its exact mask, and the masks of both models (which may be missing).
    before_scores, after_scores : EvaluationRow
        Both masks against the reference.
    """

    scan: Path
    reference: Path
    before: Path
    after: Path
    before_scores: EvaluationRow
    after_scores: EvaluationRow

    @property
    def name(self) -> str:
        """Name of the scan."""
        return self.before_scores.name


@dataclass(frozen=True)
class DemoResults:
    """Results outside the study.

    Attributes
    ----------
    unseen : tuple of UnseenHead
    seconds : mapping of str to float
        Wall time of each stage, all rounds together.
    """

    unseen: tuple[UnseenHead, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
