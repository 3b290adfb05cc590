"""A collapsible section of a panel."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_singlestrip.widgets.common.controls import scroll_to
from napari_singlestrip.widgets.common.single_shot import single_shot


def section(title: str, widget: QWidget, name: str) -> QCollapsible:
    """Put a widget into a section, collapsed at first; `name` finds it in tests."""
    made = QCollapsible(title, expandedIcon="\u25be", collapsedIcon="\u25b8")
    made.toggleButton().setToolTip(f"Show or hide: {title.lower()}")
    made.toggleButton().setObjectName(f"toggle_{title.lower().replace(' ', '_')}")
    flush_left(made)
    made.setObjectName(name)
    made.setToolTip(f"Open or close: {title.lower()}")
    made.setDuration(0)
    made.addWidget(widget)
    return made


def flush_left(made: QCollapsible) -> None:
    """Align a section with what is above and below it."""
    for part in (made.layout(), made.content().layout()):
        if part is not None:
            part.setContentsMargins(0, 0, 0, 0)
            part.setSpacing(2)


def sections(*several: QCollapsible) -> tuple[QWidget, QWidget]:
    """Put the titles of sections side by side, apart from their contents.

    A section that is opened with the mouse is scrolled to.

    Returns
    -------
    titles : QWidget
        One row of buttons.
    contents : QWidget
        Without height while all are closed.
    """
    titles, contents = QWidget(), QWidget()
    opened = single_shot(contents, 0, lambda: scroll_to(contents))  # once laid out
    row, column = QHBoxLayout(titles), QVBoxLayout(contents)
    for layout, spacing in ((row, 4), (column, 0)):
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(spacing)
    for one in several:
        row.addWidget(one.toggleButton(), 1)
        one.toggleButton().clicked.connect(lambda _on=False: opened.start())
        column.addWidget(one)
    return titles, contents
