"""Which rounds of a study are trained, and how they came about; read without torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from napari_singlestrip.atomic_files import read_json
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.round_folder import RoundFolder, read_metrics
from napari_singlestrip.study.study import Study
from napari_singlestrip.texts import printable

MAX_WORD = 255  # characters
STAGES = ("train", "finetune")  # of round 0, of later rounds
Unfinished = Literal["", "fine-tuning", "ranking"]


@dataclass(frozen=True)
class TrainedRound:
    """A trained segmenter of a study.

    Attributes
    ----------
    round : int
    finished : datetime
        When its training ended, local time.
    parent : int or None
        The round it was fine-tuned from.
    scans : tuple of str
        Names of the scans it learned from.
    kinds : mapping of str to int
        How many of their masks were painted, corrected, accepted, selected.
    validation_dice, painted_dice : float
        On held-out synthetic heads, and on the painted scans themselves; NaN if not measured.
    effort, device, version : str
        Empty if not known.
    """

    round: int
    finished: datetime
    parent: int | None = None
    scans: tuple[str, ...] = ()
    kinds: Mapping[str, int] = field(default_factory=dict)
    validation_dice: float = math.nan
    painted_dice: float = math.nan
    effort: str = ""
    device: str = ""
    version: str = ""


def trained_rounds(study: Study) -> tuple[TrainedRound, ...]:
    """Rounds whose segmenter is trained to its end, newest first."""
    return tuple(
        describe_round(study, number)
        for number in reversed(study.rounds()) if is_trained(study, number)
    )


def is_trained(study: Study, number: int) -> bool:
    """Whether the segmenter of a round was trained to its end, as its log says."""
    folder = RoundFolder(study.round_dir(number))
    settings = _part(_content(folder.settings, dict), "settings")
    steps = _part(settings, "finetuning" if number else "training").get("steps")
    reached = max((m["step"] for m in _lines(folder)), default=0)
    return folder.segmenter.is_file() and type(steps) is int and reached >= steps


def unfinished_round(study: Study) -> Unfinished:
    """Return what a stopped job left to be done in the newest round of fine-tuning."""
    newest = study.current_round()
    if newest == 0 or study.scores(newest):
        return ""
    predicted = any((study.round_dir(newest) / "pseudo_labels").glob("*.nii.gz"))
    return "ranking" if predicted or is_trained(study, newest) else "fine-tuning"


def describe_round(study: Study, number: int) -> TrainedRound:
    """What is known of a round that has a segmenter; what cannot be read is not known."""
    folder = RoundFolder(study.round_dir(number))
    written = _content(folder.settings, dict)
    masks = [m for m in _content(folder.training_set, list) if isinstance(m, dict)]
    lines = _lines(folder)
    return TrainedRound(
        number,
        datetime.fromtimestamp(folder.segmenter.stat().st_mtime),
        number - 1 if number else None,
        tuple(mask["scan"] for mask in masks if isinstance(mask.get("scan"), str)),
        Counter(_word(mask, "kind") for mask in masks),
        _last(lines, "validation_dice"),
        _last(lines, "painted_dice"),
        _word(_part(written, "settings"), "effort"),
        _word(written, "device"),
        _word(written, "version"),
    )


def device_of(folder: RoundFolder) -> str:
    """What a round ran on, in words; empty if not known."""
    return _word(_content(folder.settings, dict), "device")


def _lines(folder: RoundFolder) -> list[dict[str, Any]]:
    with suppress(UserError):
        return [line for line in read_metrics(folder) if line["stage"] in STAGES]
    return []


def _last(lines: list[dict[str, Any]], name: str) -> float:
    values = [float(m[name]) for m in lines if name in m]
    return values[-1] if values else math.nan


def _content(path: Path, kind: type[dict[str, Any]] | type[list[Any]]) -> Any:
    with suppress(FileNotFoundError, UserError):
        content = read_json(path)
        if isinstance(content, kind):
            return content
    return kind()


def _part(content: dict[str, Any], name: str) -> dict[str, Any]:
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def _word(content: dict[str, Any], name: str) -> str:
    """A word that can be shown; names, versions and devices are short."""
    found = content.get(name)
    return printable(found[:MAX_WORD]) if isinstance(found, str) else ""
