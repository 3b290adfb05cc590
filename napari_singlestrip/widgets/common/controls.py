"""The controls that all steps are made of."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QLabel, QPushButton, QScrollArea, QWidget


def button(text: str, tip: str, clicked: Callable[[], object], name: str = "") -> QPushButton:
    """Make a push button with a tooltip; `name` finds it in tests."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setObjectName(name)
    made.clicked.connect(lambda _checked=False: clicked())
    return made


def words(text: str = "", name: str = "") -> QLabel:
    """Make a label that wraps its text."""
    label = QLabel(text)
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
    return label


def scrollable(panel: QWidget) -> QScrollArea:
    """Put a panel into a scroll area, so that it can be used on a small screen."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(panel)
    return area
