"""``singlestrip-bids``: the command line of a BIDS App, as containers and pipelines call it.

https://bids-apps.neuroimaging.io: ``APP BIDS_DIR OUTPUT_DIR {participant,group} [options]``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_singlestrip import __version__
from napari_singlestrip.cli.jobs import leave, run_job, run_program, with_problems
from napari_singlestrip.cli.options import (
    PARTICIPANTS,
    BrainOption,
    DeviceOption,
    OverwriteOption,
    ParticipantOption,
    ProbabilityOption,
    QuietOption,
    SuffixOption,
    bids_choice,
    spread_labels,
)
from napari_singlestrip.cli.strip_command import MODEL_VARIABLE
from napari_singlestrip.errors import UserError
from napari_singlestrip.texts import counted, printable

if TYPE_CHECKING:
    from napari_singlestrip.events import Event

NAME = "singlestrip-bids"
OLD_PARTICIPANTS = "--participant_label"  # as the first BIDS Apps spelled it


class Level(StrEnum):
    """The levels of analysis that every BIDS App knows."""

    participant = "participant"
    group = "group"


app = typer.Typer(
    name=NAME,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code, one of `errors`.

    Parameters
    ----------
    arguments : list of str, optional
        Instead of those of the process.
    """
    return run_program(app, NAME, arguments, spread_bids_labels)


def spread_bids_labels(arguments: Sequence[str]) -> list[str]:
    """Take labels as other BIDS Apps do: several, also before the level, with either spelling."""
    words = [PARTICIPANTS if word == OLD_PARTICIPANTS else word for word in arguments]
    end = next((n for n, word in enumerate(words) if word in tuple(Level)), len(words))
    return [*spread_labels(words[:end]), *words[end : end + 1], *spread_labels(words[end + 1 :])]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{NAME} {__version__}")
        raise typer.Exit


@app.command()
def bids(
    bids_dir: Annotated[
        Path, typer.Argument(metavar="BIDS_DIR", help="The BIDS dataset; it is only read.")
    ],
    output_dir: Annotated[
        Path, typer.Argument(metavar="OUTPUT_DIR", help="Where the derivative is written.")
    ],
    level: Annotated[
        Level,
        typer.Argument(
            metavar="{participant,group}",
            help="participant finds the masks; group lists those that should be looked at.",
        ),
    ],
    participants: ParticipantOption = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", metavar="STUDY_OR_MODEL", envvar=MODEL_VARIABLE,
            help="A study with a trained model, or an exported model file.",
        ),
    ] = None,
    suffix: SuffixOption = None,
    brain: BrainOption = False,
    probability: ProbabilityOption = False,
    overwrite: OverwriteOption = False,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Strip the skulls of a BIDS dataset with a trained model, into a BIDS derivative.

    Any number of processes may write into one OUTPUT_DIR, such as one for each participant. A mask
    that is there already stays as it is.

    \b
    Examples:
      singlestrip-bids bids/ bids/derivatives/singlestrip participant --model model.safetensors
      singlestrip-bids bids/ out/ participant --participant-label 01 02 --model my_study
      singlestrip-bids bids/ out/ group

    Exit codes: 0 done, 1 a bug, 2 nothing was begun because of something you can put right, 3 done
    but for some scans, 4 not one scan could be done, 130 stopped.
    """
    if level is Level.group:
        _group(output_dir)
        return

    def job() -> Iterator[Event]:
        from napari_singlestrip.study.found_scans import scans_among

        _check_dataset(bids_dir)
        chosen = bids_choice(suffix, participants)
        found, problems = scans_among([bids_dir], choice=chosen)
        from napari_singlestrip.pipeline import apply as work

        yield from with_problems(problems, work.apply(
            _needed(model), found, output_dir, device=device, brain=brain,
            probability=probability, overwrite=overwrite, layout="bids",
        ))

    run_job(job, events=False, quiet=quiet)


def _needed(model: Path | None) -> Path:
    if model is None:
        raise UserError(
            "No model is named.", f"Give --model STUDY_OR_MODEL, or set {MODEL_VARIABLE}."
        )
    return model


def _check_dataset(folder: Path) -> None:
    from napari_singlestrip.engine.imaging.bids import DESCRIPTION, is_root

    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}.", "Check the path of the BIDS dataset.")
    if not is_root(folder):
        raise UserError(
            f"{folder} is not the top of a BIDS dataset: it has no {DESCRIPTION} and no sub-*/.",
            "Name the folder that sub-01 and the others are in, or use `singlestrip apply`.",
        )


def _group(folder: Path) -> None:
    """List the masks that a person should look at, worst autoencoder error first."""
    from napari_singlestrip.study.volumes_table import TABLE, read_table

    table = folder / TABLE
    rows = read_table(table) if table.is_file() else []
    if not rows:
        raise UserError(
            f"There are no results in {folder}.", "Run the level participant first, into it."
        )
    done = [row for row in rows if row.mask]
    flagged = sorted(
        (row for row in done if row.flag), key=lambda row: -row.autoencoder_error
    )
    typer.echo(f"{counted(len(done), 'mask')} in {printable(str(table))}.")
    if flagged:
        typer.echo(f"{counted(len(flagged), 'mask')} to look at:")
    for row in flagged:
        typer.echo(f"  {printable(row.mask)}: {printable(row.flag)}")
    failed = [row for row in rows if not row.mask]
    for row in failed:
        typer.echo(f"No mask of {printable(row.file)}: {printable(row.flag)}", err=True)
    leave(len(done), len(failed))


if __name__ == "__main__":
    sys.exit(main())
