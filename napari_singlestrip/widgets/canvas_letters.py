"""L R A P S I at the edges of the canvas."""

from __future__ import annotations

from napari_singlestrip.widgets.session import Session


class CanvasLetters:
    """Placeholder."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def close_all(self) -> None:
        """Let go."""
