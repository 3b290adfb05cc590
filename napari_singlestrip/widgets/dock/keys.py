"""Keys of the window, bound to the viewer: napari ignores key bindings of manifests.

Only letters that napari does not use for a labels layer are used, and not while typing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info

from napari_singlestrip.widgets.session.session import STEPS

if TYPE_CHECKING:
    from napari_singlestrip.widgets.dock.main_widget import StripWidget


@dataclass(frozen=True)
class Key:
    """A key, the panel's method it calls, and its help text.

    Attributes
    ----------
    key : str
        In napari's notation.
    method : str
        Of the panel of `step`; a generator function acts while the key is held.
    step : str
        The step that handles it; "" for the open one, if it has the method.
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
    Key("W", "follow", "", "The rest of the mask follows the slices you corrected"),
    Key(".", "declare_slice", "", "This slice is correct as it is: it counts as set"),
    Key(",", "look_next", "", "Where next: the slice whose correction helps most"),
    Key("T", "toggle_range", "", "Paint only inside the range of intensities"),
    Key("Y", "toggle_adjust", "", "Margin, smoothing, small pieces, threshold, another mask"),
    Key("O", "toggle_outline", "", "Mask as outline or filled"),
    Key("D", "toggle_3d", "", "3D"),
    Key("H", "hold_doubts", "", "Review: where the mask is probably wrong, while held"),
    Key("Q", "hold_before", "", "Review: the mask of the previous round, while held"),
    Key("Shift-G", "toggle_gallery", "", "Review: all masks as large tiles"),
    Key("U", "hold_untouched", "", "Untouched pseudo-label, while held"),
    Key("K", "toggle_panes", "window", "Four panes or one"),
    Key("Shift-K", "enlarge_pane", "window", "Enlarge the pane under the mouse; back to four"),
    Key("?", "show_help", "window", "These keys"),
)
DECIDING = ("accept", "correct", "reject")  # only with the focus on the image or the table
NAPARI_KEYS = (
    ("Tab, Shift+Tab", "Review, on the image: next or previous place to check"),
    ("L", "Lasso: draw round, or click corners; Enter or a double click closes, Esc drops it"),
    ("P, E, F", "Paint, erase, fill (napari)"),
    ("B", "Smart brush: the tissue under its middle, up to the next edge"),
    ("V, M, =, X", "Under the brush: push, smooth, grow the border, snap it to an edge"),
    ("C, J", "Cut through all slices; erase the piece that is clicked"),
    ("[ and ]", "Smaller and larger brush (napari)"),
    ("Ctrl+Z, Ctrl+Shift+Z", "Undo, redo (napari); right after a decision, undo the decision"),
    ("F6", "From the image to the controls, and back; Tab goes through them"),
    ("Ctrl+Tab, Ctrl+Shift+Tab", "Next or previous control: also from the image and the "
     "table, where Tab goes to places"),
    ("Enter, Esc", "In a note: back to the image, where letters act again"),
    ("Left, right", "Previous slice, next slice (napari)"),
    ("Ctrl+E", "Turn the axes (napari)"),
)
MOUSE = (
    ("Left button", "Use the selected tool"),
    ("Right button, or Shift + left", "Erase instead"),
    ("Double click", "Close a lasso of clicked corners"),
    ("Space, held, + left", "Move the image instead; with Move (Z) always"),
    ("Wheel", "Zoom"),
    ("Ctrl + wheel", "Through the slices"),
    ("Shift, mouse moved", "Move the crosshair, and with it the other planes"),
    ("Move (Z), a click", "Show this point in all planes"),
    ("On the surface", "Drag to rotate it; click to show that point in the planes"),
)


def bind_keys(window: StripWidget) -> None:
    """Bind our keys to the viewer of a window."""
    for key in KEYS:
        window.viewer.bind_key(key.key, _caller(window, key), overwrite=True)


def unbind_keys(window: StripWidget) -> None:
    """Unbind the keys."""
    for key in KEYS:
        window.viewer.bind_key(key.key, None, overwrite=True)


def _caller(window: StripWidget, key: Key) -> Callable[[Any], Iterator[None]]:
    def call(viewer: Any) -> Iterator[None]:
        decides = key.method in DECIDING
        may = window.key_guard.may_act(decides)
        if not may and decides and window.session.step == key.step:
            _say_why_not(window, key.key)
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


def _say_why_not(window: StripWidget, key: str) -> None:
    """Say why a letter did not decide, where it is seen."""
    if window.visibleRegion().isEmpty():
        show_info(f"{key} did nothing: SingleStrip is hidden. Bring its dock to the front first.")
    else:
        window.session.tell(f"{key} did nothing: you were typing, or elsewhere. Click the "
                            "image or the table, then letters decide.")


def _target(window: StripWidget, key: Key) -> Any:
    if key.step == "window":
        return window
    if key.step in STEPS and window.session.step != key.step:
        return None
    return window.panel
