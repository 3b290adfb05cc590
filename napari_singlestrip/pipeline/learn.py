"""The training stages: first segmenter, autoencoder, and fine-tuning."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.engine.heads.label_bank import Geometry
from napari_singlestrip.engine.heads.label_map import LabelBank, untiled
from napari_singlestrip.engine.heads.synthesis import render
from napari_singlestrip.engine.heads.synthesis_params import sample_params
from napari_singlestrip.engine.learning.autoencoder import autoencoder_task
from napari_singlestrip.engine.learning.device import in_words
from napari_singlestrip.engine.learning.segmenter import load_segmenter
from napari_singlestrip.engine.learning.segmenter_training import segmenter_task
from napari_singlestrip.engine.learning.training import Task, Weights, is_done, step_of, train
from napari_singlestrip.engine.overrides import override
from napari_singlestrip.events import Event, Note, Progress, Started
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.pipeline import previews
from napari_singlestrip.pipeline.autoencoder_choice import autoencoder_path, fingerprint, knows
from napari_singlestrip.pipeline.job import Job, wrote
from napari_singlestrip.pipeline.live_prediction import LivePrediction
from napari_singlestrip.pipeline.refreshed_labels import refreshed
from napari_singlestrip.pipeline.round_segmenter import prediction_settings, real_fraction_at_first
from napari_singlestrip.pipeline.training_data import TrainingData, training_data
from napari_singlestrip.study.round_facts import is_trained
from napari_singlestrip.study.round_folder import RoundFolder, first_round, metrics_log
from napari_singlestrip.study.training_set import (
    TrainingMask,
    lacks_ranking,
    masks_by_hand,
    masks_of_round,
    write_training_set,
)
from napari_singlestrip.vocabulary import StageName

PREVIEW_HEADS = 12


def train_initial(job: Job) -> Iterator[Event]:
    """Train the first segmenter on the masks made by hand.

    Where other programs made the masks of round 0, it learns also from those that were accepted or
    selected, and is round 1.
    """
    round_ = first_round(job.study)
    folder = job.folder(round_)
    if is_trained(job.study, round_):
        return
    yield Started("train", in_words(job.device))
    if round_:
        masks = masks_of_round(job.study, round_, job.settings.finetuning)
        yield _learns_from(round_, masks)
    else:
        masks = masks_by_hand(job.study)
    folder.write_settings(job.settings, in_words(job.device))
    write_training_set(folder.training_set, masks)
    steps = job.settings.training.steps
    lesson = Lesson(folder, "train", masks, steps, folder.segmenter)
    with metrics_log(folder) as log:
        yield from log.follow(_train_segmenter(job, lesson))
    folder.note_trained()
    yield wrote(job, folder.segmenter, "segmenter")


def train_autoencoder(job: Job, round_: int) -> Iterator[Event]:
    """Train the autoencoder on all masks made by hand, unless an earlier one was."""
    folder, masks = job.folder(round_), masks_by_hand(job.study)
    newest = autoencoder_path(job.study, round_)
    if newest == folder.autoencoder:
        return
    if newest is not None:
        again = job.settings.autoencoder.retrain_each_round
        if not again or knows(newest, job.study, masks):
            return
    yield Started("autoencoder", in_words(job.device))
    if folder.read_settings() is None:
        folder.write_settings(job.settings, in_words(job.device))
    data = yield from training_data(job, masks, n_maps=0)
    task = autoencoder_task(
        data.bank, data.geometry, job.settings, job.device, fingerprint(job.study, data.masks)
    )
    with metrics_log(folder) as log:
        yield from log.follow(train(task, folder.autoencoder, job.device))
    yield wrote(job, folder.autoencoder, "autoencoder")


def finetune(job: Job, round_: int) -> Iterator[Event]:
    """Fine-tune the previous round on painted, corrected, accepted and selected masks.

    Selected masks are the network's own, including its errors. So after a first training they are
    predicted again, by the mean of the previous and the new network, and training continues on
    these.
    """
    folder, before = job.folder(round_), job.folder(round_ - 1)
    if round_ == first_round(job.study):
        yield from train_initial(job)
    if is_trained(job.study, round_):
        return
    yield Started("finetune", in_words(job.device), f"round {round_}")
    initial = None
    if job.settings.finetuning.start == "previous":
        initial = load_segmenter(before.segmenter, job.device).net.state_dict()  # weights only
    masks = masks_of_round(job.study, round_, job.settings.finetuning)
    kinds = [mask.kind for mask in masks]
    yield _learns_from(round_, masks)
    if lacks_ranking(job.study, round_, job.settings.finetuning):
        yield Note(
            f"Round {round_ - 1} was not ranked, so that no mask of it is selected to be learned "
            "from. Run the stages predict and rank first, unless that is meant.",
            "warning",
        )
    if "selected" not in kinds or job.settings.finetuning.soft_labels:
        job = replace(job, settings=override(job.settings, {"finetuning.refresh_fraction": 0}))
    folder.write_settings(job.settings, in_words(job.device))
    write_training_set(folder.training_set, masks)
    tuning = job.settings.finetuning
    lesson = Lesson(folder, "finetune", masks, tuning.steps, folder.segmenter, initial)
    with metrics_log(folder) as log:
        yield from log.follow(_taught_twice(job, round_, lesson, tuning.refresh_steps))
    folder.note_trained()
    yield wrote(job, folder.segmenter, "segmenter")


def _learns_from(round_: int, masks: Sequence[TrainingMask]) -> Note:
    kinds = [mask.kind for mask in masks]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    return Note(f"Round {round_} learns from {counts} mask{'s' * (len(masks) > 1)}.")


def _taught_twice(job: Job, round_: int, lesson: Lesson, refresh_steps: int) -> Iterator[Event]:
    """Train, then continue with the selected masks predicted again, if configured."""
    if not refresh_steps:
        yield from _train_segmenter(job, lesson)
        return
    first, whole = lesson.folder.first_pass, lesson.steps + refresh_steps
    yield from _part_of(whole, 0, _train_segmenter(job, replace(lesson, into=first)))
    taught = load_segmenter(first, job.device)
    masks = yield from refreshed(job, round_, lesson.masks, taught)
    write_training_set(lesson.folder.training_set, masks)
    again = replace(
        lesson, masks=masks, steps=refresh_steps, initial=taught.net.state_dict()
    )
    yield from _part_of(whole, lesson.steps, _train_segmenter(job, again))


def _part_of(n_steps: int, taken: int, events: Iterable[Event]) -> Iterator[Event]:
    """Renumber the steps of a part of the training as steps of the whole."""
    for event in events:
        if isinstance(event, Progress) and event.stage == "finetune":
            left, step = event.seconds_left, taken + event.step
            if left is not None and event.step < event.n_steps:
                left *= (n_steps - step) / (event.n_steps - event.step)
            event = replace(event, step=step, n_steps=n_steps, seconds_left=left)
        yield event


@dataclass(frozen=True)
class Lesson:
    """Training data of a segmenter, and the path of its checkpoint.

    Attributes
    ----------
    folder : RoundFolder
    stage : {"train", "finetune"}
    masks : sequence of TrainingMask
    steps : int
    into : Path
        The checkpoint.
    initial : state dict, optional
        Weights to fine-tune.
    """

    folder: RoundFolder
    stage: StageName
    masks: Sequence[TrainingMask]
    steps: int
    into: Path
    initial: Weights | None = None


def _train_segmenter(job: Job, lesson: Lesson) -> Iterator[Event]:
    if is_done(lesson.into, "segmenter"):
        return
    folder, step = lesson.folder, step_of(lesson.into, "segmenter")
    job.ranks.tell((job.settings, replace(lesson, initial=None), step))  # weights come by `train`
    data, task, settings = yield from _prepared(job, lesson, step)
    if len(data.masks) < len(lesson.masks):
        write_training_set(folder.training_set, data.masks)  # without scans that failed
    pictures = attempt(_save_previews, folder, data.bank, data.geometry, job.settings)
    if isinstance(pictures, Failure):  # only for display; training does not depend on them
        yield pictures.note("", "The previews could not be drawn")
    else:
        yield wrote(job, folder.previews / "synthetic.png", "preview")
    events = data.supply.follow(train(task, lesson.into, job.device, job.ranks), step)
    if job.watch:
        watched = LivePrediction(
            job.study, job.watch, folder.previews, settings.prediction, job.device
        )
        events = job.tally.watch("watch", watched.follow(events, lesson.into))
    yield from events


def help_train(job: Job, lesson: Lesson, step: int) -> Iterator[Event]:
    """Train a segmenter in another than the first process: nothing is written."""
    data, task, _ = yield from _prepared(job, lesson, step)
    yield from data.supply.follow(train(task, lesson.into, job.device, job.ranks), step)


def _prepared(
    job: Job, lesson: Lesson, step: int
) -> Generator[Event, None, tuple[TrainingData, Task, Settings]]:
    """Load what a segmenter learns from at a step, and define its training."""
    tuning, first = job.settings.finetuning, lesson.stage == "train"
    rate = job.settings.training.learning_rate if first else tuning.learning_rate
    config = job.settings.training.model_copy(
        update={"steps": lesson.steps, "learning_rate": rate}
    )
    data = yield from training_data(
        job, lesson.masks, None if first else tuning.label_maps, config.steps, step
    )
    real_fraction = tuning.real_fraction
    if first:
        real_fraction = real_fraction_at_first(job.settings, len(data.masks))
    settings = prediction_settings(job.settings, real=real_fraction > 0)
    task = segmenter_task(
        data.bank, data.geometry, settings, job.device, stage=lesson.stage,
        initial=lesson.initial, config=config, real_fraction=real_fraction, watched=data.watched,
    )
    return data, task, settings


def _save_previews(
    folder: RoundFolder, bank: LabelBank, geometry: Geometry, settings: Settings
) -> None:
    maps = previews.label_pictures([m.numpy() for m in untiled(bank.labels[0])])
    previews.save_picture(folder.previews / "label_maps.png", previews.montage(maps, 2), 1)
    rng = np.random.default_rng([settings.seed, 7])
    heads = []
    for _ in range(PREVIEW_HEADS):
        params = sample_params(rng, bank, settings.synthesis)
        image, distance = render(bank, [params], geometry.shape)
        heads.append(previews.head_picture(image[0, 0].numpy(), distance[0, 0].numpy() < 0))
    previews.save_picture(folder.previews / "synthetic.png", previews.montage(heads, 3))
