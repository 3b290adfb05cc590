"""The stages of a run. Each is a generator of events; closing it cancels.

Round 0 trains on the painted mask, trains the autoencoder, predicts all other scans and ranks the
predictions. Each later round fine-tunes on masks chosen by a person or by the ranking, retrains the
autoencoder if there are more masks made by hand, predicts and ranks again. Completed work is
skipped, so that the same call resumes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from napari_singlestrip.engine.devices.launch import ALONE, Place
from napari_singlestrip.engine.learning.device import in_words, remarks
from napari_singlestrip.engine.learning.ranks import device_of, meeting
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Note, Started
from napari_singlestrip.pipeline.job import Job
from napari_singlestrip.pipeline.learn import finetune, train_autoencoder, train_initial
from napari_singlestrip.pipeline.predict import predict_pool
from napari_singlestrip.pipeline.rank import rank_pool
from napari_singlestrip.study.parts import ALL, Part
from napari_singlestrip.study.round_facts import is_trained, unfinished_round
from napari_singlestrip.study.round_folder import (
    first_round,
    remove_temporary_files,
    set_aside,
    settings_of_run,
)
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.training_set import masks_by_hand
from napari_singlestrip.vocabulary import SCAN_STAGES, STAGES, StageName


def run(
    study: Study,
    *,
    stages: Sequence[StageName] | None = None,
    rounds: int | None = None,
    effort: str | None = None,
    device: str = "auto",
    seed: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    restart: bool = False,
    watch: str = "",
    part: Part = ALL,
    learn_only: bool = False,
    place: Place = ALONE,
) -> Iterator[Event]:
    """Run stages of a study.

    Parameters
    ----------
    study : Study
    stages : sequence of str, optional
        Some of `STAGES`; "predict" and "rank" apply to the latest round, "finetune" begins the next
        one. By default everything that is missing, in order.
    rounds : int, optional
        Rounds of fine-tuning, instead of the settings'.
    effort, seed, overrides
        Changes of the study's settings for this run.
    device : str
        "auto", "cpu", "cuda" or "mps".
    restart : bool
        Set the existing rounds aside and start over.
    watch : str
        Scan whose current prediction is shown during training; empty for none.
    part : Part
        The share of the scans to predict and rank; other processes do the others at the same time.
    learn_only : bool
        Stop once the networks of the last round are trained: other processes predict and rank.
    place : Place
        That of the first process, if several train the segmenter together (`together.help_run`).

    Raises
    ------
    UserError
        If nothing is painted, a stage or the watched scan is unknown, or settings do not fit
        what was trained.
    """
    started = time.monotonic()
    unknown = set(stages or ()) - set(STAGES)
    if unknown:
        raise UserError(f"Unknown stage {unknown.pop()!r}.", f"Stages are: {', '.join(STAGES)}.")
    if learn_only and (stages is not None or not part.is_all):
        raise UserError("--learn-only goes with neither --stages nor --part.", "Give one of them.")
    if not part.is_all:
        stages = _of_part(stages, restart)
    chosen, changes = device_of(device, place), dict(overrides or {})
    study.settings(effort, changes, seed)  # validates before anything is moved
    masks_by_hand(study)
    if watch:
        study.scans.entry(watch)
    if restart and (kept := set_aside(study)):
        yield Note(f"The earlier rounds are kept in {kept.name}.")
    settings = settings_of_run(study, effort, changes, seed)
    if part.is_all:  # temporary files of other parts may be in use
        remove_temporary_files(study)
    again = stages is not None and part.is_all
    job = Job(study, settings, chosen, again=again, watch=watch, part=part)
    yield Started("", in_words(job.device), f"{study.name}, {settings.effort}")
    for text in remarks(device, chosen):
        yield Note(text, "warning")
    yield from _missing_scans(study)
    with meeting(place) as ranks:
        job = replace(job, ranks=ranks)
        yield from _several(job)
        if stages is None:
            last = settings.finetuning.rounds if rounds is None else rounds
            yield from _everything(job, last, learn_only)
        else:
            yield from _chosen(job, stages)
    yield job.tally.finished(time.monotonic() - started)


def _of_part(stages: Sequence[StageName] | None, restart: bool) -> Sequence[StageName]:
    if restart or set(stages or ()) - set(SCAN_STAGES):
        raise UserError(
            "Only predicting and ranking can be shared out (--part).",
            "Train first, without --part; then use --stages predict,rank with it.",
        )
    return stages or SCAN_STAGES


def _missing_scans(study: Study) -> Iterator[Event]:
    """Report missing scans once, as after a study was copied without them."""
    gone = [name for name in study.scans.names if not study.scans.path(name).exists()]
    if gone:
        shown = ", ".join(gone[:5]) + (f" and {len(gone) - 5} more" if len(gone) > 5 else "")
        where = study.scans.path(gone[0]).parent
        yield Note(
            f"{len(gone)} of {len(study.scans.names)} scans are not where the study says: {shown}. "
            f"Copy them to {where}, beside the study as before."
        )


def _several(job: Job) -> Iterator[Event]:
    n, batch = job.ranks.place.n, job.settings.training.batch_size
    if n > 1:
        yield Note(
            f"{n} processes train the segmenter together, so that each step learns from "
            f"{n * batch} heads instead of {batch}."
        )


def _everything(job: Job, rounds: int, learn_only: bool) -> Iterator[Event]:
    first = first_round(job.study)
    last = max(first, rounds)
    yield from train_initial(job)
    for round_ in range(first, last + 1):
        if round_ > first:
            yield from finetune(job, round_)
        yield from train_autoencoder(job, round_)
        if learn_only and round_ == last:
            return
        yield from predict_pool(job, round_)
        yield from rank_pool(job, round_)


def _without_network(study: Study, stages: Sequence[StageName]) -> Sequence[StageName]:
    """Train the first network where there are only masks of other programs, to fine-tune none."""
    first = first_round(study)
    if not first or is_trained(study, first):
        return stages
    stages = ["train" if stage == "finetune" else stage for stage in stages]
    if "train" not in stages:
        raise UserError(
            f"The study {study.name} has masks of other programs, and no network yet.",
            "Train one (--stages train), or rank them with `singlestrip judge`.",
        )
    return stages


def _chosen(job: Job, stages: Sequence[StageName]) -> Iterator[Event]:
    """The chosen stages, always in their natural order."""
    stages = _without_network(job.study, stages)
    newest = job.study.rounds.current()
    if "train" in stages:
        yield from train_initial(job)
        newest = max(newest, first_round(job.study))
    if "finetune" in stages:
        left = unfinished_round(job.study)
        if left == "ranking" and "rank" in stages:  # an earlier run of these stages was stopped
            yield Note(f"Round {newest} was not ranked yet: it is finished first.")
            job = replace(job, again=False)
        else:
            newest = newest if left == "fine-tuning" else newest + 1
            yield from finetune(job, newest)
    if "autoencoder" in stages:
        yield from train_autoencoder(job, newest)
    if "predict" in stages:
        yield from predict_pool(job, newest)
    if "rank" in stages:
        yield from rank_pool(job, newest)
