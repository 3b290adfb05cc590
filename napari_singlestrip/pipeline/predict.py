"""The stage that predicts the masks of all unpainted scans."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_singlestrip.engine.imaging.volume import Scan, Volume, open_scan, save_mask
from napari_singlestrip.engine.learning.device import in_words
from napari_singlestrip.engine.learning.segmenter import Segmenter, strip_volume
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Note, Progress, Started, seconds_left
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.pipeline.job import Job, remarks_of, wrote
from napari_singlestrip.pipeline.prefetch import overlapped
from napari_singlestrip.pipeline.round_segmenter import segmenter_of_round
from napari_singlestrip.pipeline.tally import NO_BRAIN


def predict_pool(job: Job, round_: int) -> Iterator[Event]:
    """Predict the masks of all scans that were not painted.

    While one is predicted, the next one is read and the previous one written.
    """
    painted, accepted = job.study.decisions.labelled().painted, _accepted_in(job, round_)
    wanted = [name for name in job.part.of(job.study.scans.names) if name not in painted]
    names = [
        name for name in wanted
        if name not in accepted  # an accepted mask is not replaced
        and not job.tally.is_hopeless("predict", name)
        and (job.again or not job.study.rounds.pseudo_label_path(round_, name).is_file())
    ]
    for name in set(wanted).difference(names):
        if job.study.rounds.pseudo_label_path(round_, name).is_file():
            job.tally.count("predict", name, None)
    if not names:
        return
    segmenter = segmenter_of_round(job.study, round_, job.settings, job.device)
    yield Started("predict", in_words(job.device), f"round {round_}")
    started = time.monotonic()
    steps = _Steps(job, round_, segmenter)
    with closing(overlapped(names, steps.read, steps.find, steps.write)) as done:
        for n, found in enumerate(done, 1):
            yield from _told(job, found)
            left = seconds_left(time.monotonic() - started, n, len(names))
            yield Progress("predict", n, len(names), {}, left)


def _told(job: Job, found: _Found) -> Iterator[Event]:
    """Events about one scan; a failure is reported, and the rest continues."""
    yield from found.remarks
    job.tally.count("predict", found.name, found.failure)
    if found.failure is not None:
        yield found.failure.note(found.name)
    else:
        yield wrote(job, found.path, "pseudo-label")


def _accepted_in(job: Job, round_: int) -> set[str]:
    """Scans whose pseudo-label of this round was accepted, and exists."""
    return {
        name for name, decision in job.study.decisions.all().items()
        if decision.state == "accepted" and decision.round == round_
        and job.study.decisions.standing(decision) == "current"
    }


@dataclass(frozen=True, eq=False)
class _Found:
    """Result for one scan, with its mask until that is written."""

    name: str
    path: Path
    scan: Scan | None = None
    mask: npt.NDArray[np.bool_] | None = None
    remarks: tuple[Note, ...] = ()
    failure: Failure | None = None


@dataclass(frozen=True)
class _Steps:
    """The steps for each scan: `read` and `write` run in threads of their own."""

    job: Job
    round: int
    segmenter: Segmenter

    def read(self, name: str) -> tuple[Scan, Volume]:
        scan = open_scan(self.job.study.scans.path(name))
        return scan, scan.load()

    def find(self, name: str, arriving: Future[tuple[Scan, Volume]]) -> _Found:
        path = self.job.study.rounds.pseudo_label_path(self.round, name)
        found = attempt(self._find, _Found(name, path), arriving)
        remarks = tuple(remarks_of(self.segmenter, name))
        if isinstance(found, Failure):
            return _Found(name, path, remarks=remarks, failure=found)
        return replace(found, remarks=remarks)

    def _find(self, found: _Found, arriving: Future[tuple[Scan, Volume]]) -> _Found:
        scan, volume = arriving.result()
        return replace(found, scan=scan, mask=strip_volume(self.segmenter, volume))

    def write(self, found: _Found) -> _Found:
        failure = found.failure or attempt(self._write, found)
        return replace(found, scan=None, mask=None, failure=failure)

    def _write(self, found: _Found) -> None:
        """Write the mask; a scan without a brain is a failure."""
        assert found.mask is not None and found.scan is not None
        if not found.mask.any():
            found.path.unlink(missing_ok=True)  # an earlier prediction is out of date
            raise UserError(NO_BRAIN)
        save_mask(found.path, found.mask, like=found.scan)
