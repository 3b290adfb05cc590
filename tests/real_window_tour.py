"""Drives napari as a person starts it, in a process of its own, and says what of our dock is cut.

    python tests/real_window_tour.py PLAN.json

The screen and its scale are fixed when a process starts, so each screen needs its own; see
`real_window`, which starts it and reads the JSON that it writes.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cut_controls import CONTROLS, box_words, cut_text, is_folded, is_part, name_of
from qtpy.QtCore import QEvent, QPoint, QRect, Qt, QTimer
from qtpy.QtGui import QAction
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLabel, QScrollArea, QWidget

from napari_singlestrip.widgets.common.controls import LEVELS
from napari_singlestrip.widgets.viewer.brush import KEYS as TOOLS

SETTLE_MS = 120
TUNED = ("tuned", "guided")  # states with the mask of a previous round
MARGIN = 12  # of the dock, at most, in pixels
# What a step is there for: to be seen without scrolling, where it is there at all.
PRIMARY = {
    "scans": ("add_folder", "open_study"),
    "paint": (*(f"tool_{mode}" for mode in TOOLS), "interpolate", "grow", "follow", "keep_largest",
              "fill_holes", "copy_slice", "undo", "redo", "adjust", "paint_done"),
    "train": ("train",),
    "review": ("accept", "corrected", "reject", "next", "expected_line", "places_words", "doubts",
               "before_after_slider", "toggle_paint_tools", "finetune"),
    "apply": ("apply", "export_masks", "export_model", "write_report"),
}
LONG = ("The job stopped: /a/rather/long/path/to/a/study/of_somebody/scans/sub-0123456789_ses-02_"
        "acq-mprage_run-01_T1w.nii.gz could not be read (it ends after 1,234,567 of 9,876,543 "
        "bytes). Copy it again, or take it out of the study.")


class Tour:
    """Walks through the states and steps of a plan.

    Parameters
    ----------
    plan : dict
        "arguments" of napari; whether to open the dock with the "menu"; "visits", each with a
        "state", a "study" and a "scan"; "images", a folder; "keep_state", of napari's window;
        "then", what is done at the end: a method of this class; "expected", whether the Dice to
        expect is that of the tables, as it would be after a real training.
    """

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.found: list[str] = []
        self.facts: dict[str, Any] = {}
        self.where = ""

    def begin(self, timer: QTimer) -> None:
        """Go once napari's window is shown; until then napari reads its arguments."""
        import napari

        if napari.current_viewer() is not None and self.window.isVisible():
            timer.stop()
            self.go()

    def go(self) -> None:
        """Visit everything, write what was found, and leave."""
        failed = ""
        try:
            self._open()
            for visit in self.plan.get("visits", []):
                self._visit(**visit)
            for name in self.plan.get("then", []):
                getattr(self, name)()
        except Exception:  # noqa: BLE001 - told to the test, which fails
            failed = traceback.format_exc()
        answer = {"found": self.found, "facts": self.facts, "failed": failed}
        Path(self.plan["answer"]).write_text(json.dumps(answer))
        if failed:
            os._exit(1)
        self.dock.session.close_study()
        self.window.close()
        os._exit(0)

    # --- the window

    @property
    def window(self) -> QWidget:
        """napari's window."""
        import napari

        viewer = napari.current_viewer()
        assert viewer is not None
        found: QWidget = viewer.window._qt_window
        return found

    @property
    def dock(self) -> Any:
        """Our dock."""
        import napari

        from napari_singlestrip.widgets.dock.find_dock import find_dock

        return find_dock(napari.current_viewer())

    def _open(self) -> None:
        from napari.settings import get_settings

        from napari_singlestrip.widgets.review import expected_live

        wait_until(lambda: self.window.isVisible(), "the window")
        if self.plan.get("expected"):
            setattr(expected_live, "filled", lambda row, *_known: row)  # noqa: B010
        get_settings().application.save_window_state = bool(self.plan.get("keep_state"))
        QTest.qWait(400)  # the window manager places it
        if self.plan.get("menu"):
            self._menu("SingleStrip")
        wait_until(lambda: self.dock is not None and self.dock.isVisible(), "the dock")
        QTest.qWait(400)
        self.facts["needs"] = {
            step: panel.minimumSizeHint().width() for step, panel in self.dock.panels.items()
        }
        self.facts["napari_panels"] = self.dock.napari_panels.shown
        self.facts["window"] = list(self.window.frameGeometry().getRect())
        self.facts["welcome"] = self._picture_of_start()

    def _menu(self, text: str) -> None:
        import napari

        viewer = napari.current_viewer()
        assert viewer is not None
        menu = viewer.window.plugins_menu
        menu.aboutToShow.emit()
        found = [a for a in menu.findChildren(QAction) if a.text().startswith(text)]
        found = found or [a for m in menu.actions() for a in _actions(m) if text in a.text()]
        assert found, [a.text() for a in menu.actions()]
        found[0].trigger()

    def _picture_of_start(self) -> bool:
        self.where = "start"
        self.check()
        self.picture("start")
        return True

    # --- states

    def _visit(self, state: str, study: str = "", scan: str = "", demo: str = "") -> None:
        session = self.dock.session
        if demo:
            self.dock.guide.begin(Path(demo))
        elif study:
            session.open_study(study)
        else:
            session.close_study()
        QTest.qWait(SETTLE_MS)
        if scan:
            session.show_scan(scan)
        getattr(self, f"_make_{state}", lambda: None)()
        for step in self.plan.get("steps", self.dock.panels):
            session.step_requested.emit(step)
            QTest.qWait(SETTLE_MS)
            if step == "review" and self.dock.panel.review.rows:
                wait_until(lambda: self._knows_all(state in TUNED), "places and changes")
                QTest.qWait(SETTLE_MS)
            self.where = f"{state}, {step}"
            self.check()
            if self.plan.get("above_fold") and state in ("painted", "reviewed", *TUNED):
                self._check_fold(step)
            self.picture(f"{state}_{step}")
        getattr(self, f"_end_{state}", lambda: None)()

    def _knows_all(self, is_tuned: bool) -> bool:
        """Whether the step says of the mask on screen what is found in the background."""
        panel = self.dock.panel
        said = "overlap" in panel.layers.before.says.text() or not is_tuned
        return said and panel.doubts.found is not None and bool(panel.layers.words.text())

    def _make_running(self) -> None:
        from napari_singlestrip.vocabulary import FIRST_STAGES
        from napari_singlestrip.widgets.session.job_process import JobStatus

        job = self.dock.session.job
        job._set(JobStatus(
            "running", "run", "autoencoder", 123, 1200, 3725.0, began=time.monotonic(),
            device="NVIDIA H100 80GB HBM3", stages=FIRST_STAGES,
        ))  # fmt: skip

    def _end_running(self) -> None:
        from napari_singlestrip.widgets.session.job_process import JobStatus

        self.dock.session.job._set(JobStatus())

    def _end_guided(self) -> None:
        self.dock.guide.end()

    def _make_failed(self) -> None:
        from napari_singlestrip.events import Failed

        self.dock.session.job_event.emit(Failed(LONG, "Free some space, then start again."))

    # --- what is done at the end

    def behind_another(self) -> None:
        """Put another dock in front of ours, as plugins do, and go back."""
        import napari

        viewer, frame = napari.current_viewer(), self.dock.parentWidget()
        assert viewer is not None
        other = QLabel("Another plugin")
        viewer.window.add_dock_widget(other, area="right", tabify=True)
        QTest.qWait(4 * SETTLE_MS)
        self.facts["hidden"] = self.dock.visibleRegion().isEmpty()
        frame.raise_()
        self._look("beside another dock")
        viewer.window.remove_dock_widget(other)

    def unfold_and_turn(self) -> None:
        """Bring napari's panels back, and look at the head in 3D: each needs more room."""
        self.dock.session.step_requested.emit("paint")
        QTest.mouseClick(self.dock.panels_button, Qt.MouseButton.LeftButton)
        self._look("napari's panels")
        QTest.keyClick(_canvas(), Qt.Key.Key_D)
        self._look("3D")
        QTest.keyClick(_canvas(), Qt.Key.Key_D)
        QTest.mouseClick(self.dock.panels_button, Qt.MouseButton.LeftButton)
        self._look("folded again")

    def close_and_open_again(self) -> None:
        """Close the dock and open it from the menu: it is as large as before."""
        before = self.dock.size()
        folded = self.dock.napari_panels.shown
        self.dock.parentWidget().title.close_button.click()
        wait_until(lambda: self.dock is None, "the end of the dock")
        QTest.qWait(SETTLE_MS)
        self._menu("SingleStrip")
        wait_until(lambda: self.dock is not None and self.dock.isVisible(), "the dock")
        self._look("opened again")
        after = self.dock.size()
        lower = after.height() < before.height() - 20
        if lower or (before.width(), folded) != (after.width(), self.dock.napari_panels.shown):
            self.found.append(f"the dock was {before}, and is {after} when it is opened again")

    def press_all_keys(self) -> None:
        """Press every key of the help."""
        from real_window_keys import Keyboard

        Keyboard(self).press_all()

    def as_a_newcomer(self) -> None:
        """Go from the empty window to ranked masks."""
        from real_window_newcomer import Newcomer

        Newcomer(self).walk()

    def _look(self, where: str) -> None:
        QTest.qWait(4 * SETTLE_MS)
        self.where = where
        self.check()
        self.picture(where.replace(" ", "_"))

    # --- what is cut

    def check(self) -> None:
        """Note each control that is cut or off the screen, and each text that is cut off."""
        QApplication.processEvents()
        for _ in range(LEVELS):  # what a thread said in the last moment has no room yet
            QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest.value)
        for text in (*self._of_window(), *self._of_controls()):
            self.found.append(f"{self.where}: {text}")
        self.facts.setdefault("widths", {})[self.where] = self.dock.width()

    def _of_window(self) -> Iterator[str]:
        screen = self.window.screen()
        assert screen is not None
        room, frame = screen.availableGeometry(), self.window.frameGeometry()
        least = min(room.width(), 1200), min(room.height(), 700)
        if frame.width() < least[0] or frame.height() < least[1]:
            yield f"the window {box_words(frame)} is small on the screen {box_words(room)}"
        if not room.contains(frame):
            yield f"the window {box_words(frame)} is not within the screen {box_words(room)}"
        dock = QRect(self.dock.mapToGlobal(QPoint()), self.dock.size())
        if not room.contains(dock):
            yield f"the dock {box_words(dock)} is not within the screen {box_words(room)}"
        below = self.dock.height() - self.dock.job_bar.geometry().bottom()
        if below > MARGIN:
            yield f"{below} pixels of the dock below the job bar are empty"

    def _of_controls(self) -> Iterator[str]:
        for widget in self.dock.findChildren(QWidget):
            seen = isinstance(widget, CONTROLS) and widget.isVisible()
            if seen and not is_part(widget) and not is_folded(widget, self.dock):
                for text in (*self._outside(widget), *cut_text(widget)):
                    yield f"{name_of(widget)} {text}"

    def _outside(self, widget: QWidget) -> Iterator[str]:
        """Say where it reaches out of what holds it; below the fold of a page it may be."""
        above = widget.parentWidget()
        while above is not None and above is not self.window:
            at = QRect(widget.mapTo(above, QPoint()), widget.size())
            scrolls = isinstance(above.parentWidget(), QScrollArea)
            if at.left() < 0 or at.right() >= above.width():
                yield f"is at {box_words(at)} in {above.width()} pixels of {name_of(above)}"
                return
            if not scrolls and (at.top() < 0 or at.bottom() >= above.height()):
                yield f"is at {box_words(at)} in a height of {above.height()} of {name_of(above)}"
                return
            if scrolls:
                return
            above = above.parentWidget()

    def _check_fold(self, step: str) -> None:
        """Note what a step is there for and one has to scroll to."""
        panel, page = self.dock.panels[step], self.dock.stack.currentWidget().viewport()
        if step == "review" and panel.review.rows:
            table = panel.table
            rows = table.viewport().height() // table.rowHeight(0)
            self.facts.setdefault("rows", {})[self.where] = rows
        whole = page.rect()
        low, high = (0 if p is None else p.height() for p in (panel.header, panel.footer))
        for name in PRIMARY[step]:
            widget = panel.findChild(QWidget, name)
            if widget is not None and widget.isVisible():
                self.facts.setdefault("above", []).append(f"{step}, {name}")
                at = QRect(widget.mapTo(page, QPoint()), widget.size())
                pinned = (panel.header, panel.footer)
                is_pinned = any(p is not None and p.isAncestorOf(widget) for p in pinned)
                seen = whole if is_pinned else whole.adjusted(0, low, 0, -high)
                if not seen.contains(at):
                    self.found.append(f"{self.where}: {name} is at {box_words(at)}, below the fold")

    # --- images

    def picture(self, name: str) -> None:
        """Take one of the screen, where pictures are asked for."""
        folder = self.plan.get("pictures")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            screen = QApplication.primaryScreen()
            assert screen is not None
            screen.grabWindow().save(f"{folder}/{name}.png")


def _canvas() -> QWidget:
    import napari

    from napari_singlestrip.widgets.viewer.napari_private import canvas_of

    canvas = canvas_of(napari.current_viewer())
    assert canvas is not None
    return canvas


def _actions(action: Any) -> list[Any]:
    if action.menu() is None:
        return [action]
    return [below for one in action.menu().actions() for below in _actions(one)]


def wait_until(true: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Let Qt run until something is true."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        QTest.qWait(20)


def main() -> None:
    """Start napari as its command does, and the tour once it runs."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    from napari.qt import get_qapp

    get_qapp()
    tour = Tour(plan)  # a name of its own: a timer does not keep it alive
    timer = QTimer()
    timer.timeout.connect(lambda: tour.begin(timer))
    timer.start(100)
    sys.argv = ["napari", *plan.get("arguments", [])]
    from napari.__main__ import main as start

    start()


if __name__ == "__main__":
    main()
