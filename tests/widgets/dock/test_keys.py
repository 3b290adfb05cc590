"""Keys: each reaches the method of the step that is open, once, and rests while somebody types."""

from __future__ import annotations

import re
from typing import Any

import pytest
from gui_fixtures import canvas_of, click, press_key, process_events
from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLabel, QLineEdit, QPlainTextEdit, QSpinBox, QWidget

from napari_singlestrip.glossary import TERMS
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.dock.help_dialog import HelpDialog
from napari_singlestrip.widgets.dock.keys import KEYS, MOUSE, NAPARI_KEYS, Key
from napari_singlestrip.widgets.session.session import STEPS
from napari_singlestrip.widgets.viewer.brush import KEYS as TOOL_KEYS

pytest_plugins = ("gui_fixtures",)

NONE, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier


def qt_key(key: Key) -> tuple[Qt.Key, Qt.KeyboardModifier]:
    """The key as Qt calls it."""
    letter = key.key.split("-")[-1]
    shifted = SHIFT if "Shift" in key.key or letter == "?" else NONE
    name = {"?": "Question", ".": "Period", ",": "Comma"}.get(letter, letter)
    return Qt.Key[f"Key_{name}"], shifted


def answering(window: Any, key: Key) -> list[tuple[str, Any]]:
    """Steps in which a key does something, each with the object that has its method."""
    if key.step == "window":
        return [("paint", window)]
    steps = [key.step] if key.step else list(STEPS)
    return [(s, window.panels[s]) for s in steps if hasattr(window.panels[s], key.method)]


def test_every_key_has_a_method_somewhere(window: Any) -> None:
    for key in KEYS:
        assert answering(window, key), f"{key.key}: no step has {key.method}"
        if key.step:
            assert key.step in (*STEPS, "window")


def test_no_key_has_two_meanings(window: Any) -> None:
    """Ours, those of the tools in the hand, and what napari does while a mask is active."""
    tools = [(key, mode) for mode, key in TOOL_KEYS.items()]
    of_napari = [(key, words) for keys, words in NAPARI_KEYS for key in re.split(r", | and ", keys)
                 if key not in TOOL_KEYS.values() and key not in ("Enter", "Esc", "Tab")]
    for step in STEPS:
        ours = [(key.key.replace("-", "+"), key.method) for key in KEYS
                if key.step == "window" or step in dict(answering(window, key))]
        meanings: dict[str, set[str]] = {}
        for key, what in (*ours, *tools, *of_napari):
            meanings.setdefault(key, set()).add(what)
        assert {k: m for k, m in meanings.items() if len(m) > 1} == {}, step


def test_each_key_is_pressed_on_the_canvas_and_calls_its_method_once(
    window: Any, ranked_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    window.session.take_study(ranked_study)
    window.session.show_scan(ranked_study.scans.names[1])
    called: list[str] = []
    for key in KEYS:
        for step, target in answering(window, key):
            window.go_to(step)
            with monkeypatch.context() as patch:
                patch.setattr(target, key.method, lambda k=key: called.append(k.key))
                press_key(window.viewer, *qt_key(key))
            assert called == [key.key], f"{key.key} in {step}"
            called.clear()


def test_key_of_another_step_does_nothing(
    window: Any, ranked_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    window.session.take_study(ranked_study)
    called: list[str] = []
    monkeypatch.setattr(window.panels["review"], "accept", lambda: called.append("A"))
    window.go_to("paint")
    press_key(window.viewer, Qt.Key.Key_A)
    assert called == []


@pytest.mark.parametrize("field", (QLineEdit, QPlainTextEdit, QSpinBox))
def test_keys_rest_while_somebody_types(
    window: Any, monkeypatch: pytest.MonkeyPatch, field: type[QWidget]
) -> None:
    called: list[str] = []
    monkeypatch.setattr(window.panels["review"], "accept", lambda: called.append("A"))
    window.go_to("review")
    typed = field(window)
    typed.show()
    window.viewer.window._qt_window.activateWindow()
    typed.setFocus()
    process_events()
    assert typed.hasFocus()
    press_key(typed, Qt.Key.Key_A)
    assert called == []
    canvas_of(window.viewer).setFocus()
    process_events()
    press_key(window.viewer, Qt.Key.Key_A)
    assert called == ["A"]
    typed.setParent(None)
    typed.deleteLater()


def test_held_key_ends_when_it_is_let_go(window: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def hold() -> Any:
        told.append("down")
        yield
        told.append("up")

    monkeypatch.setattr(window.panels["review"], "hold_doubts", hold)
    window.go_to("review")
    canvas = canvas_of(window.viewer)
    QTest.keyPress(canvas, Qt.Key.Key_H)
    assert told == ["down"]
    QTest.keyRelease(canvas, Qt.Key.Key_H)
    assert told == ["down", "up"]


def test_mistake_of_a_person_is_told(window: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_singlestrip.errors import UserError

    def fail() -> None:
        raise UserError("There is no mask.", "Paint one.")

    told: list[tuple[str, str]] = []
    window.session.told.connect(lambda text, level: told.append((text, level)))
    monkeypatch.setattr(window.panels["review"], "accept", fail)
    window.go_to("review")
    press_key(window.viewer, Qt.Key.Key_A)
    assert told == [("There is no mask. Paint one.", "error")]


def test_question_mark_shows_keys_and_mouse_beside_the_picture(window: Any) -> None:
    press_key(window.viewer, Qt.Key.Key_Question, SHIFT)
    (dialog,) = window.findChildren(HelpDialog)
    assert dialog.height() <= 700  # of a screen of 768
    assert dialog.isVisible()
    canvas = canvas_of(window.viewer)
    picture = QRect(canvas.mapToGlobal(QPoint()), canvas.size())
    covered = picture.intersected(dialog.frameGeometry())
    assert covered.width() < picture.width() / 4
    tabs = dialog.tabs
    assert [tabs.tabText(n) for n in range(tabs.count())] == ["Keys", "Mouse", "Glossary"]
    for n, expected in ((1, {does for _, does in MOUSE}), (2, {term.meaning for term in TERMS})):
        tabs.setCurrentIndex(n)
        process_events()
        said = {label.text() for label in dialog.findChildren(QLabel) if label.isVisible()}
        assert expected <= said
    assert dialog.height() <= 700
    dialog.close()
    process_events()
    assert not window.findChildren(HelpDialog)


@pytest.mark.parametrize("way", ["Esc on the picture", "Esc on the help", "?", "button"])
def test_help_goes_as_easily_as_it_came(window: Any, way: str) -> None:
    click(window.help)
    (dialog,) = window.findChildren(HelpDialog)
    if way == "button":
        click(window.help)
    elif way == "?":
        press_key(window.viewer, Qt.Key.Key_Question, SHIFT)
    else:
        press_key(dialog if "help" in way else window.viewer, Qt.Key.Key_Escape)
    assert not window.findChildren(HelpDialog)


def test_keys_are_given_back(window: Any) -> None:
    viewer = window.viewer
    assert len(viewer.keymap) >= len(KEYS)
    window.close_all()
    assert not viewer.keymap
