"""Commands that train, predict and rank, and estimate the run time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from napari_singlestrip.cli.jobs import run_job
from napari_singlestrip.cli.options import (
    DeviceOption,
    EffortOption,
    EventsOption,
    PartOption,
    QuietOption,
    RoundsOption,
    SeedOption,
    SetOption,
    StudyFolder,
    parse_stages,
    part_of,
)
from napari_singlestrip.engine.devices.launch import place_of

if TYPE_CHECKING:
    from napari_singlestrip.events import Event


def run(
    study: StudyFolder,
    stages: Annotated[
        str | None,
        typer.Option(
            "--stages",
            metavar="LIST",
            help="From train,autoencoder,predict,rank,finetune; by default all that is missing.",
        ),
    ] = None,
    rounds: RoundsOption = None,
    effort: EffortOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    settings: SetOption = None,
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Set existing rounds aside, and start over."),
    ] = False,
    watch: Annotated[
        str,
        typer.Option(
            "--watch", metavar="SCAN",
            help="While training, write the current prediction for this scan at intervals.",
        ),
    ] = "",
    part: PartOption = None,
    learn_only: Annotated[
        bool,
        typer.Option(
            "--learn-only",
            help="Stop once the networks of the last round are trained: other processes, with "
            "--part, predict and rank.",
        ),
    ] = False,
    events: EventsOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run all missing stages: train, predict, rank, fine-tune.

    Ctrl+C saves and stops; the same command resumes. Started by torchrun, several processes train
    the segmenter together, each on a graphics card of its own.

    \b
    Examples:
      singlestrip run my_study
      singlestrip run my_study --rounds 0            up to the first ranking, to decide yourself
      singlestrip run my_study --stages finetune,autoencoder,predict,rank    one more round
      singlestrip run my_study --rounds 2 --device cuda
      singlestrip run my_study --part 2/8            predict and rank a share of the scans
      singlestrip run my_study --set training.steps=500 --set prediction.border_mm=1
    """
    here = place_of()

    def job() -> Iterator[Event]:
        from napari_singlestrip.engine.overrides import parse_assignments
        from napari_singlestrip.events import Started
        from napari_singlestrip.study.lock import StudyLock
        from napari_singlestrip.study.study import Study

        overrides, share = parse_assignments(settings or []), part_of(part)
        opened = Study.open(study)
        opened.settings(effort, overrides, seed)  # report a wrong setting before torch is loaded
        if not here.first:
            from napari_singlestrip.pipeline.together import help_run

            yield from help_run(opened, device, here)
            return
        with StudyLock(opened.folder, "" if share.is_all else str(share).replace("/", "_of_")):
            if events:  # importing torch takes seconds: show this first
                yield Started("", detail="loading torch")
            from napari_singlestrip.pipeline import stages as work

            yield from work.run(
                opened,
                stages=parse_stages(stages),
                rounds=rounds,
                effort=effort,
                device=device,
                seed=seed,
                overrides=overrides,
                restart=restart,
                watch=opened.scans.entry(watch).name if watch else "",
                part=share,
                learn_only=learn_only,
                place=here,
            )

    if here.first:
        run_job(job, events, quiet, log_folder=study)
    else:  # only the first process speaks
        run_job(job, events=False, quiet=True)


def estimate(
    study: StudyFolder,
    effort: EffortOption = None,
    device: DeviceOption = "auto",
    settings: SetOption = None,
    events: EventsOption = False,
    quiet: QuietOption = False,
) -> None:
    """Estimate how long training, prediction and ranking will take on this computer.

    Times a few real steps; nothing in the study is changed.

    \b
    Examples:
      singlestrip estimate my_study
      singlestrip estimate my_study --effort standard --device cuda
    """

    def job() -> Iterator[Event]:
        from napari_singlestrip.engine.overrides import parse_assignments
        from napari_singlestrip.study.study import Study

        overrides = parse_assignments(settings or [])
        opened = Study.open(study)
        opened.settings(effort, overrides)
        from napari_singlestrip.pipeline import estimate as estimating

        yield from estimating.estimate(opened, effort=effort, device=device, overrides=overrides)

    run_job(job, events, quiet)
