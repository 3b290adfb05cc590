"""Arguments and options that commands share, and parsing them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from napari_singlestrip.errors import UserError
from napari_singlestrip.vocabulary import STAGES, StageName

if TYPE_CHECKING:
    from napari_singlestrip.engine.imaging.bids import BidsChoice
    from napari_singlestrip.study.parts import Part


class Layout(StrEnum):
    """Arrangement of a folder of results."""

    flat = "flat"
    bids = "bids"


class MaskForm(StrEnum):
    """File format of exported masks."""

    nifti = "nifti"
    dicom_seg = "dicom-seg"


StudyFolder = Annotated[Path, typer.Argument(metavar="STUDY", help="Folder of the study.")]
Scans = Annotated[
    list[Path], typer.Argument(metavar="SCAN", help="Scan files, or folders of them.")
]
EffortOption = Annotated[
    str | None, typer.Option("--effort", help="quick, standard or thorough: presets all settings.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
SeedOption = Annotated[
    int | None, typer.Option("--seed", min=0, help="Seed of all randomness; 0 if not given.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE",
        help="Change one setting; can be repeated. new keeps it in the study, others for one run.",
    ),
]
LayoutOption = Annotated[
    Layout | None,
    typer.Option(
        "--layout", help="Arrangement of DIR: a flat folder, or a BIDS derivative. By default "
        "as it is already, or else as the scans are.",
    ),
]
PartOption = Annotated[
    str | None,
    typer.Option(
        "--part", metavar="K/N",
        help="Process part K of N of the scans; array takes K and N from a SLURM array.",
    ),
]
RoundsOption = Annotated[
    int | None, typer.Option("--rounds", min=0, help="Rounds of self-training.")
]
BrainOption = Annotated[
    bool, typer.Option("--brain", help="Also write the scans without skull.")
]
ProbabilityOption = Annotated[
    bool, typer.Option("--probability", help="Also write brain probability maps.")
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace masks that are there already.")
]
RoundOption = Annotated[
    int | None,
    typer.Option("--round", min=0, help="Use this round's model; by default the latest."),
]
EventsOption = Annotated[
    bool,
    typer.Option(
        "--events",
        help="For programs: write events as JSON lines to stdout, accept cancel, pause and "
        "resume on stdin, and stop when stdin ends.",
    ),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show warnings and failures only.")
]
SuffixOption = Annotated[
    list[str] | None,
    typer.Option(
        "--suffix", metavar="LIST",
        help="In a BIDS dataset, scans with these suffixes: T1w,T2w,FLAIR, bold, ... By default "
        "all structural ones in anat/.",
    ),
]
_LABEL = re.compile(r"(sub-)?[A-Za-z0-9+]+(,(sub-)?[A-Za-z0-9+]+)*")
PARTICIPANTS = "--participant-label"
ParticipantOption = Annotated[
    list[str] | None,
    typer.Option(
        PARTICIPANTS, metavar="LABEL ...",
        help="In a BIDS dataset, these participants only: 01 02, with or without sub-.",
    ),
]


class Choice(StrEnum):
    """Possible decisions about a predicted mask."""

    accept = "accept"
    reject = "reject"
    correct = "correct"
    undo = "undo"


def part_of(text: str | None) -> Part:
    """Read ``--part``.

    Raises
    ------
    UserError
        If it is invalid.
    """
    from napari_singlestrip.study.parts import parse_part  # here, so that --help is fast

    return parse_part(text, os.environ)


def layout_kind(layout: Layout | None) -> Literal["flat", "bids"] | None:
    """The chosen layout as the program's own type."""
    return None if layout is None else "bids" if layout is Layout.bids else "flat"


def bids_choice(
    suffixes: Sequence[str] | None, participants: Sequence[str] | None
) -> BidsChoice:
    """Read ``["T1w,T2w"]`` and ``["sub-01", "02"]``."""
    from napari_singlestrip.engine.imaging.bids import BidsChoice  # here, so that --help is fast

    def split(texts: Sequence[str] | None) -> tuple[str, ...]:
        words = (word.strip() for text in texts or () for word in text.split(","))
        return tuple(dict.fromkeys(word for word in words if word))

    people = tuple(label.removeprefix("sub-") for label in split(participants))
    return BidsChoice(split(suffixes), people)


def spread_labels(arguments: Sequence[str]) -> list[str]:
    """Let one ``--participant-label`` take several labels, as programs for BIDS do.

    It takes the following arguments, up to the next option or the first that cannot be a label.
    """
    spread: list[str] = []
    taking = False
    for n, word in enumerate(arguments):
        is_first = n > 0 and arguments[n - 1] == PARTICIPANTS
        if taking and not is_first:
            taking = bool(_LABEL.fullmatch(word)) and not Path(word).exists()
            spread += [PARTICIPANTS] * taking
        spread.append(word)
        taking = taking or word == PARTICIPANTS
    return spread


def parse_masks(
    texts: Sequence[str], names: Callable[[], Collection[str]] = tuple
) -> dict[str, Path]:
    """Read ``["a=a_mask.nii.gz"]`` as scan names and mask files.

    Parameters
    ----------
    texts : sequence of str
        If more than one "=" could separate name and file, the one with an existing file is chosen,
        and then the one with a known name.
    names : callable
        Returns the names of the scans; only called if files are not decisive.

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
        usable_name,  # here, so that --help is fast
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


def parse_stages(text: str | None) -> tuple[StageName, ...] | None:
    """Parse ``"train,predict"``; None means everything that is missing.

    Raises
    ------
    UserError
        If a stage is unknown.
    """
    if text is None:
        return None
    known: dict[str, StageName] = {stage: stage for stage in STAGES}
    wanted = [part.strip() for part in text.split(",") if part.strip()]
    for stage in wanted:
        if stage not in known:
            raise UserError(f"Unknown stage {stage!r}.", f"Stages are: {', '.join(known)}.")
    if not wanted:
        raise UserError("--stages names no stage.", f"Stages are: {', '.join(known)}.")
    return tuple(known[stage] for stage in wanted)
