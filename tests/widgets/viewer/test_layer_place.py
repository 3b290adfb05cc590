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
from napari_singlestrip.widgets.viewer.own_layers import DOUBTS, IMAGE, MASK, PSEUDO_LABEL
from napari_singlestrip.widgets.viewer.shown import kept_mask

pytest_plugins = ("gui_fixtures",)

Z, CONTROL = Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def session(window: Any, ranked_study: Study) -> Any:
    """A session with a scan on screen, in step 2."""
    window.session.take_study(ranked_study)
    window.session.step_requested.emit("paint")
    window.session.show_scan(ranked_study.scans.names[1])
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
    """The draft on disk, or the mask before all changes where these left nothing."""
    session.unsaved.flush()
    draft = load_draft(session.study.folder, session.scan)
    if draft is None:
        draft, _ = kept_mask(session.study, session.scan, session.layers.showing.now.scan)
    return draft


def on_the_grid(session: Any) -> bool:
    """Whether all our layers lie where the scan's header says."""
    layers = session.layers
    shape = layers.showing.image_layer.data.shape
    corners = np.array([(0, 0, 0), np.subtract(shape, 1)])
    scale = np.asarray(layers.showing.now.upright.scale)
    return all(
        np.allclose([layer.data_to_world(corner) for corner in corners], corners * scale)
        for layer in layers.own.named.values()
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
    truth = session.layers.editing.mask_on_scan()
    session.layers.overlays.show(PSEUDO_LABEL, truth)
    session.layers.overlays.show_doubts(truth.astype(np.uint8), seen=True)
    units = session.layers.editing.layer.units
    for name in (MASK, IMAGE, PSEUDO_LABEL, DOUBTS):
        told.clear()
        MOVES[move](session.layers.own.named[name])
        assert on_the_grid(session), name
        assert session.layers.own.named[name].units == units
        assert "put back" in told[-1]
        assert name in told[-1]
    session.show_scan(session.study.scans.names[2])  # of another size
    assert on_the_grid(session)
    MOVES[move](session.layers.editing.layer)
    assert on_the_grid(session)


def test_the_transform_tool_is_put_away(session: Any, told: list[str]) -> None:
    layers = session.layers
    layers.brush.set_mode("paint")
    press_key(session.viewer, Qt.Key.Key_7)
    assert layers.editing.layer.mode == "paint"
    assert "transform" in told[-1]
    i = layers.viewpoint.point[0]
    before = layers.editing.mask_on_display()
    assert not before[i, 3, 3]
    stroke(session.viewer, [(i, 3, 3), (i, 3, 6)])  # would have moved the layer
    assert on_the_grid(session)
    assert layers.editing.mask_on_display()[i, 3, 3]
    layers.showing.image_layer.mode = "transform"
    assert layers.showing.image_layer.mode == "pan_zoom"


def test_the_buttons_of_napari_follow(session: Any) -> None:
    """Its transform button is up again, and the one of the tool in hand is down."""
    session.layers.brush.set_mode("paint")
    controls = session.viewer.window._qt_viewer.controls.widgets[session.layers.editing.layer]
    controls.transform_button.click()
    process_events()
    assert session.layers.editing.layer.mode == "paint"
    assert not controls.transform_button.isChecked()


def test_results_stay_in_place_too(session: Any) -> None:
    study, name = session.study, session.study.scans.names[1]
    predicted = study.rounds.pseudo_label_path(0, name)
    session.layers.show_result(name, study.scans.path(name), predicted)
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
    layer = session.layers.editing.layer
    colours = layer.colormap.map(np.asarray(layer.data[session.layers.viewpoint.point[0]]))
    return np.asarray(colours)[..., 3] > 0


@pytest.mark.parametrize("label", (0, 1, 2, 7))
def test_whatever_label_is_painted_with_is_saved_as_it_is_seen(session: Any, label: int) -> None:
    layer, here = session.layers.editing.layer, session.layers.viewpoint.point[0]
    stroke_on_a_corner(session)
    layer.selected_label = label
    stroke(session.viewer, [(here, 3, 3), (here, 3, 5)])
    layer.paint((here, 8, 8), label)
    layer.preserve_labels = True
    layer.show_selected_label = True
    layer.selected_label = 0
    layer.contour = 2
    stroke(session.viewer, [(here, 5, 5), (here, 8, 12)])
    shown = session.layers.showing.now.upright.to_display(draft_of(session))[here]
    assert np.array_equal(shown, seen(session))
    assert not layer.show_selected_label


def test_another_layer_that_gets_the_strokes_is_told(session: Any, told: list[str]) -> None:
    viewer = session.viewer
    other = viewer.add_labels(np.zeros((4, 4, 4), np.uint8), name="mine")
    assert "mine" in told[-1]
    assert MASK in told[-1]
    session.layers.brush.set_mode("paint")  # our button means our mask
    assert viewer.layers.selection.active is session.layers.editing.layer
    viewer.layers.remove(other)


def test_a_layer_that_is_removed_comes_back_with_what_was_painted(
    session: Any, told: list[str]
) -> None:
    layers, viewer = session.layers, session.viewer
    stroke_on_a_corner(session)
    painted = layers.editing.mask_on_scan()
    for gone in ([MASK], [IMAGE], [IMAGE, MASK]):
        for name in gone:
            viewer.layers.remove(layers.own.named[name])
        process_events()
        assert layers.editing.layer is not None and layers.showing.image_layer is not None
        assert "was restored" in told[-1]
        assert on_the_grid(session)
        assert np.array_equal(layers.editing.mask_on_scan(), painted)
    before = layers.editing.mask_on_scan()
    stroke_on_a_corner(session, 6)
    assert (layers.editing.mask_on_scan() & ~before).any()
    assert np.array_equal(draft_of(session), layers.editing.mask_on_scan())


def stroke_on_a_corner(session: Any, at: int = 3) -> None:
    """Paint a few voxels outside the brain with the mouse."""
    session.layers.brush.set_mode("paint")
    here = session.layers.viewpoint.point[0]
    stroke(session.viewer, [(here, at, 3), (here, at, 5)])


def test_the_scan_under_the_mask_cannot_be_exchanged(session: Any, told: list[str]) -> None:
    image = session.layers.showing.image_layer
    before = np.array(image.data)
    image.data = np.zeros((5, 6, 7))
    assert np.array_equal(image.data, before)
    assert "put back" in told[-1]
    assert on_the_grid(session)


# --- gestures and slices


def test_corners_of_an_outline_are_dropped_with_their_slice(session: Any) -> None:
    layers, viewer = session.layers, session.viewer
    layers.brush.set_mode("lasso")
    before = layers.editing.mask_on_scan()
    changes: tuple[Callable[[], None], ...] = (
        lambda: layers.viewpoint.set_plane("coronal"),
        lambda: layers.viewpoint.look_at(tuple(n + 1 for n in layers.viewpoint.point)),
    )
    for change in changes:
        point = list(layers.viewpoint.point)
        rows, columns = layers.viewpoint.axes[-2:]
        for step in (0, 3):
            corner = list(point)
            corner[rows], corner[columns] = point[rows] + step, point[columns] - step
            stroke(viewer, [corner])
        assert layers.canvas_tools.overlay.isVisible()
        change()
        process_events()
        assert not layers.canvas_tools.overlay.isVisible()
    assert np.array_equal(layers.editing.mask_on_scan(), before)


def test_a_stroke_whose_button_is_down_stays_on_the_slices_that_are_seen(session: Any) -> None:
    layers, viewer = session.layers, session.viewer
    layers.brush.set_mode("paint")
    before = layers.editing.mask_on_display()
    i, left = layers.viewpoint.point[0], Qt.MouseButton.LeftButton
    QTest.mousePress(canvas_of(viewer), left, pos=pixel_of(viewer, (i, 3, 3)))
    move(viewer, (i, 3, 5))
    layers.viewpoint.look_at((i + 4, *layers.viewpoint.point[1:]))
    process_events()
    move(viewer, (i + 4, 4, 9))
    move(viewer, (i + 4, 4, 12))
    QTest.mouseRelease(canvas_of(viewer), left, pos=pixel_of(viewer, (i + 4, 4, 12)))
    process_events()
    changed = np.flatnonzero((layers.editing.mask_on_display() != before).any(axis=(1, 2)))
    assert set(changed) <= {i, i + 4}
    assert i + 4 in changed
    assert np.array_equal(draft_of(session), layers.editing.mask_on_scan())


def test_nothing_is_painted_beside_the_scan(session: Any) -> None:
    """A larger layer of the person's own lets napari go there."""
    layers, viewer = session.layers, session.viewer
    other = viewer.add_labels(np.zeros((90, 9, 9), np.uint8), name="mine", scale=(6, 6, 6))
    before = layers.editing.mask_on_scan()
    for mode in ("paint", "fill", "lasso"):
        layers.brush.set_mode(mode)
        viewer.dims.set_point(0, 85 * 6)
        beside = (85, 8, 8)
        stroke(viewer, [beside, (85, 12, 12)])
        stroke(viewer, [beside], Qt.MouseButton.RightButton)
        press_key(viewer, Qt.Key.Key_Escape)
    layers.editing.layer.paint_polygon([(85, 1, 1), (85, 9, 1), (85, 9, 9)], 1)
    assert np.array_equal(layers.editing.mask_on_scan(), before)
    viewer.layers.remove(other)


def test_an_unfinished_outline_does_not_go_to_another_scan(session: Any) -> None:
    layers, viewer, study = session.layers, session.viewer, session.study
    layers.brush.set_mode("lasso")
    before, (i, p, l) = layers.editing.mask_on_scan(), layers.viewpoint.point  # noqa: E741
    for corner in ((i, p, l), (i, p + 4, l), (i, p + 4, l + 4)):
        stroke(viewer, [corner])
    session.show_scan(study.scans.names[2])
    other = layers.editing.mask_on_scan()
    press_key(viewer, Qt.Key.Key_Return)
    assert np.array_equal(layers.editing.mask_on_scan(), other)
    session.show_scan(study.scans.names[1])
    assert np.array_equal(layers.editing.mask_on_scan(), before)


def test_undo_takes_an_unfinished_outline_back_and_no_more(session: Any) -> None:
    layers, viewer = session.layers, session.viewer
    stroke_on_a_corner(session)
    before, (i, p, l) = layers.editing.mask_on_scan(), layers.viewpoint.point  # noqa: E741
    layers.brush.set_mode("lasso")
    stroke(viewer, [(i, p, l)])
    stroke(viewer, [(i, p + 4, l)])
    press_key(viewer, Z, CONTROL)
    assert np.array_equal(layers.editing.mask_on_scan(), before)
    assert np.array_equal(draft_of(session), before)


def move(viewer: Any, voxel: Any) -> None:
    """Move the mouse, no button pressed or released."""
    QTest.mouseMove(canvas_of(viewer), pixel_of(viewer, voxel))
    QTest.qWait(10)  # Qt merges moves that come faster than they are handled
    process_events()


# --- hiding


def test_a_tool_shows_a_hidden_mask_that_it_changes(session: Any) -> None:
    layers = session.layers
    layers.editing.layer.visible = False
    session.show_scan(session.study.scans.names[2])  # a hidden layer is not sliced
    layers.editing.layer.visible = False
    mask = layers.editing.mask_on_display()
    mask[4:8] ^= True
    assert layers.editing.change(mask)
    assert layers.editing.is_seen
    assert np.array_equal(layers.showing.now.upright.to_display(draft_of(session)), mask)
    layers.editing.layer.visible = False
    layers.editing.undo()
    assert layers.editing.is_seen


def test_hiding_the_mask_with_naparis_eye_and_leaving_the_review(
    window: Any, ranked_study: Study
) -> None:
    session = window.session
    session.take_study(ranked_study)
    session.step_requested.emit("review")
    process_events()
    session.layers.editing.layer.visible = False
    session.step_requested.emit("paint")
    process_events()
    assert not session.layers.editing.layer.visible  # as the person wishes
    session.layers.editing.layer.visible = True
    assert session.layers.editing.is_seen
