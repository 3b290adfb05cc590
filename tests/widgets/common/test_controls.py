"""A step scrolls up and down only, at the least width that it asks for."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from napari_singlestrip.widgets.common.controls import Page

pytest_plugins = ("gui_fixtures",)

@pytest.mark.parametrize("style", ["", "QScrollArea { border: 1px solid }"])
def test_at_its_least_width_a_page_shows_all_of_its_panel_beside_the_bar(
    qtbot: QtBot, style: str
) -> None:
    """With the frame of napari's theme the bar lay two pixels over the widest step."""
    panel = QLabel("as wide as a step, and higher than its page")
    panel.setMinimumHeight(900)
    page = Page(panel)
    qtbot.addWidget(page)
    page.setStyleSheet(style)
    with qtbot.waitExposed(page):
        page.show()
    page.resize(page.minimumSizeHint().width(), 200)
    bar, port = page.verticalScrollBar(), page.viewport()
    assert bar is not None and port is not None
    qtbot.waitUntil(bar.isVisible)
    assert panel.minimumSizeHint().width() <= panel.width() <= port.width()


def test_what_is_pinned_is_whole_beside_a_narrow_panel(qtbot: QtBot) -> None:
    panel = QWidget()
    column = QVBoxLayout(panel)
    column.addWidget(QLabel("narrow"))
    header, footer = (QWidget(panel) for _ in range(2))
    for pinned, text in ((header, "wider than the panel below it"), (footer, "short")):
        QVBoxLayout(pinned).addWidget(QPushButton(text))
    page = Page(panel, footer, header)
    qtbot.addWidget(page)
    with qtbot.waitExposed(page):
        page.show()
    page.resize(page.minimumSizeHint().width(), 200)
    qtbot.waitUntil(lambda: header.width() >= header.minimumSizeHint().width())
    assert header.geometry().bottom() <= column.contentsMargins().top()
    assert footer.geometry().bottom() == panel.height() - 1
