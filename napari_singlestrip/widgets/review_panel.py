"""Step "review": look at the ranked masks."""

from __future__ import annotations

from napari_singlestrip.widgets.panel import Panel


class ReviewPanel(Panel):
    """Look at the ranked masks."""

    title = "look at the ranked masks"
    step = "review"
