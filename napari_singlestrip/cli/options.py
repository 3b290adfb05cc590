"""What the commands of the command line have in common: arguments, options, and reading them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
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


def parse_masks(
    texts: Sequence[str], names: Callable[[], Collection[str]] = tuple
) -> dict[str, Path]:
    """Read ``["a=a_mask.nii.gz"]`` as scan names and mask files.

    Parameters
    ----------
    texts : sequence of str
        Where more than one "=" could stand between name and file, the file that exists tells which
        it is, and then the name.
    names : callable
        Returns the names of the scans; asked only when the files do not tell.

    Raises
    ------
    UserError
        If an entry is not NAME=FILE, can be read in two ways, or a scan is named twice.
    """
    masks: dict[str, Path] = {}
    for text in texts:
        name, file = _one_split(text, names)
        if name in masks:
            raise UserError(
                f"--mask names the scan {name!r} twice: {masks[name]} and {file}.",
                "Give one mask for each scan.",
            )
        masks[name] = file
    return masks


def _one_split(text: str, names: Callable[[], Collection[str]]) -> tuple[str, Path]:
    from napari_singlestrip.engine.imaging.scan_names import (
        usable_name,  # here: --help answers at once
    )

    places = [n for n, char in enumerate(text) if char == "="]
    splits = [(text[:n], Path(text[n + 1 :]).expanduser()) for n in places]
    splits = [(name, file) for name, file in splits if name and file.name]
    if not splits:
        raise UserError(
            f"Cannot read --mask {text!r}.",
            "Write it as NAME=FILE, where NAME is the scan's file name without extension.",
        )
    likely = [split for split in splits if split[1].is_file()] or splits
    if len(likely) > 1:
        known = {usable_name(name) for name in names()}
        likely = [split for split in likely if usable_name(split[0]) in known] or likely[:1]
    if len(likely) > 1:
        ways = " or ".join(f"{file} for {name}" for name, file in likely)
        raise UserError(
            f"--mask {text!r} can be read in two ways: {ways}.", "Rename the mask, without '='."
        )
    return likely[0]


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
