"""Commands for what a study learned: apply it, measure its masks, give it away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_singlestrip.cli.jobs import (
    leave,
    run_job,
    with_problems,
    write_file,
)
from napari_singlestrip.cli.options import (
    DeviceOption,
    EventsOption,
    QuietOption,
    RoundOption,
    Scans,
    SetOption,
    StudyFolder,
)
from napari_singlestrip.texts import printable

if TYPE_CHECKING:
    from napari_singlestrip.events import Event


def apply(
    model: Annotated[
        Path, typer.Argument(metavar="STUDY_OR_MODEL", help="A study, or an exported model file.")
    ],
    scans: Scans,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the masks.")],
    brain: Annotated[
        bool, typer.Option("--brain", help="Also write the scans without skull.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Replace masks that are in DIR already.")
    ] = False,
    round_: RoundOption = None,
    device: DeviceOption = "auto",
    settings: SetOption = None,
    events: EventsOption = False,
    quiet: QuietOption = False,
) -> None:
    """Strip the skulls of any scans with what a study learned.

    Writes <scan>_desc-brain_mask.nii.gz and volumes.csv. A scan that cannot be read is reported,
    and the others go on. A mask that is there already stays as it is, so that the same command
    goes on where it was stopped.

    \b
    Examples:
      singlestrip apply my_study new_scans/ --out masks/
      singlestrip apply model.pt a.nii.gz b.mgz --out masks/ --brain
    """

    def job() -> Iterator[Event]:
        from napari_singlestrip.engine.config import parse_assignments
        from napari_singlestrip.study.document import scans_among

        overrides = parse_assignments(settings or [])
        found, problems = scans_among(scans)
        from napari_singlestrip.pipeline import apply as work

        yield from with_problems(problems, work.apply(
            model, found, out, device=device, brain=brain, overrides=overrides, round_=round_,
            again=again,
        ))

    run_job(job, events, quiet)


def evaluate(
    masks: Annotated[Path, typer.Argument(metavar="MASK_DIR", help="Folder of masks.")],
    references: Annotated[
        Path, typer.Argument(metavar="REFERENCE_DIR", help="Folder of reference masks.")
    ],
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Also write the table there.")
    ] = None,
) -> None:
    """Compare masks with reference masks: Dice, surface distances, volumes.

    \b
    Example:
      singlestrip evaluate masks/ references/ --csv figures.csv
    """
    from napari_singlestrip.cli.output import show_evaluation
    from napari_singlestrip.engine.imaging.scan_files import check_file_name
    from napari_singlestrip.engine.masks import evaluation

    if csv is not None:
        check_file_name(csv)
    rows = evaluation.evaluate_folders(masks, references)
    failed = show_evaluation(rows)
    if csv is not None:
        evaluation.write_csv(rows, csv)
    leave(len(rows) - failed, failed)


def export(
    study: StudyFolder,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="File to write.")],
    round_: RoundOption = None,
    events: EventsOption = False,
) -> None:
    """Write what a study learned as one file, to send and to apply elsewhere.

    Beside it, <name>_card.md says where the model comes from.

    \b
    Examples:
      singlestrip export my_study model.pt
      singlestrip export my_study first.pt --round 0
    """
    from napari_singlestrip.study.study import Study

    opened = Study.open(study)

    def write() -> None:
        from napari_singlestrip.pipeline import apply as work

        work.export_model(opened, model, round_)

    write_file("export", model, write, events)


def doctor() -> None:
    """Print versions, devices, speed and memory: what to paste into a bug report."""
    from napari_singlestrip.engine.learning.device import describe

    facts = describe()
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        typer.echo(printable(f"{name:{width}s}  {value}"))
