"""What every stage of a job needs to know and to say."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from napari_singlestrip.engine.config import Settings, override
from napari_singlestrip.engine.learning.segmenter import (
    Segmenter,
)
from napari_singlestrip.events import Event, Note, Wrote
from napari_singlestrip.failures import guarded
from napari_singlestrip.pipeline.tally import Tally
from napari_singlestrip.study.round_facts import describe_round
from napari_singlestrip.study.round_folder import (
    RoundFolder,
)
from napari_singlestrip.study.study import Study


@dataclass(frozen=True)
class Job:
    """What every stage needs to know.

    Attributes
    ----------
    study : Study
    settings : Settings
    device : torch.device
    again : bool
        Do what was asked for even if it is done (prediction and ranking only).
    watch : str
        Scan whose present answer is shown while the segmenter trains; empty for none.
    tally : Tally
        What became of the scans.
    """

    study: Study
    settings: Settings
    device: torch.device
    again: bool = False
    watch: str = ""
    tally: Tally = field(default_factory=Tally, compare=False)

    def folder(self, round_: int) -> RoundFolder:
        """Paths of a round."""
        return RoundFolder(self.study.round_dir(round_))


def attempt_scan(job: Job, stage: str, name: str, work: Iterator[Event]) -> Iterator[Event]:
    """Do the work of one scan; a bad scan is reported and the rest goes on."""
    failure = yield from guarded(work)
    job.tally.count(stage, name, failure)
    if failure is not None:
        yield failure.note(name)


def wrote(job: Job, path: Any, what: str) -> Wrote:
    """Say that a file of the study was written; its path is told relative to the study."""
    return Wrote(path.relative_to(job.study.folder).as_posix(), what)


def time_left(started: float, done: int, total: int) -> float:
    """Return the seconds left of `total` pieces when `done` took all the time since `started`."""
    return (time.monotonic() - started) / done * (total - done)


def remarks_of(segmenter: Segmenter, name: str) -> Iterator[Note]:
    """What the segmenter has to say of the scan it just looked at."""
    for text in segmenter.told():
        yield Note(f"{name}: {text}", "warning", name)


def real_fraction_at_first(settings: Settings, n_painted: int) -> float:
    """Share of real scans in the first training: one scan alone would be learned by heart."""
    return settings.training.real_fraction if n_painted > 1 else 0.0


def has_seen_real(job: Job, round_: int) -> bool:
    """Whether the network of a round learned from real scans when it was trained."""
    if round_:
        used = job.folder(round_).read_settings() or job.settings
        return used.finetuning.real_fraction > 0
    return real_fraction_at_first(job.settings, len(describe_round(job.study, 0).scans)) > 0


def prediction_settings(settings: Settings, *, real: bool) -> Settings:
    """Settings with which a network predicts: one that saw real scans is no longer generous."""
    if not real:
        return settings
    return override(settings, {"prediction.threshold": settings.finetuning.threshold})
