"""The HTML elements of the report; text is escaped unless it is `Html`.

Functions rather than templates (jinja2): every value passes through one escaping function, sections
are composed in Python, and mypy checks them.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence

from napari_singlestrip.report.style import STYLE
from napari_singlestrip.texts import printable


class Html(str):
    """Text that is already HTML."""

    __slots__ = ()


def element(name: str, *children: str, **attributes: str) -> Html:
    """Return an element; a trailing underscore of an attribute's name is dropped (``class_``)."""
    parts = [f' {key.rstrip("_")}="{_escape(value)}"' for key, value in attributes.items()]
    return Html(f"<{name}{''.join(parts)}>{join(children)}</{name}>")


def join(children: Iterable[str]) -> Html:
    """Concatenate elements, escaping plain text."""
    return Html("".join(c if isinstance(c, Html) else _escape(c) for c in children))


def image(data: str, alt: str, dark: str = "") -> Html:
    """Return an image from a data URI, with another one for dark screens if given."""
    picture = Html(f'<img src="{html.escape(data)}" alt="{_escape(alt)}">')
    if not dark:
        return picture
    source = f'<source srcset="{html.escape(dark)}" media="(prefers-color-scheme: dark)">'
    return element("picture", Html(source), picture)


def figure(picture: Html, caption: str = "", class_: str = "") -> Html:
    """Return an image with a caption."""
    words = [element("figcaption", caption)] if caption else []
    return element("figure", picture, *words, **({"class_": class_} if class_ else {}))


def section(title: str, *children: str, hint: str = "") -> Html:
    """Return a section of the page with a title and an explanation."""
    lead = [element("p", hint, class_="hint")] if hint else []
    return element("section", element("h2", title), *lead, *children)


def table(
    header: Sequence[str], rows: Iterable[Sequence[object]], highlight: Sequence[str] = ()
) -> Html:
    """Return a table that scrolls on small screens; numbers are right-aligned.

    Rows whose first cell is in `highlight` stand out.
    """
    head = element("tr", *(element("th", name) for name in header))
    body = [
        element("tr", *map(_cell, row), **({"class_": "strong"} if row[0] in highlight else {}))
        for row in rows
    ]
    inner = element("table", element("thead", head), element("tbody", *body))
    return element("div", inner, class_="scroll")


def facts(pairs: Mapping[str, object]) -> Html:
    """Return names with their values, two columns."""
    inner = [
        element("div", element("dt", name), element("dd", number(value)))
        for name, value in pairs.items()
    ]
    return element("dl", *inner)


def number(value: object, digits: int = 3) -> str:
    """Format a value with the relevant digits only, or a dash if unknown."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{digits if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"
    return str(value)


def page(title: str, body: Iterable[Html]) -> str:
    """Return the whole document."""
    head = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{_escape(title)}</title><style>{STYLE}</style></head>"
    )
    return head + element("body", element("main", *body)) + "</html>\n"


def _escape(text: str) -> str:
    """Escape text for HTML, including control characters and invalid UTF-8."""
    return html.escape(printable(text))


def _cell(value: object) -> Html:
    if isinstance(value, Html):
        return element("td", value)
    attributes = {"class_": "number"} if isinstance(value, int | float) else {}
    return element("td", number(value), **attributes)
