"""What of a window is cut off, and what to call it; part of `real_window_tour`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from qtpy.QtCore import QRect, Qt
from qtpy.QtGui import QFontMetrics, QTextDocument
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractScrollArea,
    QAbstractSpinBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QListView,
    QProgressBar,
    QTableView,
    QWidget,
)
from superqt import QElidingLabel

CONTROLS = (QAbstractButton, QAbstractSpinBox, QComboBox, QLabel, QLineEdit, QListView,
            QProgressBar, QTableView)
CELL_MARGINS = 6


def is_part(widget: QWidget) -> bool:
    """Whether it is a part of a control, which Qt lays out."""
    whole = (QAbstractSpinBox, QComboBox, QAbstractScrollArea, QLineEdit)
    return isinstance(widget.parentWidget(), whole)


def is_folded(widget: QWidget, dock: QWidget) -> bool:
    """Whether it is in a section that is folded: Qt calls what has no height visible."""
    above = widget.parentWidget()
    while above is not None and above is not dock:
        if above.height() == 0:
            return True
        above = above.parentWidget()
    return False


def cut_text(widget: QWidget) -> Iterator[str]:
    """Say where a text has not the room that it needs."""
    needs, text = 0, getattr(widget, "text", str)()
    if isinstance(widget, QElidingLabel):
        return
    if isinstance(widget, QLabel) and text and widget.wordWrap():
        needs = _longest_word(widget)
        if (high := widget.heightForWidth(widget.width())) > widget.height():
            yield f"needs {high} pixels of height and has {widget.height()}"
    elif isinstance(widget, (QLabel, QAbstractButton)) and text:
        needs = widget.sizeHint().width()
    elif isinstance(widget, QTableView):
        needs = _columns(widget)
        yield from () if widget.wordWrap() else _cut_cells(widget)
    elif isinstance(widget, QLineEdit) and not text:
        needs = widget.fontMetrics().horizontalAdvance(widget.placeholderText())
    if needs > widget.width():
        yield f"needs {needs} pixels and has {widget.width()}"
    high = widget.minimumSizeHint().height() if isinstance(widget, QAbstractButton) else 0
    if text and high > widget.height() + 2:
        yield f"needs a height of {high} and has {widget.height()}"


def _columns(table: Any) -> int:
    """Return the width that a table needs to show all of its columns."""
    beside = table.width() - table.viewport().width() - 1
    return beside + sum(int(table.columnWidth(n)) for n in range(table.model().columnCount()))


def _cut_cells(table: QTableView) -> Iterator[str]:
    """Say which cells of a table are too narrow for their text."""
    model = table.model()
    assert model is not None
    for column in range(model.columnCount()):
        for row in range(model.rowCount() if table.columnWidth(column) else 0):
            text = model.index(row, column).data()
            font = model.index(row, column).data(Qt.ItemDataRole.FontRole)
            metrics = QFontMetrics(font or table.font())
            room = table.columnWidth(column) - CELL_MARGINS
            if isinstance(text, str) and (needs := metrics.horizontalAdvance(text)) > room:
                yield f"cuts {text!r}: it needs {needs} pixels and has {room}"


def _longest_word(label: QLabel) -> int:
    shown = QLabel.text(label)  # with the places where a line may end
    document = QTextDocument()
    if label.textFormat() != Qt.TextFormat.PlainText and "<" in shown:
        document.setHtml(shown)
        shown = document.toPlainText()
    metrics = label.fontMetrics()
    words = re.split(r"\s|\u200b", shown)
    return max((metrics.horizontalAdvance(word) for word in words), default=0)


def name_of(widget: QWidget) -> str:
    text = getattr(widget, "text", lambda: "")()
    return f"{type(widget).__name__} {widget.objectName()!r} {text[:60]!r}".strip()


def box_words(area: QRect) -> str:
    return f"{area.width()}x{area.height()}+{area.x()}+{area.y()}"
