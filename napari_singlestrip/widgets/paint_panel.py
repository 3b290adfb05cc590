"""Step "paint": paint one brain."""

from __future__ import annotations

from napari_singlestrip.widgets.panel import Panel


class PaintPanel(Panel):
    """Paint one brain."""

    title = "paint one brain"
    step = "paint"
