"""Commands about a study: its scans, masks and decisions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_singlestrip.cli.jobs import leave, run_job, write_file
from napari_singlestrip.cli.options import (
    BrainOption,
    Choice,
    EffortOption,
    EventsOption,
    Layout,
    LayoutOption,
    MaskForm,
    ParticipantOption,
    PartOption,
    QuietOption,
    Scans,
    SetOption,
    StudyFolder,
    SuffixOption,
    bids_choice,
    layout_kind,
    parse_masks,
    part_of,
)
from napari_singlestrip.errors import UserError
from napari_singlestrip.texts import printable

if TYPE_CHECKING:
    from napari_singlestrip.events import Event


def new(
    study: StudyFolder,
    scans: Scans,
    mask: Annotated[
        list[str] | None,
        typer.Option(
            "--mask",
            metavar="NAME=FILE",
            help="A painted mask; NAME is the scan's file name without extension, prefixed by its "
            "folder if several have the same name (patient1_T1).",
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            metavar="DIR",
            help="Folder of reference masks: for evaluation only, never for training.",
        ),
    ] = None,
    suffix: SuffixOption = None,
    participants: ParticipantOption = None,
    effort: EffortOption = None,
    settings: SetOption = None,
    quiet: QuietOption = False,
) -> None:
    """Make a study: a folder that holds scans, masks, decisions and results.

    Scans are read from their location and never changed.

    \b
    Examples:
      singlestrip new my_study scans/ --mask sub-01_T1w=sub-01_mask.nii.gz
      singlestrip new my_study a.nii.gz b.mgz --mask a=a_mask.nii.gz --effort standard
      singlestrip new my_study scans/ --mask a=a_mask.nii.gz --set training.steps=500
      singlestrip new my_study bids_root/ --suffix T1w,T2w --participant-label 01 02
    """
    from napari_singlestrip.cli.output import describe_new, scan_names_of
    from napari_singlestrip.engine.overrides import parse_assignments
    from napari_singlestrip.study.found_scans import scans_among
    from napari_singlestrip.study.study import Study

    choice = bids_choice(suffix, participants)
    given = parse_masks(mask or [], lambda: scan_names_of(scans, choice))
    found, problems = scans_among(scans, given.values(), choice)
    made = Study.create(
        study, found, masks=given, references=reference,
        effort=effort or "quick", overrides=parse_assignments(settings or []),
    )
    failed = describe_new(made, problems, quiet, found.notes)
    leave(len(made.scans.names) + len(problems) - failed, failed)


def add(
    study: StudyFolder,
    scans: Scans,
    suffix: SuffixOption = None,
    participants: ParticipantOption = None,
    quiet: QuietOption = False,
) -> None:
    """Add scans to a study; the next run predicts and ranks them with the others.

    Scans that the study already has are skipped, so that a folder which receives new scans can be
    added repeatedly.

    \b
    Examples:
      singlestrip add my_study scans/
      singlestrip add my_study sub-51_T1w.nii.gz sub-52_T1w.nii.gz
    """
    from napari_singlestrip.cli.output import describe_added
    from napari_singlestrip.study.found_scans import scans_among
    from napari_singlestrip.study.study import Study

    opened = Study.open(study)
    found, problems = scans_among(scans, choice=bids_choice(suffix, participants))
    failed = describe_added(opened, opened.scans.add(found), problems, quiet, found.notes)
    leave(len(found) + len(problems) - failed, failed)


def rank(study: StudyFolder) -> None:
    """Print the ranking of the latest round, best mask first.

    With reference masks, also the true Dice and its correlation with each score.

    \b
    Example:
      singlestrip rank my_study
    """
    from napari_singlestrip.cli.output import show_ranking
    from napari_singlestrip.study.ranking_report import ranking_report
    from napari_singlestrip.study.study import Study

    opened = Study.open(study)
    ranked = (r for r in reversed(opened.rounds.numbers()) if opened.rounds.scores_path(r).exists())
    round_ = next(ranked, opened.rounds.current())
    found = ranking_report(opened, round_)
    show_ranking(opened, round_, found)
    leave(len(found.rows), len(found.problems))


def report(
    study: StudyFolder,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="File to write; by default STUDY/report.html."),
    ] = None,
    events: EventsOption = False,
) -> None:
    """Write a report of a study as one HTML file.

    It shows the masks from best to worst, label maps and synthetic images, learning curves,
    settings, and the provenance of the masks. With reference masks, also how well the scores
    predict the true Dice.

    \b
    Examples:
      singlestrip report my_study
      singlestrip report my_study --out my_study.html
    """
    from napari_singlestrip.study.study import Study

    opened = Study.open(study)
    path = opened.folder / "report.html" if out is None else out

    def write() -> list[str]:
        from napari_singlestrip.report import write_report

        return write_report(opened, path)

    write_file("report", path, write, events)


def decide(
    study: StudyFolder,
    scan: Annotated[
        str, typer.Argument(metavar="SCAN", help="Name of the scan, as in the ranking.")
    ],
    decision: Annotated[Choice, typer.Argument(help="Undo removes a decision.")],
    mask: Annotated[
        Path | None, typer.Option("--mask", metavar="FILE", help="The corrected mask.")
    ] = None,
    note: Annotated[str, typer.Option("--note", help="A remark to keep.")] = "",
) -> None:
    """Accept, reject or correct a predicted mask.

    The next run trains on accepted and corrected masks, never on rejected ones.

    \b
    Examples:
      singlestrip decide my_study sub-03_T2w accept
      singlestrip decide my_study sub-07_T1w reject --note "resection cavity"
      singlestrip decide my_study sub-09_T1w correct --mask sub-09_corrected.nii.gz
    """
    from napari_singlestrip.study.study import Study

    opened = Study.open(study)
    scan = opened.scans.entry(scan).name  # the exact name, in whatever form it was typed
    if decision is Choice.undo:
        opened.decisions.forget(scan)
        typer.echo(printable(f"{scan}: undecided"))
        return
    states: dict[Choice, Any] = {
        Choice.accept: "accepted",
        Choice.reject: "rejected",
        Choice.correct: "corrected",
    }
    decided = opened.decisions.decide(scan, states[decision], note, mask)
    typer.echo(printable(f"{scan}: {decided.state}"))


def masks(
    study: StudyFolder,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the masks.")],
    brain: BrainOption = False,
    layout: LayoutOption = None,
    part: PartOption = None,
    form: Annotated[
        MaskForm, typer.Option("--as", help="File format of the masks.")
    ] = MaskForm.nifti,
    dicom: Annotated[
        Path | None,
        typer.Option(
            "--dicom", metavar="DIR",
            help="For DICOM SEG: present folder of the DICOM files, if they were moved.",
        ),
    ] = None,
    events: EventsOption = False,
    quiet: QuietOption = False,
) -> None:
    """Export the latest mask of each scan of a study, with its provenance.

    Painted and corrected masks have priority, then accepted ones, then predictions; rejected ones
    are left out. Writes <scan>_desc-brain_mask.nii.gz on each scan's own grid, and masks.csv; for
    scans in a BIDS dataset, a BIDS derivative. For scans converted from DICOM, masks can also be
    written as DICOM SEG, on the slices of their series.

    \b
    Examples:
      singlestrip masks my_study --out masks/ --brain
      singlestrip masks my_study --out segs/ --as dicom-seg
    """
    as_seg = form is MaskForm.dicom_seg
    if as_seg and (brain or layout is Layout.bids):
        raise UserError(
            "--brain and --layout bids require NIfTI.", "Write them without --as dicom-seg."
        )
    if dicom is not None and not as_seg:
        raise UserError("--dicom requires --as dicom-seg.", "Give both, or neither.")
    if dicom is not None and not dicom.is_dir():
        raise UserError(f"There is no folder {dicom}.", "Name the folder of the DICOM files.")

    def job() -> Iterator[Event]:
        from napari_singlestrip.pipeline.export_masks import export_masks
        from napari_singlestrip.study.study import Study

        opened = Study.open(study)
        seg = None
        if as_seg:
            from napari_singlestrip.pipeline.export_dicom import SegWriter

            seg = SegWriter(opened, dicom)
        yield from export_masks(
            opened, out, brain=brain, layout=layout_kind(layout), part=part_of(part), seg=seg
        )

    run_job(job, events, quiet)
