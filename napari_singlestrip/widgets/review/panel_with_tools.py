"""A step with the paint tools in a section, which unfolds when a key of theirs is pressed."""

from __future__ import annotations

from collections.abc import Callable

from napari_singlestrip.widgets.common.section import section
from napari_singlestrip.widgets.paint.tools import PaintTools
from napari_singlestrip.widgets.session.panel import Panel
from napari_singlestrip.widgets.session.session import Session


class PanelWithTools(Panel):
    """What the keys of the tools call.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.tools = PaintTools(session)
        self.painting = section("Paint tools", self.tools, "painting")

    def interpolate(self) -> None:
        """Interpolate between painted slices."""
        self._with_tools(self.tools.interpolate)

    def grow(self) -> None:
        """Grow from seeds."""
        self._with_tools(self.tools.grow)

    def follow(self) -> None:
        """Let the rest of the mask follow the slices that were set."""
        self._with_tools(self.tools.follow)

    def declare_slice(self) -> None:
        """Count the slice on screen as right, as it is."""
        self._with_tools(self.session.correcting.declare)

    def look_next(self) -> None:
        """Go to the slice whose correction would help most."""
        self._with_tools(self.tools.look_next)

    def toggle_adjust(self) -> None:
        """Margin, smoothing, threshold and the like."""
        self._with_tools(self.tools.toggle_adjust)

    def toggle_range(self) -> None:
        """Paint only in the range of intensities."""
        self._with_tools(self.tools.toggle_range)

    def _with_tools(self, use: Callable[[], None]) -> None:
        self.painting.expand(animate=False)
        use()
