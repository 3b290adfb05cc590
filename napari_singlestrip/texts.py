"""Making external names safe for terminals, tables and logs."""

from __future__ import annotations

import csv
import io
import math
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

# First characters of a cell that a spreadsheet interprets as a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NO_NAME = '/\\:*?"<>|'  # not allowed in file names by some system
_JOINERS = "\u200c\u200d"  # zero-width, but part of words in Persian and Indic scripts
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format, surrogate and line separators
_ENCODED = "percent-encoded:"  # prefix of a path with bytes escaped as %XX


def printable(text: str) -> str:
    r"""Escape everything in `text` that a terminal would interpret or cannot encode.

    File names may contain escape sequences (which set titles, clear the screen or hide output),
    newlines, marks that reverse the writing direction, and bytes that are not UTF-8 (which Python
    stores as lone surrogates). Each becomes its escape, such as ``\\\\x1b``; all else is unchanged.
    """
    return "".join(
        char if _is_seen(char)
        else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )


def plain_name(name: str) -> str:
    """Normalise a scan's name: equal for every Unicode form, and fully visible.

    Composed (NFC), since macOS and Linux encode "ü" differently. Characters that are invisible, not
    UTF-8, or not allowed in file names everywhere are escaped as ``%XX``.
    """
    composed = unicodedata.normalize("NFC", name)
    return "".join(
        char if _is_seen(char) and char not in _NO_NAME else _percent(char) for char in composed
    )


def path_text(path: str | Path) -> str:
    """Return a path as it is stored in documents and tables, to be read by `text_path`.

    In a path that is not UTF-8 (from old archives and disks), or contains newlines or control
    characters, bytes are escaped as ``%XX``, marked by a prefix.
    """
    text = str(path)
    if text.startswith(_ENCODED) or not all(map(_is_seen, text)):
        return _ENCODED + quote(os.fsencode(text))
    return text


def text_path(text: str) -> str:
    """Inverse of `path_text`."""
    if not text.startswith(_ENCODED):
        return text
    return os.fsdecode(unquote_to_bytes(text.removeprefix(_ENCODED)))


def _is_seen(char: str) -> bool:
    return char in _JOINERS or unicodedata.category(char) not in _UNSEEN


def _percent(char: str) -> str:
    escaped = "\udc80" <= char <= "\udcff"  # Python's representation of a byte that is not UTF-8
    found = char.encode("utf-8", "surrogateescape" if escaped else "surrogatepass")
    return "".join(f"%{byte:02X}" for byte in found)


def table_cell(text: str) -> str:
    """Return `text` for a cell of a table that may be opened in a spreadsheet.

    Text that would be interpreted as a formula is prefixed with an apostrophe, as is usual in
    spreadsheets; numbers are not passed through here.
    """
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA_STARTS) else text


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Return rows as CSV text; all tables are written by this function.

    Unknown values (None, NaN) are empty cells, numbers have six digits, and no text is interpreted
    as a formula (`table_cell`).
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(map(_cell, row) for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        return table_cell(value)
    return format(value, ".6g") if isinstance(value, float) else value


def without_apostrophe(cell: str) -> str:
    """Inverse of `table_cell`."""
    escaped = cell.startswith("'") and cell.lstrip("'").startswith(_FORMULA_STARTS)
    return cell[1:] if escaped else cell


def duration(seconds: float) -> str:
    """Format a time span: "40 s", "3 min", "2 h 10 min"."""
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def counted(number: int, what: str) -> str:
    """Format a count: "1 scan", "2 scans"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
