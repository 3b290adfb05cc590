"""Keys: each reaches the method of the step that is open, once, and rests while somebody types."""

from __future__ import annotations

from typing import Any

import pytest
from gui_fixtures import canvas_of, press_key, process_events
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLineEdit, QPlainTextEdit, QSpinBox, QWidget

from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.dock.help_dialog import HelpDialog
from napari_singlestrip.widgets.dock.keys import KEYS, Key
from napari_singlestrip.widgets.session.session import STEPS

pytest_plugins = ("gui_fixtures",)

NONE, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier


def qt_key(key: Key) -> tuple[Qt.Key, Qt.KeyboardModifier]:
    """The key as Qt calls it."""
    letter = key.key.split("-")[-1]
    shifted = SHIFT if "Shift" in key.key or letter == "?" else NONE
    return (Qt.Key.Key_Question if letter == "?" else Qt.Key[f"Key_{letter}"]), shifted


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


def test_each_key_is_pressed_on_the_canvas_and_calls_its_method_once(
    window: Any, ranked_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    window.session.take_study(ranked_study)
    window.session.show_scan(ranked_study.names[1])
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

    monkeypatch.setattr(window.panels["review"], "hold_heat", hold)
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


def test_question_mark_shows_the_keys(window: Any) -> None:
    press_key(window.viewer, Qt.Key.Key_Question, SHIFT)
    (dialog,) = window.findChildren(HelpDialog)
    assert dialog.isVisible()
    dialog.close()
    process_events()
    assert not window.findChildren(HelpDialog)


def test_keys_are_given_back(window: Any) -> None:
    viewer = window.viewer
    assert len(viewer.keymap) >= len(KEYS)
    window.close_all()
    assert not viewer.keymap
