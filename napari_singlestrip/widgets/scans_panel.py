"""Step "scans": the head scans to strip."""

from __future__ import annotations

from napari_singlestrip.widgets.panel import Panel


class ScansPanel(Panel):
    """The head scans to strip."""

    title = "the head scans to strip"
    step = "scans"
