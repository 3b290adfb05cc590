"""Pages that are written by hand but for what stands between <!-- NAME --> and <!-- end -->."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SECTION = r"(<!-- {} -->\n).*?(<!-- end -->)"


def has_section(page: str, name: str) -> bool:
    """Say whether a page has the marks of a section."""
    return _pattern(name).search(page) is not None


def with_section(page: str, name: str, text: str) -> str:
    """Put a text between the marks of a section."""
    if not has_section(page, name):
        raise SystemExit(f"The page has no section <!-- {name} --> ... <!-- end -->.")
    return _pattern(name).sub(lambda marks: f"{marks[1]}{text}{marks[2]}", page)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table."""
    return [row(columns), "|---" * len(columns) + "|", *(row(cells) for cells in rows)]


def row(cells: Sequence[str]) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(_SECTION.format(re.escape(name)), re.DOTALL)
