"""decisions.csv, rewritten at each decision; parsed rows are cached."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import read_text, write_text_atomic
from napari_singlestrip.study.tables import (
    DECISIONS_HEADER,
    Decision,
    cells_of,
    decision_of,
    parse_decisions,
)
from napari_singlestrip.texts import csv_text

DECISIONS = "decisions.csv"  # in the study folder
HEADER = ",".join(DECISIONS_HEADER)
HINT = "Correct that line, or delete the file to decide again."
MAX_KNOWN = 200_000
_known: dict[str, Decision] = {}  # by record as stored in the file


class DecisionTable:
    """The decision about each scan.

    Attributes
    ----------
    rows : dict of str to Decision
        By the name of the scan, in the order of the file.
    """

    def __init__(self) -> None:
        self.rows: dict[str, Decision] = {}
        self._records: dict[str, str] = {}

    @classmethod
    def read(cls, path: Path) -> DecisionTable:
        """Read decisions.csv; no file means no decisions.

        Raises
        ------
        UserError
            If a line cannot be read.
        """
        table = cls()
        try:
            text = read_text(path)
        except FileNotFoundError:
            return table
        except UserError as error:
            raise UserError(error.what, HINT) from error
        try:
            table._take(text)
        except (KeyError, ValueError, OverflowError, csv.Error):  # or other columns
            table = cls()
            for decision in parse_decisions(path, text, HINT):  # its error names the line
                table.put(decision)
        return table

    def put(self, decision: Decision) -> None:
        """Set the decision about a scan, replacing an earlier one."""
        self.forget(decision.scan)
        self.rows[decision.scan] = decision
        self._records[decision.scan] = _record(decision)

    def forget(self, name: str) -> None:
        """Remove a decision, if there is one."""
        self.rows.pop(name, None)
        self._records.pop(name, None)

    def write(self, path: Path) -> None:
        """Write decisions.csv."""
        write_text_atomic(path, "\n".join((HEADER, *self._records.values(), "")))

    def _take(self, text: str) -> None:
        header, _, rest = text.partition("\n")
        if header != HEADER:
            raise ValueError(header)
        if len(_known) > MAX_KNOWN:
            _known.clear()
        for record in _records_in(rest):
            decision = _known.get(record)
            if decision is None:
                decision = _known[record] = _parse(record)
            self.rows[decision.scan] = decision
            self._records[decision.scan] = record


def _records_in(text: str) -> Iterator[str]:
    """Split at line ends, but not within quotes: a remark may have several lines."""
    if '"' not in text:
        yield from filter(None, text.split("\n"))
        return
    begun = ""
    for line in text.split("\n"):
        record = f"{begun}\n{line}" if begun else line
        begun = record if record.count('"') % 2 else ""
        if record and not begun:
            yield record
    if begun:
        raise ValueError("a quote is not closed")


def _parse(record: str) -> Decision:
    (cells,) = csv.reader(io.StringIO(record, newline=""))
    return decision_of(dict(zip(DECISIONS_HEADER, cells, strict=True)))


def _record(decision: Decision) -> str:
    return csv_text([cells_of(decision)]).removesuffix("\n")
