"""What the other processes do while the first of several runs a study: they train with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import torch

from napari_singlestrip.engine.devices.launch import Place
from napari_singlestrip.engine.learning.ranks import Over, Ranks, device_of, meeting
from napari_singlestrip.events import Event
from napari_singlestrip.pipeline.job import Job
from napari_singlestrip.pipeline.learn import help_train
from napari_singlestrip.study.study import Study


def help_run(study: Study, device: str, place: Place) -> Iterator[Event]:
    """Take part in each training of a segmenter, until the first process has no more.

    Parameters
    ----------
    study : Study
        Only read.
    device : str
        As in `stages.run`.
    place : Place
        Not that of the first process.

    Yields
    ------
    Event
        None: a job is cancelled at its events, and when to stop is up to the first process, which
        receives the same signals.

    Raises
    ------
    UserError
        If the first process ends without a word, or the device is missing.
    """
    chosen = device_of(device, place)
    with meeting(place) as ranks, suppress(Over):
        while True:
            _help_once(study, ranks, chosen)
    yield from ()


def _help_once(study: Study, ranks: Ranks, device: torch.device) -> None:
    settings, lesson, step = ranks.hear()
    job = Job(Study.open(study.folder), settings, device, ranks=ranks)
    for _ in help_train(job, lesson, step):
        pass
