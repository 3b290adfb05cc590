"""The command line: its commands and exit codes.

Jobs are the same as those of the window: there is one code path. Slow imports are inside the
commands, so that ``--help`` is fast.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from napari_singlestrip import __version__
from napari_singlestrip.cli import (
    dicom_command,
    judge_command,
    model_commands,
    strip_command,
    study_commands,
    submit_command,
    train_commands,
    try_out,
)
from napari_singlestrip.cli.jobs import run_program
from napari_singlestrip.cli.options import spread_labels

app = typer.Typer(
    name="singlestrip",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

# In the order in which --help lists them.
COMMANDS: tuple[tuple[Callable[..., None], str], ...] = (
    (try_out.demo, "See the whole method on simulated heads."),
    (try_out.samples, "Make simulated heads to try everything on."),
    (dicom_command.dicom, "List DICOM series, and convert some."),
    (study_commands.new, "Make a study of your scans."),
    (study_commands.add, "Add scans to a study."),
    (train_commands.run, "Train, predict, rank, fine-tune."),
    (train_commands.estimate, "Time a few steps: how long will it take?"),
    (submit_command.submit, "Hand the work to a scheduler (SLURM)."),
    (submit_command.follow, "Show how far submitted jobs are."),
    (judge_command.judge, "Rank masks of other programs."),
    (study_commands.rank, "Print the latest ranking."),
    (study_commands.report, "Write a report with images."),
    (study_commands.decide, "Accept, reject or correct a mask."),
    (model_commands.apply, "Strip the skulls of any scans."),
    (strip_command.strip, "Strip one scan: -i IN -o BRAIN -m MASK."),
    (model_commands.evaluate, "Compare masks with references."),
    (model_commands.export, "Export the model to one file."),
    (study_commands.masks, "Export the masks of a study to a folder."),
    (model_commands.doctor, "Show versions, devices and memory."),
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code, one of `errors`.

    A bug is raised: Python shows its traceback and exits with 1.

    Parameters
    ----------
    arguments : list of str, optional
        Instead of those of the process.
    """
    return run_program(app, "singlestrip", arguments, spread_labels)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"singlestrip {__version__}")
        raise typer.Exit


@app.callback()
def singlestrip(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Learn to strip skulls from one painted brain.

    \b
    See it work on simulated heads, in a few minutes:
      singlestrip demo

    \b
    With your own scans, one of which has a painted brain mask:
      singlestrip new my_study scans/ --mask sub-01_T1w=sub-01_mask.nii.gz
      singlestrip run my_study          train, predict and rank; Ctrl+C stops, repeat to resume
      singlestrip rank my_study         which masks to trust, and which to inspect
      singlestrip decide my_study sub-07_T1w reject
      singlestrip run my_study --rounds 2                 one more round, from your decisions
      singlestrip apply my_study new_scans/ --out masks/

    Exit codes: 0 done, 1 a bug, 2 not started because of an error that you can fix, 3 done but some
    scans failed, 4 all scans failed, 130 stopped.
    """


for command, short_help in COMMANDS:
    app.command(short_help=short_help)(command)
