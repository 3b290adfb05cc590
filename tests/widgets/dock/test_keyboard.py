"""All but painting without a mouse: every control is reached, in the order in which one reads."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from gui_fixtures import canvas_of, click, press_key, process_events
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QRadioButton,
    QTableView,
    QWidget,
)

from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.common.colours import TONES
from napari_singlestrip.widgets.dock.keyboard import tab_stops
from napari_singlestrip.widgets.session.session import STEPS

pytest_plugins = ("gui_fixtures",)

CONTROLS = (QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit, QTableView)
CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def at_work(window: Any, ranked_study: Study) -> Any:
    """The window with a study and the second scan, and the focus on the image."""
    window.viewer.window._qt_window.activateWindow()
    window.session.take_study(ranked_study)
    window.session.show_scan(ranked_study.scans.names[1])
    process_events()
    return window


def visited(window: Any) -> list[QWidget]:
    """What has the keys, one after the other, until they are on the image again."""
    canvas = canvas_of(window.viewer)
    found: list[QWidget] = []
    press_key(canvas, Qt.Key.Key_F6)
    while (here := QApplication.focusWidget()) is not canvas:
        assert here is not None and len(found) < 200
        found.append(here)
        # In the table of Review Tab goes to places to check.
        press_key(here, Qt.Key.Key_Tab, CONTROL if here.objectName() == "review_table" else
                  Qt.KeyboardModifier.NoModifier)
    return found


def usable(panel: QWidget) -> set[QWidget]:
    """The controls of a panel that a mouse can use."""
    return {
        w for kind in CONTROLS for w in panel.findChildren(kind)
        if w.isVisible() and w.isEnabled() and not w.visibleRegion().isEmpty()
        and not (isinstance(w, QRadioButton) and not w.isChecked())  # arrow keys reach it
        and not isinstance(w.parentWidget(), (QAbstractSpinBox, QComboBox, QTableView, QLineEdit))
    }


@pytest.mark.parametrize("step", STEPS)
def test_tab_reaches_every_control_of_a_step_as_one_reads(at_work: Any, step: str) -> None:
    at_work.go_to(step)
    process_events()
    expected = usable(at_work.panels[step])
    found = visited(at_work)
    assert {w.objectName() for w in expected - set(found)} == set()
    assert len(found) == len(set(found)), [(type(w).__name__, w.objectName()) for w in found]
    middles = [w.mapTo(at_work, w.rect().center()) for w in found]
    rows = [point.y() for point in middles]
    assert all(below > above - 20 for above, below in itertools.pairwise(rows))


def test_every_step_is_opened_by_tab_and_space(at_work: Any) -> None:
    for step in (*STEPS, STEPS[0]):
        press_key(canvas_of(at_work.viewer), Qt.Key.Key_Tab, CONTROL)
        for _ in range(20):
            here = QApplication.focusWidget()
            if here is at_work.step_buttons[step]:
                break
            press_key(here, Qt.Key.Key_Tab)
        for _ in range(2):  # the second time it is open already
            press_key(at_work.step_buttons[step], Qt.Key.Key_Space)
            assert at_work.session.step == step
            checked = [name for name, made in at_work.step_buttons.items() if made.isChecked()]
            assert checked == [step]
        assert QApplication.focusWidget() is canvas_of(at_work.viewer)


def test_the_guide_of_the_demo_comes_where_it_stands(at_work: Any) -> None:
    at_work.go_to("paint")
    at_work.guide.show()
    process_events()
    names = [widget.objectName() for widget in tab_stops(at_work)]
    assert names.index("help") < names.index("guide_next") < names.index("step_scans")
    assert names.index("step_apply") < names.index("paint_scan")


def test_nothing_that_has_the_keys_lies_below_the_footer(at_work: Any) -> None:
    at_work.viewer.window._qt_window.resize(1200, 600)
    at_work.go_to("review")
    panel = at_work.panels["review"]
    panel.painting.expand(animate=False)
    process_events()
    page = at_work.stack.currentWidget()
    press_key(canvas_of(at_work.viewer), Qt.Key.Key_F6)
    seen = 0
    while (here := QApplication.focusWidget()) is not canvas_of(at_work.viewer):
        assert here is not None
        if panel.content.isAncestorOf(here):
            seen += 1
            bottom = here.mapTo(page, QPoint(0, here.height())).y()
            footer = panel.footer.mapTo(page, QPoint()).y()
            is_large = here.height() > footer
            assert bottom <= footer + 1 or is_large, here.objectName()
        press_key(here, Qt.Key.Key_Tab, CONTROL)
    assert seen > 30


def test_what_scrolls_comes_between_what_is_pinned_above_and_below_it(at_work: Any) -> None:
    at_work.viewer.window._qt_window.resize(1200, 600)
    at_work.go_to("review")
    panel = at_work.panels["review"]
    panel.painting.expand(animate=False)
    process_events()
    found = visited(at_work)
    names = [widget.objectName() for widget in found if panel.isAncestorOf(widget)]
    assert len(found) == len(set(found)) > 30
    assert names.index("search") < names.index("accept") < names.index("review_table")
    assert names.index("review_table") < names.index("tool_lasso") < names.index("undo")
    assert names.index("undo") < names.index("toggle_paint_tools") < names.index("finetune")


def test_letters_act_on_the_image_that_tab_came_to_past_text_fields(at_work: Any) -> None:
    at_work.go_to("review")
    process_events()
    for way in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier):
        note = at_work.panels["review"].decisions.note
        note.setFocus()
        process_events()
        assert not at_work.key_guard.may_act(decides=True)
        for _ in range(60):
            here = QApplication.focusWidget()
            if here is canvas_of(at_work.viewer):
                break
            if here is at_work.panels["review"].table:
                assert at_work.key_guard.may_act(decides=True)
            press_key(here, Qt.Key.Key_Tab, way | CONTROL)
        assert at_work.key_guard.may_act(decides=True)


def test_f6_goes_back_to_the_picture_and_letters_act(at_work: Any) -> None:
    at_work.go_to("review")
    press_key(canvas_of(at_work.viewer), Qt.Key.Key_F6)
    assert at_work.panels["review"].isAncestorOf(QApplication.focusWidget())
    at_work.panels["review"].decisions.note.setFocus()
    press_key(at_work.panels["review"].decisions.note, Qt.Key.Key_F6)
    assert QApplication.focusWidget() is canvas_of(at_work.viewer)
    assert at_work.key_guard.may_act(decides=True)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_what_has_the_keys_is_framed(at_work: Any, theme: str) -> None:
    at_work.viewer.theme = theme
    at_work.go_to("paint")
    ring = at_work.focus_ring
    assert not ring.isVisible()
    press_key(canvas_of(at_work.viewer), Qt.Key.Key_F6)
    here = QApplication.focusWidget()
    assert here is not None and ring.isVisible()
    corner = ring.mapToGlobal(QPoint())
    assert (corner - here.mapToGlobal(QPoint())).manhattanLength() < 12
    edge = here.mapToGlobal(QPoint(here.width() // 2, 1)) - corner
    assert ring.grab().toImage().pixelColor(edge).name() == TONES[theme]["link"]
    press_key(here, Qt.Key.Key_F6)
    assert not ring.isVisible()


def test_the_frame_is_whole_at_the_edge_of_what_holds_a_control(at_work: Any) -> None:
    for step, names in (("paint", ("paint_done", "load_mask", "previous_scan", "step_apply")),
                        ("review", ("accept", "next", "finetune", "search"))):
        at_work.go_to(step)
        process_events()
        for name in names:
            made = at_work.findChild(QWidget, name)
            made.setFocus()
            process_events()
            image, area = at_work.grab().toImage(), made.rect()
            middle = area.center()
            for place in (QPoint(1, middle.y()), QPoint(area.right() - 1, middle.y()),
                          QPoint(middle.x(), 1), QPoint(middle.x(), area.bottom() - 1)):
                seen = image.pixelColor(made.mapTo(at_work, place)).name()
                assert seen == TONES[at_work.viewer.theme]["link"], (name, place)


def test_a_click_draws_no_frame(at_work: Any) -> None:
    at_work.go_to("paint")
    click(at_work.panels["paint"].tools.brush.tools["paint"])
    assert not at_work.focus_ring.isVisible()


def test_a_button_that_its_own_click_disables_leaves_the_keys_to_the_image(at_work: Any) -> None:
    at_work.go_to("review")
    process_events()
    made, after = (at_work.findChild(QWidget, name) for name in ("accept", "toggle_panes"))
    ways: list[Callable[[], object]] = [partial(made.setEnabled, False), made.hide]
    for leave in ways:
        made.setEnabled(True)
        made.show()
        made.setFocus()
        assert QApplication.focusWidget() is made
        leave()
        process_events()
        assert QApplication.focusWidget() is canvas_of(at_work.viewer)
        assert not after.hasFocus() and not at_work.focus_ring.isVisible()
