"""napari's Preferences, page SingleStrip: what is chosen there is what the window does."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import napari.settings
import pytest
import yaml
from conftest import Heads
from gui_fixtures import child, click, press_key, process_events
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QComboBox, QListWidget

import napari_singlestrip
from napari_singlestrip.engine.config import EFFORTS
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.common import napari_preferences as module
from napari_singlestrip.widgets.common.napari_preferences import (
    DEVICES,
    GROUPS,
    Wishes,
    wish,
    wishes,
)
from napari_singlestrip.widgets.dock.main_widget import StripWidget

pytest_plugins = ("gui_fixtures",)

has_page = pytest.mark.skipif(
    not hasattr(napari.settings, "get_plugin_settings"), reason="napari has no pages of plugins"
)


def open_window(viewer: Any, study: Study) -> StripWidget:
    """Our dock with a scan on screen, opened after the wishes were made."""
    dock = StripWidget(viewer)
    viewer.window.add_dock_widget(dock, name="SingleStrip", area="right")
    dock.session.take_study(study)
    dock.session.show_scan(study.scans.names[1])
    process_events()
    return dock


def test_defaults_are_those_of_the_manifest() -> None:
    file = Path(napari_singlestrip.__file__).with_name("napari.yaml")
    groups = yaml.safe_load(file.read_text(encoding="utf-8"))["contributions"]["configurations"]
    said = {n: p["default"] for group in groups.values() for n, p in group["properties"].items()}
    assert said == asdict(Wishes())
    assert {n: g for g, group in groups.items() for n in group["properties"]} == GROUPS
    training, picture = groups["training"]["properties"], groups["picture"]["properties"]
    assert tuple(training["device"]["enum"]) == tuple(DEVICES)
    assert tuple(training["effort"]["enum"]) == EFFORTS
    assert picture["brush_mm"]["maximum"] == module.LARGEST_BRUSH


def test_without_a_page_the_defaults_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(napari.settings, "get_plugin_settings", raising=False)
    assert wishes() == Wishes()
    assert not wish("panes", "four")
    module.follow("panes", lambda: None)()


def test_missing_and_senseless_values_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    training = SimpleNamespace(effort="heroic", device="cpu")
    picture = SimpleNamespace(brush_mm=-3, panes="many")
    page = SimpleNamespace(training=training, picture=picture)
    monkeypatch.setattr(module, "_page", lambda: page)
    assert wishes() == Wishes(device="cpu")


@has_page
def test_brush_panes_and_outline_at_the_start(viewer: Any, ranked_study: Study) -> None:
    for name, value in (("brush_mm", 16.0), ("panes", "four"), ("review_outline", True)):
        assert wish(name, value)
    dock = open_window(viewer, ranked_study)
    assert dock.session.layers.brush.diameter_mm == 16.0
    assert dock.panes.is_four and dock.panes_button.isChecked()
    layer: Any = dock.session.layers.editing.layer
    assert layer.contour == 0
    for _ in range(2):
        click(child(dock, "step_review"))
        assert layer.contour == 1
        click(child(dock, "step_paint"))
        assert layer.contour == 0


@has_page
def test_the_dock_opens_without_reading_the_page(
    viewer: Any, ranked_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish("panes", "four")
    page, read = module._page, list[bool]()

    def reading() -> Any:
        read.append(True)
        return page()

    monkeypatch.setattr(module, "_page", reading)
    dock = StripWidget(viewer)
    viewer.window.add_dock_widget(dock, name="SingleStrip", area="right")
    process_events()
    assert not read and not dock.panes_button.isEnabled()
    dock.session.take_study(ranked_study)
    dock.session.show_scan(ranked_study.scans.names[1])
    process_events()
    assert read and dock.panes_button.isEnabled() and dock.panes_button.isChecked()
    assert dock.panes.is_four


@has_page
def test_key_without_a_scan_changes_what_is_kept(window: Any) -> None:
    wish("panes", "four")
    press_key(window.viewer, Qt.Key.Key_K)
    assert wishes().panes == "one" and not window.panes_button.isChecked()
    press_key(window.viewer, Qt.Key.Key_K)
    assert wishes().panes == "four" and window.panes_button.isChecked()
    assert not window.panes.is_four


@has_page
def test_wished_brush_is_no_larger_than_the_scan_allows(viewer: Any, ranked_study: Study) -> None:
    wish("brush_mm", 100.0)
    brush = open_window(viewer, ranked_study).session.layers.brush
    assert brush.diameter_mm == pytest.approx(brush.limits_mm[1]) and brush.diameter_mm < 100


@has_page
def test_outline_of_the_persons_own_stays_when_review_is_left(
    viewer: Any, ranked_study: Study
) -> None:
    wish("review_outline", True)
    dock = open_window(viewer, ranked_study)
    dock.session.layers.brush.set_outline(True)
    click(child(dock, "step_review"))
    click(child(dock, "step_paint"))
    assert dock.session.layers.brush.outline


@has_page
def test_a_new_study_has_the_wished_effort(window: Any, heads: Heads, tmp_path: Path) -> None:
    wish("effort", "thorough")
    window.take_files(list(heads.scans))
    window.panels["scans"].adding.create_study(tmp_path / "begun")
    assert Study.open(tmp_path / "begun").effort == "thorough"


@has_page
def test_jobs_run_on_the_wished_device_of_this_computer(
    window: Any, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, started = window.session, []
    session.take_study(study)
    monkeypatch.setattr(session.job, "start", lambda words, *_: started.append(list(words)))
    session.run()
    wish("device", "cpu")
    session.run()
    session.start_job(["report", "x"], "report")
    monkeypatch.setattr(type(session), "launcher", property(lambda self: ["ssh", "gpu-box"]))
    session.run()
    assert ["--device" in words for words in started] == [False, True, False, False]
    assert started[1][-2:] == ["--device", "cpu"]


@has_page
def test_train_step_says_which_device_was_chosen(window: Any, study: Study) -> None:
    wish("device", "cpu")
    window.session.take_study(study)
    click(child(window, "step_train"))
    assert child(window, "device").text() == (
        "Runs on: CPU (chosen in napari's Preferences)"
    )


@has_page
def test_key_and_button_choose_the_panes_and_are_remembered(
    window: Any, ranked_study: Study
) -> None:
    window.session.take_study(ranked_study)
    window.session.show_scan(ranked_study.scans.names[1])
    process_events()
    made = child(window, "toggle_panes")
    assert not window.panes.is_four and not made.isChecked()  # no room on this screen
    click(made)
    assert window.panes.is_four and made.isChecked() and wishes().panes == "four"
    press_key(window.viewer, Qt.Key.Key_K)
    assert not window.panes.is_four and not made.isChecked() and wishes().panes == "one"
    click(made)
    napari.settings._PLUGIN_SETTINGS.clear()  # napari starts again
    assert wishes() == Wishes(panes="four")


@has_page
def test_the_page_is_in_napari_s_preferences_and_acts_at_once(
    window: Any, ranked_study: Study
) -> None:
    window.session.take_study(ranked_study)
    window.session.show_scan(ranked_study.scans.names[1])
    dialog = window.viewer.window._open_preferences_dialog()
    process_events()
    pages = dialog.findChild(QListWidget)
    (row,) = pages.findItems("SingleStrip", Qt.MatchFlag.MatchExactly)
    pages.setCurrentItem(row)
    process_events()
    page = dialog._stack.currentWidget()
    panes = next(b for b in page.findChildren(QComboBox) if b.findText("four") >= 0)
    assert panes.currentText() == "auto" and not window.panes.is_four
    panes.setFocus()
    QTest.keyClick(panes, Qt.Key.Key_Down)
    process_events()
    assert window.panes.is_four and window.panes_button.isChecked()
    effort = next(b for b in page.findChildren(QComboBox) if b.findText("thorough") >= 0)
    effort.setFocus()
    QTest.keyClick(effort, Qt.Key.Key_Down)
    assert wishes() == Wishes(effort="standard", panes="four")
    dialog.reject()  # napari undoes what was changed
    process_events()
    assert wishes() == Wishes() and not window.panes.is_four
