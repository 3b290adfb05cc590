"""Names from elsewhere, made fit for a terminal, a table or a log."""

from __future__ import annotations

import unicodedata

# What a spreadsheet takes for a formula when a cell begins with it.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_JOINERS = "\u200c\u200d"  # without a width, but part of words in Persian and Indic scripts


def printable(text: str) -> str:
    """Return `text` with nothing in it that a terminal obeys or cannot encode.

    File names may hold escape sequences (which set titles, clear the screen or hide what was said),
    newlines, marks that reverse the direction of writing, and bytes that are not UTF-8 (which
    Python keeps as lone surrogates). Each becomes its escape, such as ``\\\\x1b``; all else stays.
    """
    return "".join(
        char if char in _JOINERS
        or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else char.encode("unicode_escape", "surrogatepass").decode("ascii")
        for char in text
    )


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
