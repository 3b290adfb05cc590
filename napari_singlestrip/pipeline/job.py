"""The context of a job that all stages share, and their common events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.engine.learning.ranks import ALONE, Ranks
from napari_singlestrip.engine.learning.segmenter import Segmenter
from napari_singlestrip.events import Event, Note, Wrote
from napari_singlestrip.failures import guarded
from napari_singlestrip.pipeline.tally import Tally
from napari_singlestrip.study.parts import ALL, Part
from napari_singlestrip.study.round_folder import RoundFolder
from napari_singlestrip.study.study import Study
from napari_singlestrip.vocabulary import Written


@dataclass(frozen=True)
class Job:
    """The context of a job.

    Attributes
    ----------
    study : Study
    settings : Settings
    device : torch.device
    again : bool
        Repeat stages that are done already (prediction and ranking only).
    watch : str
        Scan whose current prediction is shown during training; empty for none.
    part : Part
        The share of the scans that is predicted and ranked.
    ranks : Ranks
        The processes that train the segmenter together.
    tally : Tally
        Outcome of the scans.
    """

    study: Study
    settings: Settings
    device: torch.device
    again: bool = False
    watch: str = ""
    part: Part = ALL
    ranks: Ranks = ALONE
    tally: Tally = field(default_factory=Tally, compare=False)

    def folder(self, round_: int) -> RoundFolder:
        """Paths of a round."""
        return RoundFolder(self.study.rounds.folder(round_))


def attempt_scan(job: Job, stage: str, name: str, work: Iterator[Event]) -> Iterator[Event]:
    """Process one scan; a failure is reported, and the rest continues."""
    failure = yield from guarded(work)
    job.tally.count(stage, name, failure)
    if failure is not None:
        yield failure.note(name)


def wrote(job: Job, path: Any, what: Written) -> Wrote:
    """The event for a written file, with its path relative to the study."""
    return Wrote(path.relative_to(job.study.folder).as_posix(), what)


def remarks_of(segmenter: Segmenter, name: str) -> Iterator[Note]:
    """The segmenter's remarks on the scan it just predicted."""
    for text in segmenter.told():
        yield Note(f"{name}: {text}", "warning", name)
