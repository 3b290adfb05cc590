"""The stages: study in, study out. Each is a generator of events; closing it cancels.

Round 0 trains on the painted mask, trains the autoencoder, predicts all other scans and ranks the
predictions. Each later round fine-tunes on masks chosen by a person or by the ranking, trains the
autoencoder anew if there are more masks made by hand, predicts and ranks again. What is done
already is not done twice, so that the same call resumes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from napari_singlestrip.engine.learning.device import choose_device, in_words, remarks
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Note, Started
from napari_singlestrip.pipeline.job import Job
from napari_singlestrip.pipeline.learn import finetune, train_autoencoder, train_initial
from napari_singlestrip.pipeline.predict import predict_pool
from napari_singlestrip.pipeline.rank import rank_pool
from napari_singlestrip.study.round_facts import unfinished_round
from napari_singlestrip.study.round_folder import (
    remove_temporary_files,
    set_aside,
    settings_of_run,
)
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.training_set import (
    masks_by_hand,
)

STAGES = ("train", "autoencoder", "predict", "rank", "finetune")


def run(
    study: Study,
    *,
    stages: Sequence[str] | None = None,
    rounds: int | None = None,
    effort: str | None = None,
    device: str = "auto",
    seed: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    restart: bool = False,
    watch: str = "",
) -> Iterator[Event]:
    """Run stages of a study.

    Parameters
    ----------
    study : Study
    stages : sequence of str, optional
        Some of `STAGES`; "predict" and "rank" apply to the newest round, "finetune" begins the
        next one. Without: everything that is missing, in order.
    rounds : int, optional
        Rounds of fine-tuning, instead of the settings'.
    effort, seed, overrides
        Changes of the study's settings for this run.
    device : str
        "auto", "cpu", "cuda" or "mps".
    restart : bool
        Set the rounds that exist aside and start anew.
    watch : str
        Scan to predict now and then while the segmenter trains; empty for none.

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
    chosen, changes = choose_device(device), dict(overrides or {})
    study.settings(effort, changes, seed)  # mistakes are said before anything is moved
    masks_by_hand(study)
    if watch:
        study.scan(watch)
    if restart and (kept := set_aside(study)):
        yield Note(f"The earlier rounds are kept in {kept.name}.")
    settings = settings_of_run(study, effort, changes, seed)
    remove_temporary_files(study)
    job = Job(study, settings, chosen, again=stages is not None, watch=watch)
    yield Started("", in_words(job.device), f"{study.name}, {settings.effort}")
    for text in remarks(device, chosen):
        yield Note(text, "warning")
    yield from _missing_scans(study)
    if stages is None:
        yield from _everything(job, settings.finetuning.rounds if rounds is None else rounds)
    else:
        yield from _chosen(job, stages)
    yield job.tally.finished(time.monotonic() - started)


def _missing_scans(study: Study) -> Iterator[Event]:
    """Say once which files are gone, as after a study was copied without its scans."""
    gone = [name for name in study.names if not study.scan_path(name).exists()]
    if gone:
        shown = ", ".join(gone[:5]) + (f" and {len(gone) - 5} more" if len(gone) > 5 else "")
        where = study.scan_path(gone[0]).parent
        yield Note(
            f"{len(gone)} of {len(study.names)} scans are not where the study says: {shown}. "
            f"Copy them to {where}, beside the study as before."
        )


def _everything(job: Job, rounds: int) -> Iterator[Event]:
    yield from train_initial(job)
    for round_ in range(rounds + 1):
        if round_:
            yield from finetune(job, round_)
        yield from train_autoencoder(job, round_)
        yield from predict_pool(job, round_)
        yield from rank_pool(job, round_)


def _chosen(job: Job, stages: Sequence[str]) -> Iterator[Event]:
    """Stages in their natural order, whatever the order they were named in."""
    newest = job.study.current_round()
    if "train" in stages:
        yield from train_initial(job)
    if "finetune" in stages:
        left = unfinished_round(job.study)
        if left == "ranking" and "rank" in stages:  # a run of these same stages was stopped
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
