"""Pictures that fill the width of a page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QApplication, QVBoxLayout, QWidget

from napari_singlestrip.widgets.common.controls import Page
from napari_singlestrip.widgets.common.zoomable_picture import Picture

pytest_plugins = ("gui_fixtures",)


def test_a_picture_does_not_chase_the_scroll_bar(qtbot: QtBot, tmp_path: Path) -> None:
    """At some heights a page needs a bar only if there is none."""
    file = tmp_path / "preview.png"
    Image.fromarray(np.zeros((400, 400), np.uint8)).save(file)
    panel = QWidget()
    picture = Picture("preview", "Preview", "")
    column = QVBoxLayout(panel)
    column.addWidget(picture)
    column.addStretch(1)
    page = Page(panel)
    qtbot.addWidget(page)
    page.resize(300, 400)
    page.show()
    picture.show_file(file)
    widths = set()
    for height in range(330, 240, -1):  # RecursionError, which qtbot reports
        page.resize(300, height)
        QApplication.processEvents()
        widths.add(picture.pixmap().width())
        assert picture.height() == picture.pixmap().height()
    bar = page.verticalScrollBar()
    assert bar is not None and bar.isVisible()  # and it was not, at first
    assert len(widths) == 1 and widths.pop() > 200
