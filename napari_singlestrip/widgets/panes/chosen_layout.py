"""Four panes or one: the choice is stored in napari's Preferences."""

from __future__ import annotations

from collections.abc import Callable

from napari_singlestrip.widgets.common.napari_preferences import follow, wish, wishes
from napari_singlestrip.widgets.panes.four_panes import FourPanes


class ChosenLayout:
    """Synchronises the layout of the panes with the Preferences.

    Parameters
    ----------
    panes : FourPanes
    """

    def __init__(self, panes: FourPanes) -> None:
        self._panes = panes
        self._unfollow: Callable[[], None] | None = None
        panes.session.layers.showing.changed.connect(self._read)

    def toggle(self) -> None:
        """Show four panes, or one, and store the choice in the Preferences."""
        self._follow()
        if self._panes.enlarged:
            self._panes.toggle_enlarged()
            return
        wanted = "one" if self._panes.wants_four else "four"
        self._panes.set_wanted(wanted)
        wish("panes", wanted)

    def close_all(self) -> None:
        """Disconnect from the Preferences."""
        self._panes.session.layers.showing.changed.disconnect(self._read)
        if self._unfollow is not None:
            self._unfollow()
            self._unfollow = None

    # --- inside

    def _read(self, name: str = "") -> None:
        """Read the page once, when needed, as napari searches all plugins for it."""
        if self._panes.session.layers.shows_scan:
            self._follow()

    def _follow(self) -> None:
        if self._unfollow is None:
            self._panes.set_wanted(wishes().panes)
            self._unfollow = follow("panes", self._on_page)

    def _on_page(self) -> None:
        if wishes().panes != self._panes.wanted:
            self._panes.set_wanted(wishes().panes)
