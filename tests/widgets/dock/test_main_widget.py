"""The dock: its steps and header, what is dropped on it, and that nothing stays when it closes."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from gui_fixtures import SCREEN, child, click, close_viewer, process_events, wait_until
from qtpy.QtCore import QEvent, QMimeData, QObject, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QPushButton
from superqt import QCollapsible

from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.dock import main_widget
from napari_singlestrip.widgets.dock.main_widget import MAX_WIDTH, StripWidget
from napari_singlestrip.widgets.session import job_process as job_module
from napari_singlestrip.widgets.session.session import STEPS

pytest_plugins = ("gui_fixtures",)

PLUGIN, DOCK = "napari-singlestrip", "SingleStrip"


@pytest.fixture
def long_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that does nothing until it is told to stop, or its input ends."""
    program = 'import sys; print(\'{"type": "started", "stage": "train"}\', flush=True)\n' + (
        "sys.stdin.readline()"
    )
    monkeypatch.setattr(job_module, "local_command", lambda: [sys.executable, "-c", program])


def start_job(window: StripWidget) -> psutil.Process:
    """Start the long job and return its process."""
    window.session.start_job(["run"], "run")
    wait_until(lambda: window.session.job.pid > 0, "the job's process")
    return psutil.Process(window.session.job.pid)


def test_steps_open_by_mouse(window: StripWidget) -> None:
    for step in STEPS:
        click(child(window, f"step_{step}"))
        assert window.session.step == step
        assert window.panel is window.panels[step]
        assert window.panel.isVisible()
        others = [panel for name, panel in window.panels.items() if name != step]
        assert not any(panel.isVisible() for panel in others)


def test_dock_fits_a_small_screen(window: StripWidget, ranked_study: Study) -> None:
    window.session.take_study(ranked_study)
    main = window.viewer.window._qt_window
    for step in STEPS:
        window.go_to(step)
        process_events()
        assert window.width() <= MAX_WIDTH
        assert (main.width(), main.height()) == (1366, 768)
        for button in window.findChildren(QPushButton):
            if button.isVisible():
                right = button.mapTo(window, button.rect().bottomRight()).x()
                assert right <= window.width(), f"{button.objectName()} in {step} is cut off"


def test_window_that_is_larger_than_the_screen_shrinks_when_the_dock_opens(
    viewer: Any, ranked_study: Study
) -> None:
    """napari opens its window as large as it was on another computer."""
    main = viewer.window._qt_window
    main.resize(1900, 900)
    main.move(100, 50)
    process_events()
    assert main.width() == 1900
    dock = StripWidget(viewer)
    viewer.window.add_dock_widget(dock, name="SingleStrip", area="right")
    wait_until(lambda: main.width() == SCREEN[0], "the window to fit")
    assert (main.x(), main.y(), main.height()) == (0, 0, SCREEN[1])
    dock.session.take_study(ranked_study)
    dock.session.show_scan(ranked_study.scans.names[1])
    for step in STEPS:
        dock.go_to(step)
        process_events()
        assert (main.width(), main.height()) == (1366, 768)


def test_window_with_a_scan_fits_a_screen_of_1024_by_720(
    viewer: Any, ranked_study: Study
) -> None:
    dock = StripWidget(viewer)
    viewer.window.add_dock_widget(dock, name="SingleStrip", area="right")
    dock.session.take_study(ranked_study)
    dock.session.show_scan(ranked_study.scans.names[1])
    main = viewer.window._qt_window
    for step in STEPS:
        dock.go_to(step)
        main.resize(1024, 720)
        process_events()
        assert (main.width(), main.height()) == (1024, 720), step


def test_every_control_says_what_it_does(window: StripWidget, ranked_study: Study) -> None:
    window.session.take_study(ranked_study)
    for step in STEPS:
        window.go_to(step)
        process_events()
        seen = [button for button in window.findChildren(QPushButton) if button.isVisible()]
        assert len(seen) > len(STEPS)
        # Qt shows a parent's tooltip where there is none: so it is with superqt's sections.
        silent = [b.objectName() or b.text() for b in seen if not (b.toolTip() or _tip_above(b))]
        nameless = [b.text() for b in seen if not (b.objectName() or _name_above(b))]
        assert (silent, nameless) == ([], []), step


def _tip_above(button: QPushButton) -> str:
    parent = button.parentWidget()
    return parent.toolTip() if isinstance(parent, QCollapsible) else ""


def _name_above(button: QPushButton) -> str:
    parent = button.parentWidget()
    return parent.objectName() if isinstance(parent, QCollapsible) else ""


def test_header_names_the_study_and_counts_its_scans(
    window: StripWidget, ranked_study: Study
) -> None:
    assert window.header.text() == "No study is open"
    window.session.take_study(ranked_study)
    assert window.header.text().startswith("ranked  ·  4 scans")
    assert window.header.toolTip() == str(ranked_study.folder)
    window.session.show_scan(ranked_study.scans.names[1])
    mask: Any = window.session.layers.editing.mask_on_display()
    window.session.layers.editing.change(~mask)
    assert "saved 0 s ago" in window.header.text()
    window.session.close_study()
    assert window.header.text() == "No study is open"


def test_long_name_does_not_widen_the_dock(
    window: StripWidget, ranked_study: Study, tmp_path: Path
) -> None:
    folder = tmp_path / ("a very long name of a study " * 5)
    ranked_study.folder.rename(folder)
    window.session.open_study(folder)
    process_events()
    assert window.width() <= MAX_WIDTH
    right = window.help.mapTo(window, window.help.rect().bottomRight()).x()
    assert right <= window.width()


def test_study_is_opened_by_dropping_its_folder(window: StripWidget, ranked_study: Study) -> None:
    window.go_to("train")
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(ranked_study.folder))])
    how = Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(50, 50), *how)
    QApplication.sendEvent(window, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(window, QDropEvent(QPointF(50, 50), *how))
    wait_until(lambda: window.session.study is not None, "the study")
    assert window.session.study is not None
    assert window.session.study.folder == ranked_study.folder


# --- the end


def test_nothing_stays_when_the_window_closes(
    window: StripWidget, ranked_study: Study, long_job: None
) -> None:
    window.session.take_study(ranked_study)
    window.session.show_scan(ranked_study.scans.names[1])
    process = start_job(window)
    close_viewer(window.viewer)
    assert not process.is_running()  # what else may stay is looked at by `leaks`


def test_person_may_stay_when_napari_asks(window: StripWidget, ranked_study: Study) -> None:
    """napari asks before it closes; the dock must live on when the answer is no."""
    window.session.take_study(ranked_study)
    window.session.show_scan(ranked_study.scans.names[1])
    main = window.viewer.window._qt_window
    stay = _Stay()
    main.closeEvent, kept = stay, main.closeEvent
    main.close()
    assert stay.asked == 1
    assert window.session.study is not None
    assert window.session.scan == ranked_study.scans.names[1]
    main.closeEvent = kept


class _Stay(QObject):
    """Stands in for napari's question, answered with no."""

    asked = 0

    def __call__(self, event: QEvent) -> None:
        self.asked += 1
        event.ignore()


def _dock(viewer: Any) -> tuple[Any, StripWidget]:
    frame, dock = viewer.window.add_plugin_dock_widget(PLUGIN, DOCK)
    process_events()
    assert isinstance(dock, StripWidget)
    return frame, dock


def test_close_button_of_the_dock_ends_it_and_the_menu_brings_a_new_one(
    viewer: Any, ranked_study: Study, long_job: None
) -> None:
    frame, dock = _dock(viewer)
    dock.session.take_study(ranked_study)
    dock.session.show_scan(ranked_study.scans.names[1])
    process = start_job(dock)
    click(frame.title.close_button)
    wait_until(lambda: not process.is_running(), "the end of the job")
    assert not viewer.layers
    _, again = _dock(viewer)
    assert again is not dock
    assert again.session.study is None
    again.session.open_study(ranked_study.folder)
    assert again.session.scan == ranked_study.scans.names[1]


def test_hidden_dock_goes_on(viewer: Any, ranked_study: Study, long_job: None) -> None:
    frame, dock = _dock(viewer)
    dock.session.take_study(ranked_study)
    process = start_job(dock)
    click(frame.title.hide_button)
    assert not dock.isVisible()
    assert process.is_running()
    frame.show()
    assert dock.isVisible()
    assert dock.session.study is ranked_study


def test_slow_parts_are_imported_once_the_dock_is_drawn(
    viewer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported: list[bool] = []
    monkeypatch.setattr(main_widget, "import_slow_parts", lambda: imported.append(True))
    monkeypatch.setattr(main_widget, "IMPORTS_AFTER_MS", 3000)  # longer than a slow machine draws
    _, dock = _dock(viewer)
    assert not imported
    wait_until(lambda: imported)
    dock.close_all()
    assert not dock._imports.isActive()


def test_floating_dock_goes_on(viewer: Any, ranked_study: Study) -> None:
    frame, dock = _dock(viewer)
    dock.session.take_study(ranked_study)
    for floating in (True, False):
        frame.setFloating(floating)
        process_events()
        assert dock.session.study is ranked_study


def test_one_part_that_fails_to_close_does_not_keep_the_others(
    window: StripWidget, ranked_study: Study, long_job: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    window.session.take_study(ranked_study)
    process = start_job(window)
    monkeypatch.setattr(window.panes, "close_all", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        window.close_all()
    assert not process.is_running()
    assert window.session.study is None


def test_clock_ticks_only_while_the_dock_lives(window: StripWidget, ranked_study: Study) -> None:
    window.session.take_study(ranked_study)
    window._saved_at = time.monotonic() - 59
    wait_until(lambda: re.search(r"saved [67]\d s ago", window.header.text()), "two ticks")
    window.close_all()
    assert not window._clock.isActive()
