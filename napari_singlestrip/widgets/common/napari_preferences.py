"""What a person wants in every study: the page "SingleStrip" of napari's Preferences.

The page is made from `configurations` of the manifest, which napari knows since 0.9. With an older
napari, or where a value is missing or makes no sense, the defaults here count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, cast

from napari_singlestrip.engine.config import EFFORTS, Effort

PLUGIN = "napari-singlestrip"
DEVICES = {
    "auto": "a graphics card that computes as the processor does, else the processor",
    "cpu": "processor", "cuda": "NVIDIA graphics card", "mps": "Apple graphics",
}
LARGEST_BRUSH = 100.0  # mm


@dataclass(frozen=True)
class Wishes:
    """What the page says.

    Attributes
    ----------
    effort : {"quick", "standard", "thorough"}
        Of studies that are begun in the window.
    device : {"auto", "cpu", "cuda", "mps"}
        For jobs on this computer.
    brush_mm : float
        Diameter of the brush at the start; 0 goes by the size of the picture.
    other_planes : bool
        Whether the planes that the canvas does not show are shown below the layers.
    review_outline : bool
        Whether masks are outlines when the review step opens.
    """

    effort: Effort = "quick"
    device: str = "auto"
    brush_mm: float = 0.0
    other_planes: bool = True
    review_outline: bool = False


GROUPS = {
    "effort": "training", "device": "training",
    "brush_mm": "picture", "other_planes": "picture", "review_outline": "picture",
}
_ALLOWED: dict[str, Callable[[Any], bool]] = {
    "effort": lambda value: value in EFFORTS,
    "device": lambda value: value in DEVICES,
    "brush_mm": lambda value: isinstance(value, int | float) and 0 <= value <= LARGEST_BRUSH,
    "other_planes": lambda value: isinstance(value, bool),
    "review_outline": lambda value: isinstance(value, bool),
}


def wishes() -> Wishes:
    """Return what the page says now."""
    page = _page()
    found: dict[str, Any] = {
        field.name: getattr(getattr(page, GROUPS[field.name], None), field.name, None)
        for field in fields(Wishes)
    }
    return Wishes(**{name: v for name, v in found.items() if _ALLOWED[name](v)})


def wish(name: str, value: object) -> bool:
    """Write a value into the page; False when there is none to keep it."""
    group = getattr(_page(), GROUPS[name], None)
    if not hasattr(group, name):
        return False
    setattr(group, name, value)
    return True


def follow(name: str, changed: Callable[[], None]) -> Callable[[], None]:
    """Call `changed` whenever a value of the page changes, until what is returned is called."""
    emitter = getattr(getattr(getattr(_page(), GROUPS[name], None), "events", None), name, None)
    if emitter is None:
        return _nothing

    def call(event: Any = None) -> None:
        changed()

    emitter.connect(call)
    return lambda: cast(None, emitter.disconnect(call))


def _page() -> Any:
    """Object of napari's behind the page; None without one."""
    try:
        from napari.settings import get_plugin_settings

        return get_plugin_settings(PLUGIN)
    except (ImportError, KeyError):  # an older napari, or one that was not told of this plugin
        return None


def _nothing() -> None:
    """What ends following a page that is not there."""
