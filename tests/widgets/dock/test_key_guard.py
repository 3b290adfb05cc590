"""Letters decide only where a person looks at masks: never while, or right after, they type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gui_fixtures import canvas_of, child, click, press_key, process_events, stroke, wait_until
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QComboBox, QLineEdit, QSpinBox, QWidget

from napari_singlestrip.study.study import Study

pytest_plugins = ("gui_fixtures",)

Z, CONTROL = Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier
LETTERS = (Qt.Key.Key_A, Qt.Key.Key_R, Qt.Key.Key_S)


@pytest.fixture
def panel(window: Any, ranked_study: Study) -> Any:
    """The review step, in a window that has the focus."""
    window.session.take_study(ranked_study)
    window.session.step_requested.emit("review")
    window.viewer.window._qt_window.activateWindow()
    process_events()
    wait_until(lambda: QApplication.activeWindow() is not None, "the active window")
    return window.panels["review"]


def decided(panel: Any) -> dict[str, str]:
    """What stands in decisions.csv of scans under review."""
    found = panel.session.study.decisions.all()
    return {name: row.state for name, row in found.items() if row.state != "painted"}


def type_letters(panel: Any) -> None:
    """Press the letters that decide, where the keyboard is."""
    main = panel.session.viewer.window._qt_window
    for letter in LETTERS:
        press_key(QApplication.focusWidget() or main, letter)
        press_key(panel.session.viewer, letter)  # as napari hands them on


def test_a_note_has_the_keys_until_enter_or_esc(panel: Any) -> None:
    note = child(panel, "note")
    for leave in (Qt.Key.Key_Return, Qt.Key.Key_Escape):
        click(note)
        assert note.hasFocus()
        type_letters(panel)
        assert decided(panel) == {}
        QTest.keyClick(note, leave)
        process_events()
        assert not note.hasFocus()
    assert note.text() == "arsars"
    press_key(panel.session.viewer, Qt.Key.Key_R)
    assert list(decided(panel).values()) == ["rejected"]


@pytest.mark.parametrize("kind", (QLineEdit, QSpinBox, QComboBox))
def test_letters_rest_in_every_field(panel: Any, kind: type[QWidget]) -> None:
    field: Any = next(f for f in panel.findChildren(kind) if f.isVisible() and f.isEnabled())
    field.setFocus()
    process_events()
    type_letters(panel)
    assert decided(panel) == {}


def test_a_field_that_loses_the_focus_by_itself_gives_no_keys_back(panel: Any) -> None:
    note = child(panel, "note")
    click(note)
    note.setEnabled(False)  # Qt moves the focus on
    process_events()
    assert not note.hasFocus()
    panel.table.setFocus(Qt.FocusReason.TabFocusReason)
    type_letters(panel)
    assert decided(panel) == {}
    QTest.mouseClick(canvas_of(panel.session.viewer), Qt.MouseButton.LeftButton)
    canvas_of(panel.session.viewer).setFocus()
    press_key(panel.session.viewer, Qt.Key.Key_A)
    assert list(decided(panel).values()) == ["accepted"]


def test_a_click_that_just_misses_the_note_is_meant_for_it(window: Any, panel: Any) -> None:
    note = child(panel, "note")
    canvas_of(window.viewer).setFocus()
    below = note.mapTo(window, QPoint(20, note.height() + 1))
    QTest.mouseClick(window, Qt.MouseButton.LeftButton, pos=below)
    process_events()
    assert note.hasFocus()
    type_letters(panel)
    assert decided(panel) == {}


def test_letters_do_not_decide_from_other_controls(panel: Any) -> None:
    panel.table.setFocus()
    press_key(panel.table, Qt.Key.Key_A)
    assert len(decided(panel)) == 1
    box = child(panel, "outline")
    box.setFocus()
    process_events()
    assert box.hasFocus()
    type_letters(panel)
    assert len(decided(panel)) == 1


def test_a_button_of_the_bar_leaves_the_keys_to_the_picture(panel: Any) -> None:
    canvas = canvas_of(panel.session.viewer)
    canvas.setFocus()
    assert QApplication.focusWidget() is canvas
    for name in ("next", "worst_first", "outline"):
        click(child(panel, name))
        assert QApplication.focusWidget() is canvas, name
    click(child(panel, "note"))
    click(child(panel, "outline"))
    type_letters(panel)  # what was begun as a note
    assert decided(panel) == {}


@pytest.mark.parametrize("letter", ("A", "R"))
def test_ctrl_z_right_after_a_decision_takes_it_back(panel: Any, letter: str) -> None:
    session, name = panel.session, panel.session.scan
    press_key(session.viewer, Qt.Key[f"Key_{letter}"])
    assert name in decided(panel)
    assert session.scan != name
    toast = panel.decisions.toast.box
    assert toast.isVisible()
    assert name in toast.label.text()
    assert "Ctrl+Z" in toast.button.text()
    press_key(session.viewer, Z, CONTROL)
    assert decided(panel) == {}
    assert session.scan == name
    assert not toast.isVisible()


def test_a_click_takes_a_decision_back_and_leaves_the_keys_to_the_picture(panel: Any) -> None:
    session, name = panel.session, panel.session.scan
    press_key(session.viewer, Qt.Key.Key_R)
    assert panel.decisions.toast.box.label.text() == f"Rejected {name}"
    click(panel.decisions.toast.box.button)
    assert decided(panel) == {}
    assert session.scan == name
    press_key(session.viewer, Qt.Key.Key_A)
    assert decided(panel)[name] == "accepted"


def test_ctrl_z_after_a_stroke_takes_back_only_strokes(panel: Any) -> None:
    session, first = panel.session, panel.session.scan
    press_key(session.viewer, Qt.Key.Key_R)
    before = session.layers.editing.mask_on_scan()
    session.layers.brush.set_mode("paint")
    here = session.layers.viewpoint.point[0]
    stroke(session.viewer, [(here, 3, 3), (here, 3, 5)])
    for _ in range(4):
        press_key(session.viewer, Z, CONTROL)
    assert np.array_equal(session.layers.editing.mask_on_scan(), before)
    assert decided(panel) == {first: "rejected"}


def test_a_hidden_mask_is_shown_before_one_decides(panel: Any) -> None:
    panel.session.layers.editing.layer.visible = False
    press_key(panel.session.viewer, Qt.Key.Key_A)
    assert decided(panel) == {}
    assert panel.session.layers.editing.is_seen
    press_key(panel.session.viewer, Qt.Key.Key_A)
    assert len(decided(panel)) == 1


def test_nothing_moves_under_the_mouse_while_one_decides(panel: Any) -> None:
    """Buttons and note stay where they are whatever is said above and below them."""
    bar, session = panel.decisions, panel.session

    def place() -> list[QPoint]:
        process_events()
        window = panel.window()
        steady = (*bar.buttons.values(), bar.note, panel.layers.doubt, panel.finetune.finetune)
        return [w.mapTo(window, QPoint(0, 0)) for w in steady]

    wait_until(lambda: panel.layers.words.text() == "untouched", "what changed, in words")
    wait_until(lambda: panel.doubts.found is not None, "the places to check")
    before = place()
    mask = session.layers.editing.mask_on_display()
    mask[:2] ^= True
    session.layers.editing.change(mask)  # unsaved changes: more words, another button
    assert place() == before
    bar.accept()
    assert bar.question.isVisible()
    assert place() == before
    bar.correct()
    bar.reject()
    bar.accept()
    assert len(decided(panel)) == 3
    assert place() == before  # the summary says three states now


def test_the_table_makes_room_for_a_longer_summary(panel: Any) -> None:
    wait_until(lambda: panel.doubts.found is not None, "the places to check")
    summary, table = panel.head.summary, panel.table
    process_events()
    places, height, lines = panel.places.geometry(), table.height(), summary.height()
    summary.setText("4 masks \u00b7 1 corrected \u00b7 " * 4)
    process_events()
    assert summary.height() > lines and table.height() < height
    assert panel.places.geometry() == places


def test_another_order_is_followed_at_once(panel: Any) -> None:
    """Worst first begins with the worst; the next decision continues in the order that is seen."""
    names = panel.table.filter.names()
    assert panel.session.scan == names[0]
    click(child(panel, "worst_first"))
    assert panel.session.scan == names[-1]
    press_key(panel.session.viewer, Qt.Key.Key_A)
    assert panel.session.scan == names[-2]
    press_key(panel.session.viewer, Qt.Key.Key_N)
    assert panel.session.scan == names[-3]


def test_nobody_decides_behind_another_dock(panel: Any) -> None:
    """A letter that decides needs the row of the mask in sight."""
    viewer = panel.session.viewer
    other = QWidget()
    viewer.window.add_dock_widget(other, name="Another plugin", area="right", tabify=True)
    process_events()
    canvas_of(viewer).setFocus()
    type_letters(panel)
    assert decided(panel) == {}
    said = [record.message for record in notification_manager.records]
    assert [text for text in said if "R did nothing: SingleStrip is hidden" in text]
    viewer.window.remove_dock_widget(other)
    process_events()
    press_key(viewer, Qt.Key.Key_R)
    assert list(decided(panel).values()) == ["rejected"]
