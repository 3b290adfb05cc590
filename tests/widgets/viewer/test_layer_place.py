"""What is saved is what is seen: whatever a person does to our layers with napari's own means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gui_fixtures import canvas_of, pixel_of, press_key, process_events, stroke
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_singlestrip.study.drafts import load_draft
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.viewer.study_layers import HEAT, IMAGE, MASK, PSEUDO_LABEL

pytest_plugins = ("gui_fixtures",)

Z, CONTROL = Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def session(window: Any, ranked_study: Study) -> Any:
    """A session with a scan on screen, in step 2."""
    window.session.take_study(ranked_study)
    window.session.step_requested.emit("paint")
    window.session.show_scan(ranked_study.names[1])
    window.session.layers.brush.set_diameter(1.0)
    process_events()
    return window.session


@pytest.fixture
def told(session: Any) -> list[str]:
    """What the person is told."""
    said: list[str] = []
    session.told.connect(lambda text, _level: said.append(text))
    return said


def draft_of(session: Any) -> np.ndarray:
    """The draft on disk."""
    draft = load_draft(session.study.folder, session.scan)
    assert draft is not None
    return draft


def on_the_grid(session: Any) -> bool:
    """Whether all our layers lie where the scan's header says."""
    layers = session.layers
    shape = layers.image_layer.data.shape
    corners = np.array([(0, 0, 0), np.subtract(shape, 1)])
    scale = np.asarray(layers.now.upright.scale)
    return all(
        np.allclose([layer.data_to_world(corner) for corner in corners], corners * scale)
        for layer in layers._ours.values()
    )


MOVES: dict[str, Callable[[Any], None]] = {
    "affine": lambda layer: setattr(layer, "affine", [[1, 0, 0, 9], [0, 1, 0, 0], [0, 0, 1, 0],
                                                      [0, 0, 0, 1]]),
    "translate": lambda layer: setattr(layer, "translate", (0, 30, 0)),
    "scale": lambda layer: setattr(layer, "scale", (1, 2, 3)),
    "rotate": lambda layer: setattr(layer, "rotate", 30.0),
    "shear": lambda layer: setattr(layer, "shear", (0.1, 0, 0)),
    "units": lambda layer: setattr(layer, "units", ("mm", "um", "mm")),
}


@pytest.mark.parametrize("move", MOVES)
def test_no_layer_leaves_the_grid_of_its_scan(session: Any, told: list[str], move: str) -> None:
    truth = session.layers.mask_on_scan()
    session.layers.overlay(PSEUDO_LABEL, truth)
    session.layers.heat(truth.astype(np.float32))
    units = session.layers.mask_layer.units
    for name in (MASK, IMAGE, PSEUDO_LABEL, HEAT):
        told.clear()
        MOVES[move](session.layers._ours[name])
        assert on_the_grid(session), name
        assert session.layers._ours[name].units == units
        assert "put back" in told[-1]
        assert name in told[-1]
    session.show_scan(session.study.names[2])  # of another size
    assert on_the_grid(session)
    MOVES[move](session.layers.mask_layer)
    assert on_the_grid(session)


def test_the_transform_tool_is_put_away(session: Any, told: list[str]) -> None:
    layers = session.layers
    layers.brush.set_mode("paint")
    press_key(session.viewer, Qt.Key.Key_7)
    assert layers.mask_layer.mode == "paint"
    assert "transform" in told[-1]
    i = layers.point[0]
    before = layers.mask_on_display()
    assert not before[i, 3, 3]
    stroke(session.viewer, [(i, 3, 3), (i, 3, 6)])  # would have moved the layer
    assert on_the_grid(session)
    assert layers.mask_on_display()[i, 3, 3]
    layers.image_layer.mode = "transform"
    assert layers.image_layer.mode == "pan_zoom"


def test_the_buttons_of_napari_follow(session: Any) -> None:
    """Its transform button is up again, and the one of the tool in hand is down."""
    session.layers.brush.set_mode("paint")
    controls = session.viewer.window._qt_viewer.controls.widgets[session.layers.mask_layer]
    controls.transform_button.click()
    process_events()
    assert session.layers.mask_layer.mode == "paint"
    assert not controls.transform_button.isChecked()


def test_results_stay_in_place_too(session: Any) -> None:
    study, name = session.study, session.study.names[1]
    session.layers.show_result(name, study.scan_path(name), study.pseudo_label_path(0, name))
    for layer in session.layers.result._ours:
        before = np.array(layer.data_to_world((1, 2, 3)))
        layer.affine = np.diag([2, 1, 1, 1])
        layer.translate = (5, 5, 5)
        layer.mode = "transform"
        assert np.allclose(layer.data_to_world((1, 2, 3)), before)
        assert layer.mode == "pan_zoom"


# --- what is painted


def seen(session: Any) -> np.ndarray:
    """What napari draws of the mask on the slice shown."""
    layer = session.layers.mask_layer
    colours = layer.colormap.map(np.asarray(layer.data[session.layers.point[0]]))
    return np.asarray(colours)[..., 3] > 0


@pytest.mark.parametrize("label", (0, 1, 2, 7))
def test_whatever_label_is_painted_with_is_saved_as_it_is_seen(session: Any, label: int) -> None:
    layer, here = session.layers.mask_layer, session.layers.point[0]
    stroke_on_a_corner(session)
    layer.selected_label = label
    stroke(session.viewer, [(here, 3, 3), (here, 3, 5)])
    layer.paint((here, 8, 8), label)
    layer.preserve_labels = True
    layer.show_selected_label = True
    layer.selected_label = 0
    layer.contour = 2
    stroke(session.viewer, [(here, 5, 5), (here, 8, 12)])
    shown = session.layers.now.upright.to_display(draft_of(session))[here]
    assert np.array_equal(shown, seen(session))
    assert not layer.show_selected_label


def test_another_layer_that_gets_the_strokes_is_told(session: Any, told: list[str]) -> None:
    viewer = session.viewer
    other = viewer.add_labels(np.zeros((4, 4, 4), np.uint8), name="mine")
    assert "mine" in told[-1]
    assert MASK in told[-1]
    session.layers.brush.set_mode("paint")  # our button means our mask
    assert viewer.layers.selection.active is session.layers.mask_layer
    viewer.layers.remove(other)


def test_a_layer_that_is_removed_comes_back_with_what_was_painted(
    session: Any, told: list[str]
) -> None:
    layers, viewer = session.layers, session.viewer
    stroke_on_a_corner(session)
    painted = layers.mask_on_scan()
    for gone in ([MASK], [IMAGE], [IMAGE, MASK]):
        for name in gone:
            viewer.layers.remove(layers._ours[name])
        process_events()
        assert layers.mask_layer is not None and layers.image_layer is not None
        assert "put back" in told[-1]
        assert on_the_grid(session)
        assert np.array_equal(layers.mask_on_scan(), painted)
    before = layers.mask_on_scan()
    stroke_on_a_corner(session, 6)
    assert (layers.mask_on_scan() & ~before).any()
    assert np.array_equal(draft_of(session), layers.mask_on_scan())


def stroke_on_a_corner(session: Any, at: int = 3) -> None:
    """Paint a few voxels outside the brain with the mouse."""
    session.layers.brush.set_mode("paint")
    here = session.layers.point[0]
    stroke(session.viewer, [(here, at, 3), (here, at, 5)])


def test_the_scan_under_the_mask_cannot_be_exchanged(session: Any, told: list[str]) -> None:
    image = session.layers.image_layer
    before = np.array(image.data)
    image.data = np.zeros((5, 6, 7))
    assert np.array_equal(image.data, before)
    assert "put back" in told[-1]
    assert on_the_grid(session)


# --- gestures and slices


def test_an_unfinished_outline_does_not_go_through_slices(session: Any, told: list[str]) -> None:
    layers, viewer = session.layers, session.viewer
    layers.brush.set_mode("paint")
    before = layers.mask_on_scan()
    i, p, l = layers.point  # noqa: E741
    stroke(viewer, [(i, p, l)], Qt.MouseButton.RightButton)
    for dp in (2, 4):
        move(viewer, (i, p + dp, l + 2))
    layers.look_at((i + 4, p, l))
    process_events()
    assert "not closed" in told[-1]
    move(viewer, (i + 4, p - 5, l - 5))
    assert np.array_equal(layers.mask_on_scan(), before)
    assert not layers.mask_layer._overlays["brush_stroke"].active


def test_an_unfinished_polygon_is_dropped_with_its_slice(session: Any) -> None:
    layers, viewer = session.layers, session.viewer
    layers.brush.set_mode("polygon")
    before = layers.mask_on_scan()
    changes: tuple[Callable[[], None], ...] = (
        lambda: layers.set_plane("coronal"),
        lambda: layers.look_at(tuple(n + 1 for n in layers.point)),
    )
    for change in changes:
        point = list(layers.point)
        rows, columns = layers.viewpoint.axes[-2:]
        for step in (0, 3):
            corner = list(point)
            corner[rows], corner[columns] = point[rows] + step, point[columns] - step
            stroke(viewer, [corner])
        assert layers.mask_layer._overlays["polygon"].points
        change()
        process_events()
        assert not layers.mask_layer._overlays["polygon"].points
    assert np.array_equal(layers.mask_on_scan(), before)


def test_a_stroke_whose_button_is_down_stays_on_the_slices_that_are_seen(session: Any) -> None:
    layers, viewer = session.layers, session.viewer
    layers.brush.set_mode("paint")
    before = layers.mask_on_display()
    i, left = layers.point[0], Qt.MouseButton.LeftButton
    QTest.mousePress(canvas_of(viewer), left, pos=pixel_of(viewer, (i, 3, 3)))
    move(viewer, (i, 3, 5))
    layers.look_at((i + 4, *layers.point[1:]))
    process_events()
    move(viewer, (i + 4, 4, 9))
    move(viewer, (i + 4, 4, 12))
    QTest.mouseRelease(canvas_of(viewer), left, pos=pixel_of(viewer, (i + 4, 4, 12)))
    process_events()
    changed = np.flatnonzero((layers.mask_on_display() != before).any(axis=(1, 2)))
    assert set(changed) <= {i, i + 4}
    assert i + 4 in changed
    assert np.array_equal(draft_of(session), layers.mask_on_scan())


def test_nothing_is_painted_beside_the_scan(session: Any) -> None:
    """A larger layer of the person's own lets napari go there."""
    layers, viewer = session.layers, session.viewer
    other = viewer.add_labels(np.zeros((90, 9, 9), np.uint8), name="mine", scale=(6, 6, 6))
    before = layers.mask_on_scan()
    for mode in ("paint", "fill", "polygon"):
        layers.brush.set_mode(mode)
        viewer.dims.set_point(0, 85 * 6)
        beside = (85, 8, 8)
        stroke(viewer, [beside, (85, 12, 12)])
        stroke(viewer, [beside], Qt.MouseButton.RightButton)
        press_key(viewer, Qt.Key.Key_Escape)
    layers.mask_layer.paint_polygon([(85, 1, 1), (85, 9, 1), (85, 9, 9)], 1)
    assert np.array_equal(layers.mask_on_scan(), before)
    viewer.layers.remove(other)


def test_an_unfinished_outline_does_not_go_to_another_scan(session: Any) -> None:
    layers, viewer, study = session.layers, session.viewer, session.study
    layers.brush.set_mode("paint")
    before, (i, p, l) = layers.mask_on_scan(), layers.point  # noqa: E741
    stroke(viewer, [(i, p, l)], Qt.MouseButton.RightButton)
    move(viewer, (i, p + 4, l))
    session.show_scan(study.names[2])
    other = layers.mask_on_scan()
    move(viewer, (layers.point[0], 4, 4))
    assert np.array_equal(layers.mask_on_scan(), other)
    session.show_scan(study.names[1])
    assert np.array_equal(layers.mask_on_scan(), before)


def test_undo_takes_an_unfinished_outline_back_and_no_more(session: Any) -> None:
    layers, viewer = session.layers, session.viewer
    stroke_on_a_corner(session)
    before, (i, p, l) = layers.mask_on_scan(), layers.point  # noqa: E741
    stroke(viewer, [(i, p, l)], Qt.MouseButton.RightButton)
    move(viewer, (i, p + 4, l))
    press_key(viewer, Z, CONTROL)
    assert np.array_equal(layers.mask_on_scan(), before)
    assert np.array_equal(draft_of(session), before)


def move(viewer: Any, voxel: Any) -> None:
    """Move the mouse, no button pressed or released."""
    QTest.mouseMove(canvas_of(viewer), pixel_of(viewer, voxel))
    QTest.qWait(10)  # Qt merges moves that come faster than they are handled
    process_events()


# --- hiding


def test_a_tool_shows_a_hidden_mask_that_it_changes(session: Any) -> None:
    layers = session.layers
    layers.mask_layer.visible = False
    session.show_scan(session.study.names[2])  # a hidden layer is not sliced
    layers.mask_layer.visible = False
    mask = layers.mask_on_display()
    mask[4:8] ^= True
    assert layers.change_mask(mask)
    assert layers.mask_is_seen
    assert np.array_equal(layers.now.upright.to_display(draft_of(session)), mask)
    layers.mask_layer.visible = False
    layers.undo()
    assert layers.mask_is_seen


def test_hiding_the_mask_with_naparis_eye_and_leaving_the_review(
    window: Any, ranked_study: Study
) -> None:
    session = window.session
    session.take_study(ranked_study)
    session.step_requested.emit("review")
    process_events()
    session.layers.mask_layer.visible = False
    session.step_requested.emit("paint")
    process_events()
    assert not session.layers.mask_layer.visible  # as the person wishes
    session.layers.mask_layer.visible = True
    assert session.layers.mask_is_seen
