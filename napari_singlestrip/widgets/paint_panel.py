"""Step "paint": paint one brain."""

from __future__ import annotations

from napari_singlestrip.widgets.paint_tools import PaintTools
from napari_singlestrip.widgets.panel import Panel
from napari_singlestrip.widgets.session import Session


class PaintPanel(Panel):
    """Paint one brain."""

    title = "paint one brain"
    step = "paint"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.tools = PaintTools(session)
        self.add(self.tools)

    def close_all(self) -> None:
        self.tools.close_all()
