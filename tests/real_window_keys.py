"""Every key of the help, pressed in a real window; part of `real_window_tour`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from qtpy.QtCore import QPoint
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget
from real_window_tour import Tour, _canvas, wait_until

from napari_singlestrip.widgets.viewer.brush import KEYS as TOOLS
from napari_singlestrip.widgets.viewer.own_layers import BEFORE, DOUBTS, PSEUDO_LABEL

SECONDS = 30  # a busy machine
KEYSYMS = {"=": "equal", ".": "period", ",": "comma", "[": "bracketleft", "]": "bracketright"}
Probe = Callable[[], Any]


class Keyboard:
    """Presses keys, and notes each that changes nothing.

    Parameters
    ----------
    tour : Tour
        With "studies" in its plan: "ranked", and "tuned" after a second round.
    """

    def __init__(self, tour: Tour) -> None:
        self.tour = tour
        self.pressed: list[str] = []

    def press_all(self) -> None:
        """Press the keys of all steps."""
        self._open("ranked", "review")
        self._in_review()
        self._in_the_note()
        self._of_the_dock()
        self._of_the_picture()
        self._open("tuned", "review")
        self._hold("q", BEFORE)
        self._open("ranked", "paint")
        self._take_tools()
        self._in_paint()
        self.tour.facts["pressed"] = self.pressed

    # --- by step

    def _in_review(self) -> None:
        review, session = self.dock.panels["review"], self.dock.session
        wait_until(lambda: review.places.places, "places to check")
        self._expect("Tab", lambda: review.places.current)
        self._expect("Right", lambda: session.layers.viewpoint.point)  # away from the only place
        self._expect("shift+Tab", lambda: session.layers.viewpoint.point)
        for key, layer in (("h", DOUBTS), ("u", PSEUDO_LABEL)):
            review.layers.doubt.setChecked(False)
            self._hold(key, layer)
        self._expect("shift+n", lambda: session.scan)
        self._expect("n", lambda: session.scan)
        for key in ("a", "r"):
            self._expect(key, self._decisions)
            self._expect("ctrl+z", self._decisions)
        self._expect("s", lambda: self.dock.job_bar.message.text())
        self._twice("shift+g", lambda: review.gallery.isVisible())

    def _in_the_note(self) -> None:
        """Letters are text there, and decide again after Esc or Enter."""
        note, before = self.dock.panels["review"].decisions.note, self._decisions()
        for leave in ("Escape", "Return"):
            self._click(note)
            self._press("End")
            for key in ("a", "r", "s"):
                self._expect(key, note.text)
            self._expect(leave, QApplication.focusWidget)
            if self._decisions() != before or not note.text().endswith("ars"):
                self._note(f"typing a note, then {leave}: it holds {note.text()!r}")
        self._expect("a", self._decisions)
        self._expect("ctrl+z", self._decisions)

    def _of_the_dock(self) -> None:
        self._expect("F6", QApplication.focusWidget)
        self._expect("ctrl+Tab", QApplication.focusWidget)
        self._expect("ctrl+shift+Tab", QApplication.focusWidget)
        self._expect("F6", QApplication.focusWidget)
        self._twice("question", self._has_help)
        self._expect("question", self._has_help)
        self._expect("Escape", self._has_help)

    def _of_the_picture(self) -> None:
        dims, panes = self.viewer.dims, self.dock.panes
        self._twice("o", lambda: self.brush.outline)
        self._twice("d", lambda: dims.ndisplay)
        self._twice("k", lambda: panes.wants_four)
        self._twice("shift+k", lambda: panes.enlarged)
        self._expect("Right", lambda: dims.current_step)
        self._expect("Left", lambda: dims.current_step)
        self._expect("ctrl+e", lambda: dims.order)

    def _take_tools(self) -> None:
        for mode, key in sorted(TOOLS.items(), key=lambda item: item[0] == "lasso"):
            self._press(KEYSYMS.get(key, key.lower()))
            self._wait(partial(self._has_tool, mode), f"{key} takes {mode}")
        for key in ("bracketright", "bracketleft"):
            self._expect(key, lambda: self.brush.diameter_mm)

    def _in_paint(self) -> None:
        panel, layers = self.dock.panels["paint"], self.dock.session.layers
        self._twice("t", panel.tools.brush.in_range.isChecked)
        self._twice("y", panel.tools.adjust.isVisible)
        mask = layers.editing.mask_on_display()
        assert mask is not None
        used = np.flatnonzero(mask.any(axis=(1, 2)))
        mask[used[2] + 1 : used[-3]] = False
        layers.editing.change(mask)
        for key in ("i", "ctrl+z", "ctrl+shift+z"):
            self._expect(key, lambda: layers.editing.mask_on_display().sum())
        for key in ("period", "comma", "w", "g"):
            self._expect(key, self._done)

    # --- probes

    @property
    def dock(self) -> Any:
        return self.tour.dock

    @property
    def viewer(self) -> Any:
        return self.dock.viewer

    @property
    def brush(self) -> Any:
        return self.dock.session.layers.brush

    def _decisions(self) -> dict[str, str]:
        found = self.dock.session.need_study().decisions.all()
        return {name: one.state for name, one in found.items()}

    def _has_tool(self, mode: str) -> bool:
        return bool(self.brush.mode == mode)

    def _is_shown(self, layer: str, seen: bool) -> bool:
        return bool(self.dock.session.layers.overlays.has(layer)) == seen

    def _has_help(self) -> bool:
        return any(w.isVisible() for w in self.dock.findChildren(QWidget, "help_dialog"))

    def _done(self) -> tuple[Any, ...]:
        """What a tool may change: mask, slice, set slices, or what is said."""
        session = self.dock.session
        says = self.dock.panels["paint"].tools.set_slices.findChildren(QWidget)
        return (int(session.layers.editing.mask_on_display().sum()), session.layers.viewpoint.point,
                self.dock.job_bar.message.text(),
                tuple(getattr(w, "text", str)() for w in says))

    # --- the hand

    def _open(self, study: str, step: str) -> None:
        session = self.dock.session
        session.open_study(self.tour.plan["studies"][study])
        session.step_requested.emit(step)
        session.show_scan(session.need_study().scans.names[-1])
        QTest.qWait(400)
        self._click(_canvas(), 2)  # the left button would draw

    def _click(self, widget: QWidget, button: int = 1) -> None:
        at = widget.mapToGlobal(QPoint(10, 10))
        _xdotool("mousemove", str(at.x()), str(at.y()), "click", str(button))
        QTest.qWait(200)

    def _press(self, key: str) -> None:
        self.pressed.append(key)
        _xdotool("key", key)

    def _expect(self, key: str, probe: Probe) -> None:
        before = probe()
        self._press(key)
        self._wait(lambda: probe() != before, f"{key} in {self.dock.session.step}")

    def _twice(self, key: str, probe: Probe) -> None:
        """Press a key that goes there and back."""
        self._expect(key, probe)
        self._expect(key, probe)

    def _hold(self, key: str, layer: str) -> None:
        self.pressed.append(key)
        for action, seen in (("keydown", True), ("keyup", False)):
            _xdotool(action, key)
            self._wait(partial(self._is_shown, layer, seen), f"{layer} at {action} {key}")

    def _wait(self, true: Callable[[], object], what: str) -> None:
        try:
            wait_until(true, what, SECONDS)
        except TimeoutError:
            self._note(f"{what}: nothing happened")
        QTest.qWait(50)

    def _note(self, what: str) -> None:
        self.tour.found.append(what)


def _xdotool(*words: str) -> None:
    subprocess.run(["xdotool", *words], check=True)
