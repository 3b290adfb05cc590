"""A collapsible section of a panel."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget
from superqt import QCollapsible


def section(title: str, widget: QWidget, name: str) -> QCollapsible:
    """Put a widget into a section, collapsed at first; `name` finds it in tests."""
    made = QCollapsible(title, expandedIcon="\u25be", collapsedIcon="\u25b8")
    made.toggleButton().setToolTip(f"Show or hide: {title.lower()}")
    made.toggleButton().setObjectName(f"toggle_{title.lower().replace(' ', '_')}")
    for part in (made.layout(), made.content().layout()):
        if part is not None:
            part.setContentsMargins(0, 0, 0, 0)
            part.setSpacing(2)
    made.setObjectName(name)
    made.setToolTip(f"Open or close: {title.lower()}")
    made.setDuration(0)
    made.addWidget(widget)
    return made
