"""The stage that predicts the masks of the pool."""

from __future__ import annotations

import time
from collections.abc import Iterator

from napari_singlestrip.engine.imaging.volume import (
    open_scan,
    save_mask,
)
from napari_singlestrip.engine.learning.device import in_words
from napari_singlestrip.engine.learning.segmenter import (
    Segmenter,
    load_segmenter,
    strip_volume,
)
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Progress, Started
from napari_singlestrip.pipeline.job import (
    Job,
    attempt_scan,
    has_seen_real,
    prediction_settings,
    remarks_of,
    time_left,
    wrote,
)
from napari_singlestrip.pipeline.tally import NO_BRAIN


def predict_pool(job: Job, round_: int) -> Iterator[Event]:
    """Predict the masks of all scans that were not painted."""
    segmenter = load_segmenter(job.folder(round_).segmenter, job.device)
    painted, accepted = job.study.labelled().painted, _accepted_in(job, round_)
    wanted = [name for name in job.study.names if name not in painted]
    names = [
        name for name in wanted
        if name not in accepted  # what a person looked at stays as it was
        and not job.tally.is_hopeless("predict", name)
        and (job.again or not job.study.pseudo_label_path(round_, name).is_file())
    ]
    for name in set(wanted).difference(names):
        if job.study.pseudo_label_path(round_, name).is_file():
            job.tally.count("predict", name, None)
    if not names:
        return
    yield Started("predict", in_words(job.device), f"round {round_}")
    started = time.monotonic()
    for n, name in enumerate(names, 1):
        yield from attempt_scan(job, "predict", name, predict_scan(job, round_, segmenter, name))
        yield Progress("predict", n, len(names), {}, time_left(started, n, len(names)))


def _accepted_in(job: Job, round_: int) -> set[str]:
    """Scans whose pseudo-label of this round was accepted, and is there."""
    return {
        name for name, decision in job.study.decisions().items()
        if decision.state == "accepted" and decision.round == round_
        and job.study.standing(decision) == "current"
    }


def predict_scan(job: Job, round_: int, segmenter: Segmenter, name: str) -> Iterator[Event]:
    """Predict the mask of one scan and write it; a scan without a brain raises `UserError`."""
    scan = open_scan(job.study.scan_path(name))
    settings = prediction_settings(job.settings, real=has_seen_real(job, round_))
    mask = strip_volume(segmenter, scan.load(), settings)
    yield from remarks_of(segmenter, name)
    path = job.study.pseudo_label_path(round_, name)
    if not mask.any():
        path.unlink(missing_ok=True)  # an earlier answer is no longer the network's
        raise UserError(NO_BRAIN)
    save_mask(path, mask, like=scan)
    yield wrote(job, path, "pseudo-label")
