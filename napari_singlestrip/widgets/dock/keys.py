"""Keys of the window, bound to the viewer: napari ignores key bindings of manifests.

Only letters that are free while a labels layer is active are used, and only while nobody types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_singlestrip.widgets.session.session import STEPS

if TYPE_CHECKING:
    from napari_singlestrip.widgets.dock.main_widget import StripWidget


@dataclass(frozen=True)
class Key:
    """A key, the panel's method it calls, and its words for the help.

    Attributes
    ----------
    key : str
        As napari writes it.
    method : str
        Of the panel of `step`; a method that is a generator function is held: it runs on while
        the key is down.
    step : str
        The step that answers; "" for the one that is open, if it has the method.
    words : str
        What it does.
    """

    key: str
    method: str
    step: str
    words: str


KEYS = (
    Key("A", "accept", "review", "Review: accept the mask"),
    Key("S", "correct", "review", "Review: keep the mask as corrected by hand"),
    Key("R", "reject", "review", "Review: reject the mask"),
    Key("N", "next_scan", "", "Next scan"),
    Key("Shift-N", "previous_scan", "", "Previous scan"),
    Key("I", "interpolate", "", "Interpolate between the painted slices"),
    Key("G", "grow", "", "Grow from seeds"),
    Key("W", "follow", "", "The rest of the mask follows the slices you set right"),
    Key("T", "toggle_range", "", "Paint only inside the range of intensities"),
    Key("O", "toggle_outline", "", "Mask as outline or filled"),
    Key("D", "toggle_3d", "", "3D"),
    Key("H", "hold_heat", "", "Heat map, while held"),
    Key("U", "hold_untouched", "", "Untouched pseudo-label, while held"),
    Key("K", "toggle_planes", "window", "The two other planes, shown or hidden"),
    Key("?", "show_help", "window", "These keys"),
)
DECIDING = ("accept", "correct", "reject")  # only with the focus on the picture or the table
NAPARI_KEYS = (
    ("P, E, F, L", "Paint, erase, fill, pick (napari)"),
    ("[ and ]", "Smaller and larger brush (napari)"),
    ("Space, held", "Move the picture instead of painting (napari)"),
    ("Ctrl+Z, Ctrl+Shift+Z", "Undo, redo (napari); right after a decision it takes that back"),
    ("Enter, Esc", "In a note: back to the picture, where letters act again"),
    ("Left, right", "Slice before, slice after (napari)"),
    ("Ctrl+E", "Turn the axes (napari)"),
)


def bind_keys(window: StripWidget) -> None:
    """Bind our keys to the viewer of a window."""
    for key in KEYS:
        window.viewer.bind_key(key.key, _caller(window, key), overwrite=True)


def unbind_keys(window: StripWidget) -> None:
    """Give the keys back."""
    for key in KEYS:
        window.viewer.bind_key(key.key, None, overwrite=True)


def _caller(window: StripWidget, key: Key) -> Callable[[Any], Iterator[None]]:
    def call(viewer: Any) -> Iterator[None]:
        may = window.key_guard.may_act(decides=key.method in DECIDING)
        if not may and key.method in DECIDING and window.session.step == key.step:
            window.session.tell(f"{key.key} did nothing: you were typing, or elsewhere. Click the "
                                "picture or the table, then letters decide.")
        method = getattr(_target(window, key), key.method, None) if may else None
        held = None
        if method is not None:
            with window.session.guarded():
                held = method()
        if held is not None and hasattr(held, "__next__"):
            next(held, None)
            yield
            next(held, None)
        else:
            yield

    return call


def _target(window: StripWidget, key: Key) -> Any:
    if key.step == "window":
        return window
    if key.step in STEPS and window.session.step != key.step:
        return None
    return window.panel
