"""Names from elsewhere, made fit for a terminal, a table or a log."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

# What a spreadsheet takes for a formula when a cell begins with it.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_JOINERS = "\u200c\u200d"  # without a width, but part of words in Persian and Indic scripts
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, formats, surrogates, ends of lines
_ENCODED = "percent-encoded:"  # begins a path that is written down with its bytes as %XX


def printable(text: str) -> str:
    r"""Return `text` with nothing in it that a terminal obeys or cannot encode.

    File names may hold escape sequences (which set titles, clear the screen or hide what was said),
    newlines, marks that reverse the direction of writing, and bytes that are not UTF-8 (which
    Python keeps as lone surrogates). Each becomes its escape, such as ``\\\\x1b``; all else stays.
    """
    return "".join(
        char if _is_seen(char)
        else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )


def plain_name(name: str) -> str:
    """Return `name` as scans are called by it: the same in every spelling of Unicode, and visible.

    Composed (NFC): macOS and Linux write one "ü" in different ways. What cannot be seen, is not
    UTF-8, or cannot stand in a file name everywhere, becomes its bytes as ``%XX``.
    """
    composed = unicodedata.normalize("NFC", name)
    return "".join(
        char if _is_seen(char) and char not in "/\\:" else _percent(char) for char in composed
    )


def path_text(path: str | Path) -> str:
    """Return a path as it is written down in documents and tables, to be read by `text_path`.

    In one that is not UTF-8 (from old archives and disks), or has newlines or controls in it, bytes
    are written as ``%XX``, and it begins with a word that says so.
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
    escaped = "\udc80" <= char <= "\udcff"  # how Python keeps a byte that is not UTF-8
    found = char.encode("utf-8", "surrogateescape" if escaped else "surrogatepass")
    return "".join(f"%{byte:02X}" for byte in found)


def table_cell(text: str) -> str:
    """Return `text` for a cell of a table that is opened in a spreadsheet.

    One that would be taken for a formula gets an apostrophe in front, as spreadsheets have it;
    numbers are not passed through here.
    """
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA_STARTS) else text


def without_apostrophe(cell: str) -> str:
    """Inverse of `table_cell`."""
    escaped = cell.startswith("'") and cell.lstrip("'").startswith(_FORMULA_STARTS)
    return cell[1:] if escaped else cell


def duration(seconds: float) -> str:
    """Say a time span: "40 s", "3 min", "2 h 10 min"."""
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def counted(number: int, what: str) -> str:
    """Say how many: "1 scan", "2 scans"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
