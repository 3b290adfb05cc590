"""The command line. Jobs run here are those that the window runs: there is one code path.

Everything heavy is imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_singlestrip import __version__
from napari_singlestrip.cli.jobs import (
    leave,
    report_bug,
    run_job,
    say_anything,
    say_failure,
    speak_utf8,
    with_problems,
    write_file,
)
from napari_singlestrip.cli.options import (
    Choice,
    DeviceOption,
    EffortOption,
    EventsOption,
    QuietOption,
    RoundOption,
    Scans,
    SeedOption,
    SetOption,
    StudyFolder,
    parse_masks,
    parse_stages,
)
from napari_singlestrip.errors import CANCELLED, OK
from napari_singlestrip.texts import printable

if TYPE_CHECKING:
    from napari_singlestrip.events import Event

app = typer.Typer(
    name="singlestrip",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code, one of `errors`.

    A bug is raised: Python shows its traceback and exits with 1.

    Parameters
    ----------
    arguments : list of str, optional
        Instead of those of the process.
    """
    if arguments is None:
        speak_utf8()
    say_anything()
    try:
        app(args=arguments, prog_name="singlestrip")
    except Exception as error:  # noqa: BLE001 - a bug is raised again there
        return say_failure(error)
    except KeyboardInterrupt:
        return CANCELLED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else OK
    finally:
        sys.excepthook = report_bug  # after typer, which sets its own
    return OK


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"singlestrip {__version__}")
        raise typer.Exit


@app.callback()
def singlestrip(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Learn to strip skulls from one painted brain.

    \b
    See it work on made-up heads, in a few minutes:
      singlestrip demo

    \b
    With your own scans, one of which has a painted brain mask:
      singlestrip new my_study scans/ --mask sub-01_T1w=sub-01_mask.nii.gz
      singlestrip run my_study          train, predict and rank; Ctrl+C stops, the same goes on
      singlestrip rank my_study         which predicted masks to trust, which to look at
      singlestrip decide my_study sub-07_T1w reject
      singlestrip run my_study --rounds 2                 one more round, from your decisions
      singlestrip apply my_study new_scans/ --out masks/

    Exit codes: 0 done, 1 a bug, 2 nothing was begun because of something you can put right, 3 done
    but for some scans, 4 not one scan could be done, 130 stopped.
    """


@app.command(short_help="See the whole method on made-up heads.")
def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the demo's files.")
    ] = Path("singlestrip-demo"),
    effort: EffortOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    settings: SetOption = None,
    events: EventsOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show the whole method on made-up heads, and write report.html.

    Makes heads, "paints" one, trains, predicts and ranks the others, fine-tunes, and measures
    everything on heads that were never seen.

    \b
    Examples:
      singlestrip demo
      singlestrip demo --out /tmp/demo --effort standard --device cuda
      singlestrip demo --set training.steps=300       a shorter look
    """

    def job() -> Iterator[Event]:
        from napari_singlestrip.demo.run import demo as run_demo
        from napari_singlestrip.engine.config import parse_assignments

        overrides = parse_assignments(settings or [])
        yield from run_demo(
            out, effort=effort or "quick", device=device, seed=seed or 0, overrides=overrides
        )

    def show() -> None:
        from napari_singlestrip.cli.output import show_demo

        show_demo(out)

    run_job(job, events, quiet, after=show)


@app.command(short_help="Make heads to try everything on.")
def samples(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the heads.")],
    n: Annotated[int, typer.Option("--n", min=1, help="How many heads.")] = 8,
    spacing: Annotated[
        float, typer.Option("--spacing", metavar="MM", min=0.5, max=10, help="Voxel size.")
    ] = 2.0,
    seed: SeedOption = None,
    finished: Annotated[
        bool,
        typer.Option("--finished", help="Also a study of twelve such heads that is trained."),
    ] = False,
    events: EventsOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make heads of people who do not exist, with exact masks: DIR/scans and DIR/masks.

    The first is a clean T1w to paint; the others have other contrasts, orientations and slices.
    With --finished, DIR/finished is a study of twelve of them to review at once; --n, --spacing and
    --seed then do not count.

    \b
    Examples:
      singlestrip samples my_heads
      singlestrip samples my_heads --n 20 --seed 7
      singlestrip samples my_heads --finished
    """

    def job() -> Iterator[Event]:
        from napari_singlestrip.sample_data.making import make_finished, make_samples

        if finished:
            yield from make_finished(out)
        else:
            yield from make_samples(out, n, seed=seed or 0, spacing_mm=spacing)

    run_job(job, events, quiet)


@app.command(short_help="Make a study of your scans.")
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


@app.command(short_help="Add scans to a study.")
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


@app.command(short_help="Train, predict, rank, fine-tune.")
def run(
    study: StudyFolder,
    stages: Annotated[
        str | None,
        typer.Option(
            "--stages",
            metavar="LIST",
            help="Of train,autoencoder,predict,rank,finetune; without it, all that is missing.",
        ),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=0, help="Rounds of self-training.")
    ] = None,
    effort: EffortOption = None,
    device: DeviceOption = "auto",
    seed: SeedOption = None,
    settings: SetOption = None,
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Set the rounds that exist aside, and start anew."),
    ] = False,
    watch: Annotated[
        str,
        typer.Option(
            "--watch", metavar="SCAN",
            help="While training, write the network's present answer on this scan now and then.",
        ),
    ] = "",
    events: EventsOption = False,
    quiet: QuietOption = False,
) -> None:
    """Do everything that is still missing: train, predict, rank, fine-tune.

    Ctrl+C stops and keeps what was reached; the same command goes on from there.

    \b
    Examples:
      singlestrip run my_study
      singlestrip run my_study --rounds 0            up to the first ranking, to decide yourself
      singlestrip run my_study --stages finetune,autoencoder,predict,rank    one more round
      singlestrip run my_study --rounds 2 --device cuda
      singlestrip run my_study --set training.steps=500 --set prediction.border_mm=1
    """

    def job() -> Iterator[Event]:
        from napari_singlestrip.engine.config import parse_assignments
        from napari_singlestrip.events import Started
        from napari_singlestrip.study.lock import StudyLock
        from napari_singlestrip.study.study import Study

        overrides = parse_assignments(settings or [])
        opened = Study.open(study)
        opened.settings(effort, overrides, seed)  # a wrong setting is said before torch is loaded
        with StudyLock(opened.folder):
            if events:  # importing torch takes seconds: a sign of life first
                yield Started("", detail="loading torch")
            from napari_singlestrip.pipeline import stages as work

            yield from work.run(
                opened,
                stages=parse_stages(stages, work.STAGES),
                rounds=rounds,
                effort=effort,
                device=device,
                seed=seed,
                overrides=overrides,
                restart=restart,
                watch=opened.scan(watch).name if watch else "",
            )

    run_job(job, events, quiet, log_folder=study)


@app.command(short_help="Time a few steps: how long will it take?")
def estimate(
    study: StudyFolder,
    effort: EffortOption = None,
    device: DeviceOption = "auto",
    settings: SetOption = None,
    events: EventsOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say how long training, prediction and ranking will take on this computer.

    Times a few real steps; nothing in the study is changed.

    \b
    Examples:
      singlestrip estimate my_study
      singlestrip estimate my_study --effort standard --device cuda
    """

    def job() -> Iterator[Event]:
        from napari_singlestrip.engine.config import parse_assignments
        from napari_singlestrip.study.study import Study

        overrides = parse_assignments(settings or [])
        opened = Study.open(study)
        opened.settings(effort, overrides)
        from napari_singlestrip.pipeline import estimate as estimating

        yield from estimating.estimate(opened, effort=effort, device=device, overrides=overrides)

    run_job(job, events, quiet)


@app.command(short_help="Print the newest ranking.")
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


@app.command(short_help="Write a report with pictures.")
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


@app.command(short_help="Accept, reject or correct a mask.")
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


@app.command(short_help="Strip the skulls of any scans.")
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


@app.command(short_help="Compare masks with references.")
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


@app.command(short_help="Write the model as one file.")
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


@app.command(short_help="Write the masks of a study to a folder.")
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


@app.command(short_help="Versions, devices, memory.")
def doctor() -> None:
    """Print versions, devices, speed and memory: what to paste into a bug report."""
    from napari_singlestrip.engine.learning.device import describe

    facts = describe()
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        typer.echo(printable(f"{name:{width}s}  {value}"))
