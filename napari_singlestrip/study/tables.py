"""The tables of a study: decisions, provenance of masks, and the scores of a round."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from napari_singlestrip.engine.judging.expected_dice import ExpectedDice
from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import (
    read_json,
    read_text,
    write_json_atomic,
    write_text_atomic,
)
from napari_singlestrip.texts import csv_text, printable, without_apostrophe

State = Literal["accepted", "rejected", "corrected", "painted"]
MaskKind = Literal["painted", "corrected"]
SUGGESTED = "suggested by "  # prefix of the source of a mask that started as a suggestion
STATES: tuple[State, ...] = get_args(State)
# What a decision is about: the present mask ("current"); a predicted mask of an earlier run
# ("older"), so that the present one is undecided; or a mask that was since replaced by hand
# ("replaced").
Standing = Literal["current", "older", "replaced"]
NAN = math.nan
DECISIONS_HEADER = (
    "scan", "decision", "note", "time", "round", "rank", "autoencoder_error", "mask",
)
MAX_WHOLE, MAX_REAL = 1e9, 1e12  # upper limits of ranks and scores

Row = TypeVar("Row")


@dataclass(frozen=True)
class Decision:
    """The decision about the mask of a scan.

    Attributes
    ----------
    scan : str
        Name of the scan.
    state : {"accepted", "rejected", "corrected", "painted"}
        Which mask may be used for training: the pseudo-label of `round`, none, or the one in
        masks/.
    note : str
        The person's remark.
    time : str
        Time of the decision (ISO 8601, UTC).
    round : int or None
        Round of the reviewed pseudo-label.
    rank : int or None
        Its rank in that round (1 is best).
    autoencoder_error : float
        Its autoencoder error at the time; NaN if there was none.
    mask : str
        Digest of the mask's file (`atomic_files.file_digest`); empty in tables of older versions.
    """

    scan: str
    state: State
    note: str = ""
    time: str = ""
    round: int | None = None
    rank: int | None = None
    autoencoder_error: float = NAN
    mask: str = ""

    def in_words(self, standing: Standing) -> str:
        """Describe the state, and whether it is about the present mask."""
        more = {"current": "", "older": ", of an older mask", "replaced": ", replaced since"}
        return self.state + more[standing]


@dataclass(frozen=True)
class MaskRecord:
    """Provenance of a mask in masks/.

    Attributes
    ----------
    kind : {"painted", "corrected"}
    source : str
        The file it was read from, or `SUGGESTED` and whose suggestion it started from; else empty.
    time : str
    """

    kind: MaskKind = "painted"
    source: str = ""
    time: str = ""

    @property
    def is_suggested(self) -> bool:
        """Whether a person began from a program's suggestion, not from nothing."""
        return self.source.startswith(SUGGESTED)


@dataclass(frozen=True)
class ScoreRow:
    """Scores of one predicted mask; NaN where a score was not measured.

    Attributes
    ----------
    scan : str
        Name of the scan.
    autoencoder_error : float
        Difference between the mask and its reconstruction; lower is better.
    consistency : float
        Agreement under augmentation; higher is better.
    volume_ml : float
        Volume of the mask in millilitres.
    rank : int
        1 is best; 0 if not ranked.
    selected : bool
        Whether it was selected for training.
    flag : str
        Why it should be inspected; empty if nothing is unusual.
    mask_digest : str
        `file_digest` of the mask that was measured; empty in tables of earlier versions.
    measured_with : str
        Digest of autoencoder and settings; rows with different ones are not comparable.
    largest_place_ml : float
        Volume of the largest place to check; 0 if there is none, NaN in earlier versions.
    expected_dice, expected_dice_low, expected_dice_high : float
        Dice to expect with what a person would have drawn, and its 90% interval, as known when the
        round was ranked; an estimate from the scores, no measurement.
    """

    scan: str
    autoencoder_error: float = NAN
    consistency: float = NAN
    volume_ml: float = NAN
    rank: int = 0
    selected: bool = False
    flag: str = ""
    mask_digest: str = ""
    measured_with: str = ""
    largest_place_ml: float = NAN
    expected_dice: float = NAN
    expected_dice_low: float = NAN
    expected_dice_high: float = NAN

    @property
    def expected(self) -> ExpectedDice:
        """What to expect of the mask."""
        return ExpectedDice(self.expected_dice, self.expected_dice_low, self.expected_dice_high)


def now() -> str:
    """Return the current time, ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def cells_of(decision: Decision) -> list[Any]:
    """Return the cells of a decision in decisions.csv."""
    cells = [getattr(decision, "state" if c == "decision" else c) for c in DECISIONS_HEADER]
    cells[2] = _note(decision.note)
    return cells


def parse_decisions(path: Path, text: str, hint: str) -> tuple[Decision, ...]:
    """Parse decisions from the text of a table, which may have been saved by a spreadsheet.

    Raises
    ------
    UserError
        If a line cannot be read.
    """
    return _parse_csv(path, text, decision_of, hint)


def write_scores(path: Path, rows: Iterable[ScoreRow]) -> None:
    """Write scores.csv."""
    header = [field.name for field in fields(ScoreRow)]
    cells = ([getattr(row, name) for name in header] for row in rows)
    write_text_atomic(path, csv_text([header, *cells]))


def read_scores(path: Path) -> tuple[ScoreRow, ...]:
    """Read scores.csv; no file means no scores.

    Raises
    ------
    UserError
        If a line cannot be read.
    """
    hint = "Delete the file and run `singlestrip run STUDY --stages rank` to make it again."
    return _read_csv(path, _score, hint)


def write_records(path: Path, records: Mapping[str, MaskRecord]) -> None:
    """Write the provenance of masks (scan name to record)."""
    write_json_atomic(path, {name: asdict(record) for name, record in records.items()})


def read_records(path: Path) -> dict[str, MaskRecord]:
    """Read the provenance of masks; empty if there is no file.

    Raises
    ------
    UserError
        If the file is damaged.
    """
    hint = "Delete it: the masks stay, only the record of where they came from is lost."
    try:
        return {name: _record(about) for name, about in read_json(path).items()}
    except FileNotFoundError:
        return {}
    except UserError as error:
        raise UserError(error.what, hint) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged: {error}.", hint) from error


def _record(about: Any) -> MaskRecord:
    record = MaskRecord(**about)
    if record.kind not in get_args(MaskKind):
        raise ValueError(f"{record.kind!r:.40} is no kind of mask")
    if not all(isinstance(value, str) for value in asdict(record).values()):
        raise TypeError("what should be a text is none")
    return record


def decision_of(cells: Mapping[str, str]) -> Decision:
    """Parse the decision in the cells of a row."""
    state = cells["decision"]
    if state not in STATES:
        raise ValueError(f"{state!r} is none of {', '.join(STATES)}")
    return Decision(
        scan=without_apostrophe(cells["scan"]),
        state=state,
        note=without_apostrophe(cells.get("note", "")),
        time=cells.get("time", ""),
        round=_whole(cells.get("round", "")),
        rank=_whole(cells.get("rank", "")),
        autoencoder_error=_real(cells.get("autoencoder_error", "")),
        mask=cells.get("mask", ""),
    )


def _note(text: str) -> str:
    """A remark without characters that would damage the table, such as control characters."""
    return text if text.isprintable() else "\n".join(map(printable, text.splitlines()))


def _score(cells: Mapping[str, str]) -> ScoreRow:
    return ScoreRow(
        scan=without_apostrophe(cells["scan"]),
        autoencoder_error=_real(cells.get("autoencoder_error", "")),
        consistency=_real(cells.get("consistency", "")),
        volume_ml=_real(cells.get("volume_ml", "")),
        rank=_whole(cells.get("rank", "")) or 0,
        selected=cells.get("selected", "").strip().lower() in ("true", "1", "yes"),
        flag=without_apostrophe(cells.get("flag", "")),
        mask_digest=cells.get("mask_digest", ""),
        measured_with=cells.get("measured_with", ""),
        largest_place_ml=_real(cells.get("largest_place_ml", "")),
        expected_dice=_real(cells.get("expected_dice", "")),
        expected_dice_low=_real(cells.get("expected_dice_low", "")),
        expected_dice_high=_real(cells.get("expected_dice_high", "")),
    )


def _whole(text: str) -> int | None:
    value = _real(text)
    if math.isnan(value):
        return None
    if not 0 <= value < MAX_WHOLE:
        raise ValueError(f"{text[:40]!r} is no rank or round")
    return int(value)


def _real(text: str) -> float:
    value = float(text) if text.strip() else NAN
    if abs(value) > MAX_REAL:  # such as inf, which would make means and correlations useless
        raise ValueError(f"{text[:40]!r} is no score")
    return value


def _read_csv(path: Path, make: Callable[[Mapping[str, str]], Row], hint: str) -> tuple[Row, ...]:
    try:
        text = read_text(path)
    except FileNotFoundError:
        return ()
    except UserError as error:
        raise UserError(error.what, hint) from error
    return _parse_csv(path, text, make, hint)


def _parse_csv(
    path: Path, text: str, make: Callable[[Mapping[str, str]], Row], hint: str
) -> tuple[Row, ...]:
    reader = csv.DictReader(io.StringIO(text, newline=""), restval="")
    rows = []
    try:
        for cells in reader:
            cells.pop(None, None)  # cells beyond the header
            rows.append(make(cells))
    except (KeyError, ValueError, OverflowError, csv.Error) as error:
        raise UserError(
            f"Line {reader.line_num} of {path} cannot be read: {error}.", hint
        ) from error
    return tuple(rows)
