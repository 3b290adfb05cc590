"""The stages that train: the first segmenter, the autoencoder, and fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.engine.heads.label_bank import (
    Geometry,
)
from napari_singlestrip.engine.heads.label_map import LabelBank, untiled
from napari_singlestrip.engine.heads.synthesis import render, sample_params
from napari_singlestrip.engine.learning.autoencoder import (
    autoencoder_task,
)
from napari_singlestrip.engine.learning.device import in_words
from napari_singlestrip.engine.learning.segmenter import (
    load_segmenter,
    segmenter_task,
)
from napari_singlestrip.engine.learning.training import Weights, is_done, step_of, train
from napari_singlestrip.events import Event, Note, Started
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.pipeline import previews
from napari_singlestrip.pipeline.autoencoder_choice import autoencoder_path, fingerprint, knows
from napari_singlestrip.pipeline.job import Job, prediction_settings, real_fraction_at_first, wrote
from napari_singlestrip.pipeline.live_prediction import PresentAnswer
from napari_singlestrip.pipeline.training_data import training_data
from napari_singlestrip.study.round_folder import (
    RoundFolder,
    metrics_log,
)
from napari_singlestrip.study.training_set import (
    TrainingMask,
    lacks_ranking,
    masks_by_hand,
    masks_of_round,
    write_training_set,
)

PREVIEW_HEADS = 12


def train_initial(job: Job) -> Iterator[Event]:
    """Train the first segmenter on the masks made by hand."""
    folder = job.folder(0)
    if is_done(folder.segmenter, "segmenter"):
        return
    yield Started("train", in_words(job.device))
    folder.write_settings(job.settings, in_words(job.device))
    masks = masks_by_hand(job.study)
    write_training_set(folder.training_set, masks)
    yield from _train_segmenter(job, folder, masks, "train")


def train_autoencoder(job: Job, round_: int) -> Iterator[Event]:
    """Train the autoencoder on the masks made by hand, unless that of a round before knows them."""
    folder, masks = job.folder(round_), masks_by_hand(job.study)
    newest = autoencoder_path(job.study, round_)
    if newest == folder.autoencoder:
        return
    if newest is not None:
        again = job.settings.autoencoder.each_round
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
    """Train on painted, corrected, accepted and selected masks, from the round before."""
    folder, before = job.folder(round_), job.folder(round_ - 1)
    if is_done(folder.segmenter, "segmenter"):
        return
    yield Started("finetune", in_words(job.device), f"round {round_}")
    initial = None
    if job.settings.finetuning.start == "before":
        initial = load_segmenter(before.segmenter, job.device).net.state_dict()
    masks = masks_of_round(job.study, round_, job.settings.finetuning)
    kinds = [mask.kind for mask in masks]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    yield Note(f"Round {round_} learns from {counts} mask{'s' * (len(masks) > 1)}.")
    if lacks_ranking(job.study, round_, job.settings.finetuning):
        yield Note(
            f"Round {round_ - 1} was not ranked, so that no mask of it is selected to be learned "
            "from. Run the stages predict and rank first, unless that is meant.",
            "warning",
        )
    folder.write_settings(job.settings, in_words(job.device))
    write_training_set(folder.training_set, masks)
    yield from _train_segmenter(job, folder, masks, "finetune", initial)


def _train_segmenter(
    job: Job,
    folder: RoundFolder,
    masks: Sequence[TrainingMask],
    stage: str,
    initial: Weights | None = None,
) -> Iterator[Event]:
    tuning = job.settings.finetuning
    first = stage == "train"
    config = job.settings.training
    if not first:
        config = config.model_copy(
            update={"steps": tuning.steps, "learning_rate": tuning.learning_rate}
        )
    step = step_of(folder.segmenter, "segmenter")
    data = yield from training_data(
        job, masks, None if first else tuning.label_maps, config.steps, step
    )
    if len(data.masks) < len(masks):
        write_training_set(folder.training_set, data.masks)  # not what was left out
    real_fraction = tuning.real_fraction
    if first:
        real_fraction = real_fraction_at_first(job.settings, len(data.masks))
    settings = prediction_settings(job.settings, real=real_fraction > 0)
    task = segmenter_task(
        data.bank, data.geometry, settings, job.device, stage=stage, initial=initial,
        config=config, real_fraction=real_fraction, watched=data.watched,
    )
    pictures = attempt(_save_previews, folder, data.bank, data.geometry, job.settings)
    if isinstance(pictures, Failure):  # they are to be looked at; training can do without
        yield pictures.note("", "The previews could not be drawn")
    else:
        yield wrote(job, folder.previews / "synthetic.png", "preview")
    events = data.supply.follow(train(task, folder.segmenter, job.device), step)
    if job.watch:
        watched = PresentAnswer(job.study, job.watch, folder.previews, job.device)
        events = job.tally.watch("watch", watched.follow(events, folder.segmenter))
    with metrics_log(folder) as log:
        yield from log.follow(events)
    yield wrote(job, folder.segmenter, "segmenter")


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
