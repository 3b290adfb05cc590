"""The two planes that the canvas does not show, with a crosshair that is linked to it."""

from __future__ import annotations

from napari_singlestrip.widgets.session import Session


class OtherPlanes:
    """Placeholder."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def close_all(self) -> None:
        """Let go."""
