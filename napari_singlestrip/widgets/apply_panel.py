"""Step "apply": strip new scans and export."""

from __future__ import annotations

from napari_singlestrip.widgets.panel import Panel


class ApplyPanel(Panel):
    """Strip new scans and export."""

    title = "strip new scans and export"
    step = "apply"
