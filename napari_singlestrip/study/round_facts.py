"""Which rounds of a study are trained, and their provenance; read without torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import read_json
from napari_singlestrip.study.round_folder import TRAINED, RoundFolder, read_metrics
from napari_singlestrip.study.study import Study
from napari_singlestrip.texts import printable
from napari_singlestrip.vocabulary import SEGMENTER_STAGES

MAX_WORD = 255  # characters
Unfinished = Literal["", "fine-tuning", "ranking"]


@dataclass(frozen=True)
class TrainedRound:
    """A trained segmenter of a study.

    Attributes
    ----------
    round : int
    finished : datetime
        End of the training, local time.
    parent : int or None
        The round it was fine-tuned from.
    scans : tuple of str
        Names of the training scans.
    kinds : mapping of str to int
        Numbers of painted, corrected, accepted and selected masks.
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
    """Rounds with a fully trained segmenter, latest first."""
    return tuple(
        describe_round(study, number)
        for number in reversed(study.rounds.numbers()) if is_trained(study, number)
    )


def is_trained(study: Study, number: int) -> bool:
    """Whether the segmenter of a round is fully trained.

    This is recorded with the settings of the round (`RoundFolder.note_trained`); for older versions
    it is inferred from the log.
    """
    folder = RoundFolder(study.rounds.folder(number))
    written = _content(folder.settings, dict)
    if not folder.segmenter.is_file():
        return False
    if TRAINED in written:
        return bool(_word(written, TRAINED))
    steps = _part(_part(written, "settings"), "finetuning" if number else "training").get("steps")
    reached = max((m["step"] for m in _lines(folder)), default=0)
    return type(steps) is int and reached >= steps


def newest_trained_round(study: Study) -> int | None:
    """Number of the latest fully trained round; None if there is none."""
    return next((r for r in reversed(study.rounds.numbers()) if is_trained(study, r)), None)


def learned_masks(folder: RoundFolder) -> dict[tuple[str, str], str]:
    """Digests of the masks a round was trained on, by scan and file; empty if not known.

    Digests are empty for older versions, which did not record them.
    """
    masks = (m for m in _content(folder.training_set, list) if isinstance(m, dict))
    return {(_word(m, "scan"), _word(m, "path")): _word(m, "digest") for m in masks}


def unfinished_round(study: Study) -> Unfinished:
    """Return the unfinished stage of the latest round of fine-tuning."""
    newest = study.rounds.current()
    if newest == 0 or study.rounds.scores(newest):
        return ""
    predicted = any((study.rounds.folder(newest) / "pseudo_labels").glob("*.nii.gz"))
    return "ranking" if predicted or is_trained(study, newest) else "fine-tuning"


def describe_round(study: Study, number: int) -> TrainedRound:
    """Describe a round that has a segmenter; unreadable facts count as unknown."""
    folder = RoundFolder(study.rounds.folder(number))
    written = _content(folder.settings, dict)
    masks = [m for m in _content(folder.training_set, list) if isinstance(m, dict)]
    lines = _lines(folder)
    return TrainedRound(
        number,
        _finished(folder, written),
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
    """Device of a round, in words; empty if not known."""
    return _word(_content(folder.settings, dict), "device")


def _finished(folder: RoundFolder, written: dict[str, Any]) -> datetime:
    with suppress(ValueError):
        return datetime.fromisoformat(_word(written, TRAINED)).astimezone().replace(tzinfo=None)
    # Not recorded by older versions: the file time is only displayed.
    return datetime.fromtimestamp(folder.segmenter.stat().st_mtime)


def _lines(folder: RoundFolder) -> list[dict[str, Any]]:
    with suppress(UserError):
        return [line for line in read_metrics(folder) if line["stage"] in SEGMENTER_STAGES]
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
