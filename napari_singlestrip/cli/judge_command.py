"""The command that ranks masks of other programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_singlestrip.cli.jobs import run_job
from napari_singlestrip.cli.options import DeviceOption, EventsOption, QuietOption, StudyFolder

if TYPE_CHECKING:
    from napari_singlestrip.events import Event


def judge(
    study: StudyFolder,
    masks: Annotated[
        list[Path],
        typer.Option(
            "--masks", metavar="DIR",
            help="Folder of masks of one program. Masks of the first are ranked; further ones are "
            "for comparison.",
        ),
    ],
    good: Annotated[
        list[str] | None,
        typer.Option(
            "--good", metavar="SCAN",
            help="A scan whose mask in DIR is good: it counts as painted.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace masks that were imported before.")
    ] = False,
    device: DeviceOption = "auto",
    events: EventsOption = False,
    quiet: QuietOption = False,
) -> None:
    """Rank masks of other programs, based on one good mask, without segmentation.

    The masks become the pseudo-labels of round 0, to be reviewed in the window. Each has the name
    of its scan followed by _mask or _desc-brain_mask, and the grid of its scan.

    \b
    Examples:
      singlestrip judge my_study --masks bet/ --good sub-01_T1w
      singlestrip judge my_study --masks synthstrip/ --masks hdbet/
    """

    def job() -> Iterator[Event]:
        from napari_singlestrip.study.lock import StudyLock
        from napari_singlestrip.study.study import Study

        opened = Study.open(study)
        with StudyLock(opened.folder):
            from napari_singlestrip.pipeline import judge as work

            yield from work.judge(
                opened, masks, good=good or (), device=device, overwrite=overwrite
            )

    run_job(job, events, quiet, log_folder=study)
