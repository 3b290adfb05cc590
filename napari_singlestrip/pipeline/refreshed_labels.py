"""Selected pseudo-labels, predicted again during a round of fine-tuning.

A network that is trained on its own masks repeats their errors; the previous network makes
different ones. So the mean of both gives better pseudo-labels: training on these for the rest of
the round is better than continuing with the old ones.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from napari_singlestrip.engine.imaging.volume import open_scan, save_mask
from napari_singlestrip.engine.learning.segmenter import Segmenter, committee, strip_volume
from napari_singlestrip.events import Event, Progress, seconds_left
from napari_singlestrip.failures import guarded
from napari_singlestrip.files.atomic import file_digest
from napari_singlestrip.pipeline.job import Job, remarks_of
from napari_singlestrip.pipeline.round_segmenter import segmenter_of_round
from napari_singlestrip.study.training_set import TrainingMask


def refreshed(
    job: Job, round_: int, masks: Sequence[TrainingMask], taught: Segmenter
) -> Generator[Event, None, list[TrainingMask]]:
    """Predict the selected masks again; those made or accepted by a person are kept.

    Parameters
    ----------
    job : Job
    round_ : int
        The present round.
    masks : sequence of TrainingMask
        The masks it was trained on so far.
    taught : Segmenter
        The network after this training; averaged with that of the previous round.
    """
    both = committee(taught, segmenter_of_round(job.study, round_ - 1, job.settings, job.device))
    selected = [mask for mask in masks if mask.kind == "selected"]
    anew: dict[str, TrainingMask] = {}
    started = time.monotonic()
    for n, mask in enumerate(selected, 1):
        path = job.folder(round_).refreshed / Path(mask.path).name
        if not path.is_file():  # may exist from a run that was stopped
            failure = yield from guarded(_predict(job, both, mask.scan, path))
            if failure is not None:
                yield failure.note(mask.scan, "keeps its earlier pseudo-label")
        if path.is_file():
            relative = path.relative_to(job.study.folder).as_posix()
            anew[mask.scan] = replace(mask, path=relative, digest=file_digest(path))
        left = seconds_left(time.monotonic() - started, n, len(selected))
        yield Progress("prepare", n, len(selected), {}, left)
    return [anew.get(mask.scan, mask) for mask in masks]


def _predict(job: Job, segmenter: Segmenter, name: str, path: Path) -> Iterator[Event]:
    """Write the mask of a scan, unless no brain is found."""
    scan = open_scan(job.study.scans.path(name))
    mask = strip_volume(segmenter, scan.load())
    yield from remarks_of(segmenter, name)
    if mask.any():
        save_mask(path, mask, like=scan)
