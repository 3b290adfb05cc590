"""napari's own panels are folded away while our dock is open, and come back as they were."""

from __future__ import annotations

from typing import Any

import pytest
from gui_fixtures import click, process_events, wait_until
from qtpy.QtWidgets import QDockWidget

from napari_singlestrip.widgets.dock import napari_panels
from napari_singlestrip.widgets.dock.main_widget import StripWidget
from napari_singlestrip.widgets.viewer.napari_private import panels_of

pytest_plugins = ("gui_fixtures",)


def seen(viewer: Any) -> list[bool]:
    """Whether napari's panels can be seen."""
    return [not dock.isHidden() for dock in panels_of(viewer)]


def open_dock(viewer: Any) -> StripWidget:
    """Open our dock from napari's menu."""
    _, dock = viewer.window.add_plugin_dock_widget("napari-singlestrip", "SingleStrip")
    process_events()
    assert isinstance(dock, StripWidget)
    return dock


def test_panels_are_folded_and_come_back_with_the_end_of_the_dock(viewer: Any) -> None:
    assert seen(viewer) == [True, True]
    assert viewer.window._qt_viewer.show_welcome_screen
    dock = open_dock(viewer)
    assert seen(viewer) == [False, False]
    assert not viewer.window._qt_viewer.show_welcome_screen
    dock.close_all()
    assert seen(viewer) == [True, True]
    assert viewer.window._qt_viewer.show_welcome_screen


def test_a_layout_that_napari_restores_leaves_them_folded(viewer: Any) -> None:
    """napari puts back its layout once docks are there, and its panels were in sight at its end."""
    main = viewer.window._qt_window
    layout = main.saveState()
    main.hide()  # as napari is while it opens the dock that its command line asks for
    dock = open_dock(viewer)
    main.restoreState(layout)
    assert seen(viewer) == [True, True]
    main.show()
    wait_until(lambda: seen(viewer) == [False, False], "the fold")
    dock.close_all()
    assert seen(viewer) == [True, True]


def test_what_a_person_had_hidden_stays_hidden(viewer: Any) -> None:
    main = viewer.window._qt_window
    main.findChild(QDockWidget, "layer list").hide()
    open_dock(viewer).close_all()
    assert seen(viewer) == [True, False]


def test_one_click_brings_them_back_and_is_remembered(viewer: Any) -> None:
    dock = open_dock(viewer)
    assert not dock.panels_button.isChecked()
    click(dock.panels_button)
    assert seen(viewer) == [True, True]
    assert dock.panels_button.isChecked()
    dock.close_all()
    again = StripWidget(viewer)
    viewer.window.add_dock_widget(again, name="again", area="right")
    process_events()
    assert seen(viewer) == [True, True]
    assert again.panels_button.isChecked()
    click(again.panels_button)
    assert seen(viewer) == [False, False]


@pytest.mark.parametrize(("low", "tabs"), [(10_000, True), (0, False)])
def test_a_low_screen_gets_them_as_tabs(
    viewer: Any, monkeypatch: pytest.MonkeyPatch, low: int, tabs: bool
) -> None:
    monkeypatch.setattr(napari_panels, "LOW", low)
    dock = open_dock(viewer)
    click(dock.panels_button)
    main = viewer.window._qt_window
    controls = main.findChild(QDockWidget, "layer controls")
    assert bool(main.tabifiedDockWidgets(controls)) == tabs
    dock.close_all()
    process_events()
    assert not main.tabifiedDockWidgets(controls)


def test_napari_writes_down_its_own_panels(viewer: Any) -> None:
    """What napari stores when it closes must not be our folded state."""
    open_dock(viewer)
    main = viewer.window._qt_window
    stored: list[list[bool]] = []
    ours = main._save_current_window_settings

    def store() -> None:
        stored.append(seen(viewer))
        ours()

    main._save_current_window_settings = store
    viewer.close()
    assert stored == [[True, True]]
