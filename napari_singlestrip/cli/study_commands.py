"""Commands about a study: its scans, its masks, and what a person decides about them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_singlestrip.cli.jobs import (
    leave,
    run_job,
    write_file,
)
from napari_singlestrip.cli.options import (
    Choice,
    EffortOption,
    EventsOption,
    QuietOption,
    Scans,
    SetOption,
    StudyFolder,
    parse_masks,
)
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
            help="A painted mask; NAME is the scan's file name without extension, with its folder "
            "in front where several are called so (patient1_T1).",
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            metavar="DIR",
            help="Folder of reference masks: only to measure, never to learn from.",
        ),
    ] = None,
    effort: EffortOption = None,
    settings: SetOption = None,
    quiet: QuietOption = False,
) -> None:
    """Make a study: a folder that remembers scans, masks, decisions and results.

    Scans are read where they are and never changed.

    \b
    Examples:
      singlestrip new my_study scans/ --mask sub-01_T1w=sub-01_mask.nii.gz
      singlestrip new my_study a.nii.gz b.mgz --mask a=a_mask.nii.gz --effort standard
      singlestrip new my_study scans/ --mask a=a_mask.nii.gz --set training.steps=500
    """
    from napari_singlestrip.cli.output import describe_new, scan_names_of
    from napari_singlestrip.engine.config import parse_assignments
    from napari_singlestrip.study.document import scans_among
    from napari_singlestrip.study.study import Study

    given = parse_masks(mask or [], lambda: scan_names_of(scans))
    found, problems = scans_among(scans, given.values())
    made = Study.create(
        study, found, masks=given, references=reference,
        effort=effort or "quick", overrides=parse_assignments(settings or []),
    )
    failed = describe_new(made, problems, quiet, found.notes)
    leave(len(made.names) + len(problems) - failed, failed)


def add(study: StudyFolder, scans: Scans, quiet: QuietOption = False) -> None:
    """Add scans to a study; the next run predicts and ranks them with the others.

    Scans that the study has already are passed over, so the folder that new scans come into can be
    given again and again.

    \b
    Examples:
      singlestrip add my_study scans/
      singlestrip add my_study sub-51_T1w.nii.gz sub-52_T1w.nii.gz
    """
    from napari_singlestrip.cli.output import describe_added
    from napari_singlestrip.study.document import scans_among
    from napari_singlestrip.study.study import Study

    opened = Study.open(study)
    found, problems = scans_among(scans)
    failed = describe_added(opened, opened.add_scans(found), problems, quiet, found.notes)
    leave(len(found) + len(problems) - failed, failed)


def rank(study: StudyFolder) -> None:
    """Print the ranking of the newest round, best mask first.

    With reference masks, also the true Dice and how well each score tells it.

    \b
    Example:
      singlestrip rank my_study
    """
    from napari_singlestrip.cli.output import show_ranking
    from napari_singlestrip.study.ranking_report import ranking_report
    from napari_singlestrip.study.study import Study

    opened = Study.open(study)
    ranked = (r for r in reversed(opened.rounds()) if opened.scores_path(r).exists())
    round_ = next(ranked, opened.current_round())
    found = ranking_report(opened, round_)
    show_ranking(opened, round_, found)
    leave(len(found.rows), len(found.problems))


def report(
    study: StudyFolder,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="File to write; STUDY/report.html without."),
    ] = None,
    events: EventsOption = False,
) -> None:
    """Write what happened in a study as one HTML file, to look at and to send.

    Pictures of the masks from best to worst, of label maps and synthetic heads, learning curves,
    settings, and where the masks came from. With reference masks, also what the scores are worth.

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
    decision: Annotated[Choice, typer.Argument(help="Undo forgets what was decided.")],
    mask: Annotated[
        Path | None, typer.Option("--mask", metavar="FILE", help="The corrected mask.")
    ] = None,
    note: Annotated[str, typer.Option("--note", help="A remark to keep.")] = "",
) -> None:
    """Say what you think of a predicted mask.

    Accepted and corrected masks are learned from in the next run; rejected ones never.

    \b
    Examples:
      singlestrip decide my_study sub-03_T2w accept
      singlestrip decide my_study sub-07_T1w reject --note "resection cavity"
      singlestrip decide my_study sub-09_T1w correct --mask sub-09_corrected.nii.gz
    """
    from napari_singlestrip.study.study import Study

    opened = Study.open(study)
    scan = opened.scan(scan).name  # as it is written there, however it was typed
    if decision is Choice.undo:
        opened.undecide(scan)
        typer.echo(printable(f"{scan}: undecided"))
        return
    states: dict[Choice, Any] = {
        Choice.accept: "accepted",
        Choice.reject: "rejected",
        Choice.correct: "corrected",
    }
    typer.echo(printable(f"{scan}: {opened.decide(scan, states[decision], note, mask).state}"))


def masks(
    study: StudyFolder,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the masks.")],
    brain: Annotated[
        bool, typer.Option("--brain", help="Also write the scans without skull.")
    ] = False,
    events: EventsOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write the newest mask of each scan of a study, and where it came from.

    Painted and corrected masks first, then accepted ones, then predictions; rejected ones are left
    out. Writes <scan>_desc-brain_mask.nii.gz on each scan's own grid, and masks.csv.

    \b
    Example:
      singlestrip masks my_study --out masks/ --brain
    """

    def job() -> Iterator[Event]:
        from napari_singlestrip.pipeline.export_masks import export_masks
        from napari_singlestrip.study.study import Study

        yield from export_masks(Study.open(study), out, brain=brain)

    run_job(job, events, quiet)
