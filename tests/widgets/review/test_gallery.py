"""The gallery: tiles over the image, in the order of the table, drawn where they are seen."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from gui_fixtures import canvas_of, child, click, press_key, process_events, wait_until
from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtGui import QColor, QPainter, QPixmap
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_singlestrip.study.outlook import OUTLOOK_COLOURS
from napari_singlestrip.study.review import Review, ReviewRow
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import Decision, ScoreRow
from napari_singlestrip.widgets.review.gallery import (
    DOT,
    GROUND,
    LINE,
    PICTURE,
    TILE,
    Gallery,
    state_at,
)
from napari_singlestrip.widgets.review.table_model import STATE_COLOURS, ReviewFilter, ReviewModel

if TYPE_CHECKING:
    from napari_singlestrip.widgets.dock.main_widget import StripWidget
    from napari_singlestrip.widgets.review.panel import ReviewPanel

pytest_plugins = ("gui_fixtures",)


@pytest.fixture
def panel(window: StripWidget, ranked_study: Study) -> ReviewPanel:
    """The review step of a study with three ranked masks."""
    window.session.take_study(ranked_study)
    window.session.step_requested.emit("review")
    window.viewer.window._qt_window.activateWindow()
    process_events()
    wait_until(lambda: QApplication.activeWindow() is not None, "the active window")
    found: Any = window.panels["review"]
    assert found.isVisible()
    return found


def test_a_click_on_a_tile_goes_to_its_scan(panel: ReviewPanel) -> None:
    names = panel.table.filter.names()
    click(child(panel, "open_gallery"))
    gallery = panel.gallery
    assert gallery.isVisible()
    canvas = canvas_of(panel.session.viewer)
    assert not canvas.rect().translated(canvas.mapToGlobal(QPoint(0, 0))).intersects(
        panel.rect().translated(panel.mapToGlobal(QPoint(0, 0)))
    )
    covered = gallery.rect().translated(gallery.mapToGlobal(QPoint(0, 0)))
    assert covered.contains(canvas.mapToGlobal(canvas.rect().center()))
    assert not covered.contains(panel.mapToGlobal(panel.rect().center()))
    assert f"{len(names)} masks" in gallery.title.text()
    view = gallery.view
    place = view.visualRect(panel.table.filter.index(2, view.modelColumn())).center()
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert not gallery.isVisible()
    assert panel.session.scan == names[2]
    assert QApplication.focusWidget() is canvas_of(panel.session.viewer)


def test_the_gallery_that_its_button_opens_has_the_keys(panel: ReviewPanel) -> None:
    click(child(panel, "open_gallery"))
    view = panel.gallery.view
    assert QApplication.focusWidget() is view
    press_key(view, Qt.Key.Key_Escape)
    assert QApplication.focusWidget() is canvas_of(panel.session.viewer)


def test_keys_in_the_gallery_move_and_decide_nothing(panel: ReviewPanel) -> None:
    names = panel.table.filter.names()
    study = panel.session.need_study()
    panel.toggle_gallery()
    view = panel.gallery.view
    assert view.currentIndex().row() == names.index(panel.session.scan)
    for letter in (Qt.Key.Key_A, Qt.Key.Key_R, Qt.Key.Key_S):
        press_key(view, letter)
    assert {d.state for d in study.decisions.all().values()} <= {"painted"}
    press_key(view, Qt.Key.Key_Right)
    press_key(view, Qt.Key.Key_Return)
    assert panel.session.scan == names[1]
    panel.toggle_gallery()
    press_key(view, Qt.Key.Key_Escape)
    assert not panel.gallery.isVisible()
    assert panel.session.scan == names[1]


def test_worst_first_turns_the_tiles_round(panel: ReviewPanel) -> None:
    panel.toggle_gallery()
    first = panel.table.filter.names()[0]
    click(child(panel, "worst_first"))
    assert panel.table.filter.names()[-1] == first


def test_another_step_takes_the_gallery_away(window: StripWidget, panel: ReviewPanel) -> None:
    panel.toggle_gallery()
    window.session.step_requested.emit("paint")
    process_events()
    assert not panel.gallery.isVisible()


def test_two_thousand_masks_are_opened_and_scrolled_at_once(viewer: Any) -> None:
    asked: set[str] = set()

    def picture(name: str) -> QPixmap:
        asked.add(name)
        return QPixmap(184, 184)

    rows = tuple(
        ReviewRow(ScoreRow(f"sub-{n:04d}", 0.01, 0.9, 1400.0, n + 1, False)) for n in range(2000)
    )
    model = ReviewModel(picture)
    model.show(Review(0, rows), {})
    gallery = Gallery(viewer, ReviewFilter(model, model), picture)
    try:
        started = time.monotonic()
        gallery.show_review(Review(0, rows))
        gallery.open_at("sub-1000")
        process_events()
        bar = gallery.view.verticalScrollBar()
        assert bar is not None
        for n in range(10):
            bar.setValue(bar.maximum() * n // 10)
            process_events()
        assert time.monotonic() - started < 5
        assert len(asked) < 400  # what was in sight, and no other
    finally:
        gallery.close_all()
        process_events()


def test_a_tile_says_why_it_has_its_colour(panel: ReviewPanel) -> None:
    score = ScoreRow(
        "sub-1", 0.05, 0.9, 1400.0, 1, False, largest_place_ml=14.2, expected_dice=0.9
    )
    row = ReviewRow(score)
    panel.gallery.tiles.outlooks = {"sub-1": "look"}
    said = panel.gallery.tiles.tip(row)
    assert said.startswith("sub-1: to review\nLook. Its scores are worse")
    assert "largest place to check has 14 mL" in said
    assert "AE error 0.050 (lower is better)." in said
    assert "Expected Dice 0.900 (interval not known)." in said


def test_a_mask_by_hand_is_not_called_wrong(panel: ReviewPanel) -> None:
    score = ScoreRow("sub-1", 0.05, 0.9, 400.0, 1, False, "small")
    row = ReviewRow(score, Decision("sub-1", "corrected"))
    tiles = panel.gallery.tiles
    tiles.outlooks = {"sub-1": "likely wrong"}
    said = tiles.tip(row)
    assert "Your mask" in said and "wrong" not in said.lower()
    assert "AE error 0.050" in said

    def colours() -> set[str]:
        picture = QPixmap(TILE)
        picture.fill(QColor(GROUND))
        painter = QPainter(picture)
        tiles._write(painter, QRect(QPoint(0, 0), TILE), row)
        painter.end()
        image = picture.toImage()
        return {image.pixelColor(x, y).name() for x in range(TILE.width())
                for y in range(TILE.height() - 2 * LINE, TILE.height())}

    assert STATE_COLOURS["corrected"] in colours()
    assert OUTLOOK_COLOURS["likely wrong"] not in colours()
    row = replace(row, decision=None)
    assert OUTLOOK_COLOURS["likely wrong"] in colours()


def test_the_state_on_a_tile_has_the_room_that_the_outlook_leaves(panel: ReviewPanel) -> None:
    metrics = panel.gallery.view.fontMetrics()
    start = state_at(metrics, "usual", "accepted before")
    assert start + DOT + metrics.horizontalAdvance("accepted before") <= PICTURE
    assert start >= DOT + metrics.horizontalAdvance("usual")
    assert state_at(metrics, "usual", "look") == PICTURE // 2  # below each other
    longest = state_at(metrics, "likely wrong", "accepted before")
    assert longest >= DOT + metrics.horizontalAdvance("likely wrong")
