"""Text colours that are legible on napari's dark and light background."""

from __future__ import annotations

from typing import Literal

from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QWidget

Tone = Literal["plain", "info", "warning", "error", "link"]

# Each has a contrast of at least 4.5 to 1 with the background; "" is napari's own.
TONES: dict[str, dict[str, str]] = {
    "dark": {"info": "", "warning": "#e8b04a", "error": "#ff7b6b", "link": "#8ab4ff"},
    "light": {"info": "", "warning": "#7a4f00", "error": "#b3261e", "link": "#0b4fc4"},
}


def tone(widget: QWidget, name: str) -> str:
    """Return a text colour for a widget; empty for the default."""
    return TONES["dark" if is_dark(widget) else "light"][name]


def style_of(widget: QWidget, name: str) -> str:
    """Return a style sheet for a text on a widget."""
    colour = tone(widget, name)
    return f"color: {colour};" if colour else ""


def is_dark(widget: QWidget) -> bool:
    """Whether a widget has a dark background."""
    return widget.palette().color(QPalette.ColorRole.WindowText).lightness() > 127
