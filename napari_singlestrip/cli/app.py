"""The command line: its commands, and how they end.

Jobs run here are those that the window runs: there is one code path. Everything heavy is imported
inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from napari_singlestrip import __version__
from napari_singlestrip.cli import model_commands, study_commands, train_commands, try_out
from napari_singlestrip.cli.jobs import report_bug, say_anything, say_failure, speak_utf8
from napari_singlestrip.errors import CANCELLED, OK

app = typer.Typer(
    name="singlestrip",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

# In the order in which --help lists them.
COMMANDS: tuple[tuple[Callable[..., None], str], ...] = (
    (try_out.demo, "See the whole method on made-up heads."),
    (try_out.samples, "Make heads to try everything on."),
    (study_commands.new, "Make a study of your scans."),
    (study_commands.add, "Add scans to a study."),
    (train_commands.run, "Train, predict, rank, fine-tune."),
    (train_commands.estimate, "Time a few steps: how long will it take?"),
    (study_commands.rank, "Print the newest ranking."),
    (study_commands.report, "Write a report with pictures."),
    (study_commands.decide, "Accept, reject or correct a mask."),
    (model_commands.apply, "Strip the skulls of any scans."),
    (model_commands.evaluate, "Compare masks with references."),
    (model_commands.export, "Write the model as one file."),
    (study_commands.masks, "Write the masks of a study to a folder."),
    (model_commands.doctor, "Versions, devices, memory."),
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


for command, short_help in COMMANDS:
    app.command(short_help=short_help)(command)
