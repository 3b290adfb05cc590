"""Places to check: found in a thread, listed, stepped through by key, gone when corrected."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gui_fixtures import canvas_of, child, click, press_key, process_events, wait_until
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_marks
from napari_singlestrip.engine.masks.doubt import TOO_LITTLE, TOO_MUCH
from napari_singlestrip.study.round_folder import doubts_path, heat_map_path
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.review import places_bar
from napari_singlestrip.widgets.review.doubts import Found
from napari_singlestrip.widgets.viewer.own_layers import DOUBTS
from napari_singlestrip.widgets.viewer.viewpoint import camera_of

if TYPE_CHECKING:
    from napari_singlestrip.widgets.dock.main_widget import StripWidget
    from napari_singlestrip.widgets.review.panel import ReviewPanel

pytest_plugins = ("gui_fixtures",)


def doubt(study: Study, name: str) -> None:
    """Write what ranking would: too much at the top, something missing at the bottom."""
    scan = open_scan(study.scans.path(name))
    mask = load_mask(study.rounds.pseudo_label_path(0, name), like=scan)
    marks = np.zeros(mask.shape, np.uint8)
    used = np.flatnonzero(mask.any(axis=(0, 1)))
    marks[..., used[-3] :][mask[..., used[-3] :]] = TOO_MUCH
    middle = [n // 2 for n in mask.shape[:2]]
    below = slice(max(0, used[0] - 2), used[0])
    marks[middle[0] - 2 : middle[0] + 2, middle[1] - 2 : middle[1] + 2, below] = TOO_LITTLE
    marks[(marks == TOO_LITTLE) & mask] = 0
    save_marks(doubts_path(study, 0, name), marks, like=scan)


@pytest.fixture
def panel(window: StripWidget, ranked_study: Study) -> ReviewPanel:
    """The review step at a mask with two places to check."""
    for row in ranked_study.rounds.scores(0):
        doubt(ranked_study, row.scan)
    window.session.take_study(ranked_study)
    window.session.step_requested.emit("review")
    window.viewer.window._qt_window.activateWindow()
    process_events()
    wait_until(lambda: QApplication.activeWindow() is not None, "the active window")
    found: Any = window.panels["review"]
    wait_until(lambda: len(found.places.places) == 2, "two places")
    assert found.isVisible()
    wait_until(lambda: _stands_still(found.places), "the layout")
    return found


def _stands_still(widget: QWidget) -> bool:
    """Whether it keeps its size: texts wrap otherwise until the dock has its width."""
    before = widget.size()
    QTest.qWait(200)
    return bool(widget.size() == before)


def test_places_are_listed_with_volumes_and_words(panel: ReviewPanel) -> None:
    first, second = panel.places.places
    assert first.place.volume_ml >= second.place.volume_ml
    assert {first.place.kind, second.place.kind} == {TOO_MUCH, TOO_LITTLE}
    assert "2 places to check" in panel.places.says.text()
    shown = [made for made in panel.places.buttons if made.isVisible()]
    assert len(shown) == 2
    assert all("mL" in made.text() or "µL" in made.text() for made in shown)
    assert "probably" in shown[0].toolTip().lower()


def test_tab_goes_to_slice_plane_and_zooms_there(panel: ReviewPanel) -> None:
    session = panel.session
    canvas = canvas_of(session.viewer)
    canvas.setFocus()
    zoom = camera_of(session.viewer).zoom
    press_key(canvas, Qt.Key.Key_Tab)
    assert QApplication.focusWidget() is canvas
    assert panel.places.current == 0
    one = panel.places.places[0]
    assert session.layers.viewpoint.plane == one.plane
    assert session.layers.viewpoint.point == one.place.voxel
    assert camera_of(session.viewer).zoom > zoom
    assert "Place 1 of 2" in panel.places.says.text()
    wait_until(lambda: session.layers.overlays.has(DOUBTS), "the colours")
    press_key(canvas, Qt.Key.Key_Tab)
    assert panel.places.current == 1
    press_key(canvas, Qt.Key.Key_Tab)
    assert panel.places.current == 0
    press_key(canvas, Qt.Key.Key_Backtab, Qt.KeyboardModifier.ShiftModifier)
    assert panel.places.current == 1


def test_tab_before_the_places_are_found_goes_there_once_they_are(panel: ReviewPanel) -> None:
    found, canvas = panel.doubts.found, canvas_of(panel.session.viewer)
    canvas.setFocus()
    panel.places.show_found(None)  # they are being looked for
    press_key(canvas, Qt.Key.Key_Tab)
    assert panel.places.current == -1
    panel.places.show_found(found)
    assert panel.places.current == 0
    assert panel.session.layers.viewpoint.point == panel.places.places[0].place.voxel
    panel.places.show_found(None)
    press_key(canvas, Qt.Key.Key_Tab)
    panel.places.show_found(None)  # of another scan
    panel.places.show_found(found)
    assert panel.places.current == -1


def test_a_click_on_a_picture_goes_there(panel: ReviewPanel) -> None:
    click(child(panel, "place_2"))
    assert panel.session.layers.viewpoint.point == panel.places.places[1].place.voxel
    assert QApplication.focusWidget() is canvas_of(panel.session.viewer)


def test_what_is_corrected_leaves_the_list(panel: ReviewPanel) -> None:
    session = panel.session
    kinds = [one.place.kind for one in panel.places.places]
    wrong = panel.doubts.found
    assert wrong is not None
    mask = session.layers.editing.mask_on_display()
    assert mask is not None and wrong.marks is not None
    now = session.layers.showing.now
    assert now is not None
    session.layers.editing.change(mask & (now.upright.to_display(wrong.marks) != TOO_MUCH))
    wait_until(lambda: len(panel.places.places) == 1, "one place is left")
    assert panel.places.places[0].place.kind == TOO_LITTLE
    session.layers.editing.undo()
    wait_until(lambda: [p.place.kind for p in panel.places.places] == kinds, "both are back")


def test_the_layer_of_the_marks_is_kept_from_scan_to_scan(panel: ReviewPanel) -> None:
    layers = panel.session.layers
    wait_until(lambda: layers.own.get(DOUBTS) is not None, "the layer")
    layer = layers.own.get(DOUBTS)
    panel.layers.doubt.setChecked(True)
    assert layer.visible and layer.data.any()
    before = panel.places.places
    panel.next_scan()
    assert layers.own.get(DOUBTS) is layer
    assert not layer.visible and not layer.data.any()  # those of the scan before are gone at once
    wait_until(lambda: panel.places.places and panel.places.places is not before, "its places")
    assert layers.own.get(DOUBTS) is layer and layer.visible and layer.data.any()
    panel.session.step_requested.emit("paint")
    assert layers.own.get(DOUBTS) is None


def test_the_next_scan_has_its_own_places(panel: ReviewPanel) -> None:
    panel.places.step(1)
    before = panel.places.places
    panel.next_scan()
    assert panel.places.current == -1
    wait_until(lambda: panel.places.places and panel.places.places is not before, "its places")


def test_without_judgement_it_is_said(window: StripWidget, ranked_study: Study) -> None:
    for row in ranked_study.rounds.scores(0):
        heat_map_path(ranked_study, 0, row.scan).unlink()
    window.session.take_study(ranked_study)
    window.session.step_requested.emit("review")
    panel: Any = window.panels["review"]
    wait_until(lambda: panel.places.says.text() == places_bar.UNKNOWN, "it is said")
    assert not panel.layers.doubt.isEnabled()
    assert not panel.places.pictures.isVisible()  # no empty area in the place of pictures


def test_the_row_of_places_stays_from_scan_to_scan(panel: ReviewPanel) -> None:
    bar = panel.places
    height = bar.height()
    for found in (None, Found(True), None, panel.doubts.found):
        bar.show_found(found)
        process_events()
        assert bar.height() == height
        assert bar.says.height() >= bar.says.heightForWidth(bar.says.width())
    for found in (None, Found()):  # asked, and nothing is known: no room for nothing
        bar.show_found(found)
    process_events()
    assert bar.height() < height


def test_the_table_keeps_its_height_when_the_first_places_arrive(
    window: StripWidget, ranked_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows would move below the hand."""
    for row in ranked_study.rounds.scores(0):
        doubt(ranked_study, row.scan)
    window.session.take_study(ranked_study)
    panel: Any = window.panels["review"]
    monkeypatch.setattr(panel.doubts._stay, "start", lambda: None)  # they take their time
    window.session.step_requested.emit("review")
    process_events()
    assert panel.doubts.found is None and panel.places.says.text() == places_bar.LOOKING
    before, top = panel.table.height(), panel.layers.y()
    panel.doubts.look()
    wait_until(lambda: len(panel.places.places) == 2, "two places")
    process_events()
    assert (panel.table.height(), panel.layers.y()) == (before, top)


def test_every_place_is_said_in_a_line(panel: ReviewPanel) -> None:
    one = panel.places.places[0]
    longest = replace(one.place, kind=TOO_LITTLE, volume_ml=99, where="right, front, bottom")
    panel.places.show_found(Found(True, None, (replace(one, place=longest),) * 5))
    panel.places.go_to(4)
    process_events()
    says = panel.places.says
    assert says.height() >= says.heightForWidth(says.width())


def test_of_an_earlier_study_they_are_found_in_the_heat_map(
    window: StripWidget, ranked_study: Study
) -> None:
    """Its worst mask lacks four slices."""
    window.session.take_study(ranked_study)
    window.session.step_requested.emit("review")
    panel: Any = window.panels["review"]
    window.session.show_scan(ranked_study.rounds.scores(0)[-1].scan)
    wait_until(lambda: panel.places.places, "a place")
    assert panel.places.places[0].place.kind == TOO_LITTLE
