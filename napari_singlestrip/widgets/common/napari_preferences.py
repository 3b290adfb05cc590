"""Preferences for all studies: the page "SingleStrip" of napari's Preferences.

The page is made from `configurations` of the manifest, supported since napari 0.9. With an older
napari, or for missing or invalid values, the defaults here are used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, cast

from napari_singlestrip.engine.config import EFFORTS, Effort

PLUGIN = "napari-singlestrip"
DEVICES = {
    "auto": "a graphics card if it computes correctly, else the CPU",
    "cpu": "CPU", "cuda": "NVIDIA graphics card", "mps": "Apple graphics",
}
PANES = ("auto", "four", "one")
LARGEST_BRUSH = 100.0  # mm


@dataclass(frozen=True)
class Wishes:
    """The values on the page.

    Attributes
    ----------
    effort : {"quick", "standard", "thorough"}
        Of new studies in the window.
    device : {"auto", "cpu", "cuda", "mps"}
        For jobs on this computer.
    brush_mm : float
        Initial diameter of the brush; 0 adapts it to the image size.
    panes : {"auto", "four", "one"}
        Three planes and the surface, or one plane; "auto" depends on the screen size.
    review_outline : bool
        Whether masks are outlines when the review step opens.
    """

    effort: Effort = "quick"
    device: str = "auto"
    brush_mm: float = 0.0
    panes: str = "auto"
    review_outline: bool = True


GROUPS = {
    "effort": "training", "device": "training",
    "brush_mm": "picture", "panes": "picture", "review_outline": "picture",
}
_ALLOWED: dict[str, Callable[[Any], bool]] = {
    "effort": lambda value: value in EFFORTS,
    "device": lambda value: value in DEVICES,
    "brush_mm": lambda value: isinstance(value, int | float) and 0 <= value <= LARGEST_BRUSH,
    "panes": lambda value: value in PANES,
    "review_outline": lambda value: isinstance(value, bool),
}


def wishes() -> Wishes:
    """Return the present values of the page."""
    page = _page()
    found: dict[str, Any] = {
        field.name: getattr(getattr(page, GROUPS[field.name], None), field.name, None)
        for field in fields(Wishes)
    }
    return Wishes(**{name: v for name, v in found.items() if _ALLOWED[name](v)})


def wish(name: str, value: object) -> bool:
    """Set a value of the page; False if there is no page."""
    group = getattr(_page(), GROUPS[name], None)
    if not hasattr(group, name):
        return False
    setattr(group, name, value)
    return True


def follow(name: str, changed: Callable[[], None]) -> Callable[[], None]:
    """Call `changed` whenever a value of the page changes; returns a function to stop this."""
    emitter = getattr(getattr(getattr(_page(), GROUPS[name], None), "events", None), name, None)
    if emitter is None:
        return _nothing

    def call(event: Any = None) -> None:
        changed()

    emitter.connect(call)
    return lambda: cast(None, emitter.disconnect(call))


def _page() -> Any:
    """Object of napari's behind the page, or None."""
    try:
        from napari.settings import get_plugin_settings

        return get_plugin_settings(PLUGIN)
    except (ImportError, KeyError):  # an older napari, or the plugin is not registered
        return None


def _nothing() -> None:
    """Stop function for a missing page."""
