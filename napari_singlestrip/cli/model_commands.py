"""Commands for trained models: apply, evaluate, export."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from napari_singlestrip.cli.jobs import leave, run_job, with_problems, write_file
from napari_singlestrip.cli.options import (
    BrainOption,
    DeviceOption,
    EventsOption,
    LayoutOption,
    OverwriteOption,
    ParticipantOption,
    PartOption,
    ProbabilityOption,
    QuietOption,
    RoundOption,
    Scans,
    SetOption,
    StudyFolder,
    SuffixOption,
    bids_choice,
    layout_kind,
    part_of,
)
from napari_singlestrip.texts import printable

if TYPE_CHECKING:
    from napari_singlestrip.events import Event


class Form(StrEnum):
    """File format of an exported model."""

    singlestrip = "singlestrip"
    onnx = "onnx"
    synthstrip = "synthstrip"


def apply(
    model: Annotated[
        Path, typer.Argument(metavar="STUDY_OR_MODEL", help="A study, or an exported model file.")
    ],
    scans: Scans,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the masks.")],
    brain: BrainOption = False,
    overwrite: OverwriteOption = False,
    probability: ProbabilityOption = False,
    layout: LayoutOption = None,
    part: PartOption = None,
    suffix: SuffixOption = None,
    participants: ParticipantOption = None,
    round_: RoundOption = None,
    device: DeviceOption = "auto",
    settings: SetOption = None,
    events: EventsOption = False,
    quiet: QuietOption = False,
) -> None:
    """Strip the skulls of any scans with a trained model.

    Writes <scan>_desc-brain_mask.nii.gz and volumes.csv; for scans in a BIDS dataset, a BIDS
    derivative. A scan that cannot be read is reported, and the others continue. Existing masks are
    kept, so that the same command resumes after a stop.

    \b
    Examples:
      singlestrip apply my_study new_scans/ --out masks/
      singlestrip apply model.safetensors a.nii.gz b.mgz --out masks/ --brain
    """

    def job() -> Iterator[Event]:
        from napari_singlestrip.engine.overrides import parse_assignments
        from napari_singlestrip.study.found_scans import scans_among

        overrides, share = parse_assignments(settings or []), part_of(part)
        found, problems = scans_among(scans, choice=bids_choice(suffix, participants))
        from napari_singlestrip.pipeline import apply as work

        yield from with_problems(problems, work.apply(
            model, found, out, device=device, brain=brain, overrides=overrides, round_=round_,
            overwrite=overwrite, layout=layout_kind(layout), probability=probability,
            part=share,
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
    form: Annotated[
        Form, typer.Option("--as", help="For this program, as ONNX, or for mri_synthstrip.")
    ] = Form.singlestrip,
    round_: RoundOption = None,
    events: EventsOption = False,
) -> None:
    """Export a trained model to one file, to share and to apply elsewhere.

    Beside it, <name>_card.md describes the provenance of the model.

    \b
    Examples:
      singlestrip export my_study model.safetensors
      singlestrip export my_study first.safetensors --round 0
      singlestrip export my_study model.onnx --as onnx
      singlestrip export my_study weights.pt --as synthstrip

    mri_synthstrip loads weights of a study that was made with --set network.architecture=synthstrip
    --set "network.channels=[16,32,64,64,64,64,64]" --set network.target=distance
    --set conform.spacing_mm=1 --set conform.scale_to_brain=false (much memory).
    """
    from napari_singlestrip.study.study import Study

    opened = Study.open(study)

    def write() -> None:
        from napari_singlestrip.pipeline.trained_model import export_model

        export_model(opened, model, round_, form=cast(Any, form.value))

    write_file("export", model, write, events)


def doctor() -> None:
    """Print versions, devices, speed and memory, for a bug report."""
    from napari_singlestrip.engine.learning.device import describe

    facts = describe()
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        typer.echo(printable(f"{name:{width}s}  {value}"))
