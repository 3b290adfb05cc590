"""Step "train": train from the painted mask."""

from __future__ import annotations

from napari_singlestrip.widgets.panel import Panel


class TrainPanel(Panel):
    """Train from the painted mask."""

    title = "train from the painted mask"
    step = "train"
