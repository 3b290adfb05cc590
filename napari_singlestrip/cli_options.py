"""What the commands of the command line have in common: arguments, options, and reading them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_singlestrip.errors import UserError

StudyFolder = Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of the study.")]
Scans = Annotated[
    list[Path], typer.Argument(metavar="SCAN", help="Scan files, or folders of them.")
]
EffortOption = Annotated[
    str | None, typer.Option("--effort", help="quick, standard or thorough: sets all the rest.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
SeedOption = Annotated[
    int | None, typer.Option("--seed", min=0, help="Seed of all randomness; 0 if not given.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="Change one setting; give it as often as you like."
    ),
]
RoundOption = Annotated[
    int | None,
    typer.Option("--round", min=0, help="Use this round's model; the newest without."),
]
EventsOption = Annotated[
    bool,
    typer.Option(
        "--events",
        help="For programs: say events as JSON lines on stdout, obey the lines cancel, pause and "
        "resume on stdin, and stop when stdin ends.",
    ),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show warnings and failures only.")
]


class Choice(StrEnum):
    """What can be decided about a predicted mask."""

    accept = "accept"
    reject = "reject"
    correct = "correct"
    undo = "undo"


def parse_masks(texts: Sequence[str]) -> dict[str, Path]:
    """Read ``["a=a_mask.nii.gz"]`` as scan names and mask files.

    Raises
    ------
    UserError
        If an entry is not NAME=FILE.
    """
    masks: dict[str, Path] = {}
    for text in texts:
        name, sign, file = text.partition("=")
        if not sign or not name or not file:
            raise UserError(
                f"Cannot read --mask {text!r}.",
                "Write it as NAME=FILE, where NAME is the scan's file name without extension.",
            )
        masks[name] = Path(file).expanduser()
    return masks


def parse_stages(text: str | None, known: Sequence[str]) -> tuple[str, ...] | None:
    """Read ``"train,predict"``; None stays None and means all that is missing.

    Raises
    ------
    UserError
        If a stage is not among those known.
    """
    if text is None:
        return None
    wanted = tuple(part.strip() for part in text.split(",") if part.strip())
    for stage in wanted:
        if stage not in known:
            raise UserError(f"Unknown stage {stage!r}.", f"Stages are: {', '.join(known)}.")
    if not wanted:
        raise UserError("--stages names no stage.", f"Stages are: {', '.join(known)}.")
    return wanted
