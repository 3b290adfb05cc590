"""Estimate of the run time, from a few real steps of each stage on this computer."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from napari_singlestrip.engine.imaging.geometry import unconform
from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_map
from napari_singlestrip.engine.judging.consistency import consistency
from napari_singlestrip.engine.judging.ranking import score_mask
from napari_singlestrip.engine.learning.autoencoder import autoencoder_task, load_autoencoder
from napari_singlestrip.engine.learning.device import choose_device, in_words
from napari_singlestrip.engine.learning.leaks import remove_leaks
from napari_singlestrip.engine.learning.prediction import similar_masks
from napari_singlestrip.engine.learning.segmenter import load_segmenter, strip_volume
from napari_singlestrip.engine.learning.segmenter_training import segmenter_task
from napari_singlestrip.engine.learning.training import Task, train
from napari_singlestrip.engine.masks.border_refinement import refine_border
from napari_singlestrip.engine.overrides import override
from napari_singlestrip.events import Event, Progress, Started
from napari_singlestrip.files.temporary import remove_leftovers, temporary_folder
from napari_singlestrip.pipeline.job import Job
from napari_singlestrip.pipeline.round_segmenter import real_fraction_at_first
from napari_singlestrip.pipeline.training_data import TrainingData, training_data
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.training_set import TrainingMask, masks_by_hand

STEPS = 12  # steps of each network, at least,
SECONDS = 2.0  # and at least this long: other programs disturb the timing of short steps;
ENOUGH_SECONDS = 10.0  # but fewer steps if they are long
FORWARD = 0.35  # share of the forward pass in a training step, for the time of validation
PARTS = 4  # the stages up to the first ranking


class _Timing:
    """Seconds of the stages."""

    def __init__(self, job: Job, folder: Path) -> None:
        self.job, self.folder = job, folder
        self.seconds: dict[str, float] = {}

    def measure(self) -> Iterator[Event]:
        masks = masks_by_hand(self.job.study)
        started = time.monotonic()
        data = yield from training_data(self.job, masks, n_maps=None)
        yield Progress("estimate", 1, PARTS)
        self._time_segmenter(data, time.monotonic() - started)
        yield Progress("estimate", 2, PARTS)
        self._time_autoencoder(masks_data=data)
        yield Progress("estimate", 3, PARTS)
        self._time_scans(data.masks[0])
        yield Progress("estimate", 4, PARTS)

    def _time_segmenter(self, data: TrainingData, preparing: float) -> None:
        settings, device = self.job.settings, self.job.device
        started = time.monotonic()
        task = segmenter_task(
            data.bank, data.geometry, settings, device, watched=data.watched,
            real_fraction=real_fraction_at_first(settings, len(data.watched)),
        )
        preparing += time.monotonic() - started
        first, step = self._time_steps(task, "segmenter.pt")
        config = settings.training
        validations = config.steps / config.validate_every * (
            config.validation_heads + len(data.watched)
        )
        self.seconds["train"] = preparing + first + step * (config.steps + FORWARD * validations)

    def _time_autoencoder(self, masks_data: TrainingData) -> None:
        settings, device = self.job.settings, self.job.device
        started = time.monotonic()
        task = autoencoder_task(masks_data.bank, masks_data.geometry, settings, device)
        preparing = time.monotonic() - started
        first, step = self._time_steps(task, "autoencoder.pt")
        self.seconds["autoencoder"] = preparing + first + step * settings.autoencoder.steps

    def _time_steps(self, task: Task, name: str) -> tuple[float, float]:
        """Seconds until the first step is done, and of each step after it."""
        times = [time.monotonic()]
        training = cast(Generator[Progress], train(task, self.folder / name, self.job.device))
        for _ in training:
            times.append(time.monotonic())
            taken = times[-1] - times[0]
            if len(times) > (STEPS if taken < ENOUGH_SECONDS else 2) and taken > SECONDS:
                break
        training.close()
        first = times[1] - times[0]
        later = np.diff(times[1:])
        return first, float(np.mean(later)) if len(later) else first

    def _time_scans(self, painted: TrainingMask) -> None:
        """Predict and rank a painted scan, as a stand-in for the others."""
        study, settings = self.job.study, self.job.settings
        labelled = study.decisions.labelled()
        n_scans = len([name for name in study.scans.names if name not in labelled.painted])
        # An untrained network finds nothing: with a threshold near 0 it takes as long as a trained
        # one.
        eager = override(settings, {"prediction.threshold": 1e-9})
        segmenter = load_segmenter(self.folder / "segmenter.pt", self.job.device)
        segmenter = replace(segmenter, settings=eager)
        autoencoder = load_autoencoder(self.folder / "autoencoder.pt", self.job.device)
        scan = open_scan(study.scans.path(painted.scan))
        mask = load_mask(study.folder / painted.path, like=scan)

        def predict_one() -> None:
            volume = scan.load()
            strip_volume(segmenter, volume, settings)  # its mask is mostly empty
            if settings.prediction.remove_leaks:
                remove_leaks(mask, volume.grid, autoencoder, settings.ranking)
            if settings.prediction.refine_border:
                refine_border(mask, volume.data, volume.grid.spacing)

        def rank_one() -> None:
            views = score_mask(autoencoder, mask, scan.grid, settings.ranking).views
            heat = unconform(views[0].reconstructed, views[0].grid, scan.grid, fill=0.0)
            save_map(self.folder / "heat.nii.gz", np.round(mask - heat, 2), like=scan)
            if settings.ranking.measures_consistency:
                n, volume = settings.ranking.n_augmentations, scan.load()
                consistency(segmenter, volume, mask, n, np.random.default_rng(0))
                brains = n * [mask.astype(np.float32)]  # those of the network are mostly empty
                similar_masks(brains, scan.grid, mask, volume, settings, autoencoder)

        for stage, work in (("predict", predict_one), ("rank", rank_one)):
            first, each = _time_scan(work)
            self.seconds[stage] = first + each * (n_scans - 1) if n_scans else 0.0


def _time_scan(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds for the first scan, including imports and the choice of kernels, and for the next."""
    times = [time.monotonic()]
    for _ in range(2):
        work()
        times.append(time.monotonic())
    return times[1] - times[0], times[2] - times[1]


def estimate(
    study: Study,
    *,
    effort: str | None = None,
    device: str = "auto",
    overrides: Mapping[str, Any] | None = None,
) -> Iterator[Event]:
    """Time a few steps of each stage up to the first ranking; the study is not changed.

    The networks of these steps are stored in a temporary folder within the study.

    Parameters
    ----------
    study : Study
    effort, overrides
        Changes of the study's settings.
    device : str
        "auto", "cpu", "cuda" or "mps".

    Yields
    ------
    Event
        The last one is `Finished`; its summary has the seconds that "train", "autoencoder",
        "predict" and "rank" will take.

    Raises
    ------
    UserError
        If nothing is painted.
    """
    started = time.monotonic()
    chosen = choose_device(device)
    job = Job(study, study.settings(effort, overrides), chosen)
    yield Started("estimate", in_words(chosen), job.settings.effort)
    remove_leftovers(study.folder)  # of an estimate that was killed
    with temporary_folder(study.folder) as folder:
        timing = _Timing(job, folder)
        yield from timing.measure()
    seconds = {name: round(value, 1) for name, value in timing.seconds.items()}
    yield replace(job.tally.finished(time.monotonic() - started), summary=seconds)
