"""The command for one scan, with the options of ``mri_synthstrip``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_singlestrip.cli.jobs import run_job
from napari_singlestrip.cli.options import EventsOption, QuietOption, RoundOption

if TYPE_CHECKING:
    from napari_singlestrip.events import Event

MODEL_VARIABLE = "SINGLESTRIP_MODEL"


def strip(
    image: Annotated[
        Path, typer.Option("--image", "-i", metavar="FILE", help="The scan.")
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", metavar="STUDY_OR_MODEL", envvar=MODEL_VARIABLE,
            help="A study with a trained model, or an exported model file; without it, the network "
            "that comes with the program, which has learned from drawn heads: a first suggestion.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write the skull-stripped scan."),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option("--mask", "-m", metavar="FILE", help="Write the brain mask.")
    ] = None,
    sdt: Annotated[
        Path | None,
        typer.Option(
            "--sdt", "-d", metavar="FILE",
            help="Write the distance to the brain's surface in mm, negative inside.",
        ),
    ] = None,
    border: Annotated[
        float | None,
        typer.Option(
            "--border", "-b", metavar="MM", min=-20, max=20,
            help="Distance of the mask's border from the brain's surface; by default the model's.",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", "-t", min=1, help="Number of CPU threads.")
    ] = None,
    gpu: Annotated[bool, typer.Option("--gpu", "-g", help="Use the graphics card.")] = False,
    round_: RoundOption = None,
    events: EventsOption = False,
    quiet: QuietOption = False,
) -> None:
    """Strip one scan with a trained model; existing files are replaced.

    Without a model, the mask is a first suggestion for the head of a human: correct it, and train
    from it. Names of files tell their format: .nii.gz, .nii, .mgz or .mgh.

    \b
    Examples:
      singlestrip strip -i scan.nii.gz -o brain.nii.gz -m mask.nii.gz --model model.pt
      singlestrip strip -i scan.nii.gz -m suggested_mask.nii.gz
      SINGLESTRIP_MODEL=my_study singlestrip strip -i T1.mgz -o brainmask.mgz -b 1
    """

    def job() -> Iterator[Event]:
        from napari_singlestrip.pipeline.strip_one import Outputs, strip_one

        yield from strip_one(
            model, image, Outputs(out, mask, sdt), border_mm=border,
            device="cuda" if gpu else "cpu", threads=threads, round_=round_,
        )

    run_job(job, events, quiet)
