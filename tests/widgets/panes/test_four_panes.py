"""Four panes: painted in, linked, each on its place, and gone when they are closed."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from gui_fixtures import (
    camera,
    canvas_of,
    close_viewer,
    press_key,
    process_events,
    stroke,
    wait_until,
)
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QColor, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_singlestrip.engine.imaging.display_orientation import Upright
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.viewer.viewpoint import PLANES

pytest_plugins = ("gui_fixtures",)
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def session(window: Any, ranked_study: Study) -> Any:
    """A session with the second scan in four panes."""
    window.session.take_study(ranked_study)
    window.session.show_scan(ranked_study.scans.names[1])
    window.panes.set_wanted("four")
    process_events()
    return window.session


def pixel(panes: Any, plane: str, voxel: tuple[int, ...]) -> QPoint:
    """Where a voxel is in a pane."""
    _, rows, columns = PLANES[plane]
    scale, size = panes.viewpoint.scale, panes.panes[plane].size()
    turned = panes.camera.transform(plane, (size.width(), size.height()))
    mm = QPointF(voxel[columns] * scale[columns], voxel[rows] * scale[rows])
    return turned.map(mm).toPoint()


def press_in(panes: Any, plane: str, voxel: tuple[int, ...]) -> None:
    """Click in a pane that the mouse has only just come to."""
    QTest.mouseClick(panes.panes[plane], LEFT, pos=pixel(panes, plane, voxel))
    process_events()


def colour_at(panes: Any, plane: str, voxel: tuple[int, ...]) -> QColor:
    """What Qt draws in a pane at a voxel."""
    return QColor(panes.panes[plane].grab().toImage().pixel(pixel(panes, plane, voxel)))


def drawn(panes: Any) -> None:
    """Wait until the panes have followed the layers."""
    wait_until(lambda: not panes._redraw.is_due, "the panes are drawn")


def is_at(panes: Any, plane: str) -> bool:
    """Whether napari's canvas shows a plane."""
    return bool(panes.plane == plane)


# --- where things are


def test_four_panes_fill_the_place_of_the_canvas(window: Any, session: Any) -> None:
    panes = window.panes
    assert panes.is_four and panes.plane == "axial"
    for plane in ("coronal", "sagittal"):
        assert panes.panes[plane].isVisible()
        assert panes.panes[plane].width() >= panes.width() // 2 - 2
    assert canvas_of(session.viewer).geometry() == panes.panes["axial"].geometry()
    assert panes.surface.isVisible()


def test_canvas_goes_where_the_mouse_stays(window: Any, session: Any) -> None:
    panes, point = window.panes, session.layers.viewpoint.point
    for plane in ("sagittal", "coronal", "axial"):
        QTest.mouseMove(panes.panes[plane], QPoint(30, 30))
        wait_until(functools.partial(is_at, panes, plane), f"the canvas at {plane}")
        assert canvas_of(session.viewer).geometry() == panes.panes[plane].geometry()
    assert session.layers.viewpoint.point == point


def test_mouse_that_crosses_a_pane_turns_nothing(window: Any, session: Any) -> None:
    panes = window.panes
    panes.come("coronal")
    panes.stay()
    QTest.qWait(120)
    assert panes.plane == "axial"


def test_canvas_shows_what_qt_drew(window: Any, session: Any) -> None:
    """A voxel is at the same pixel and has the same colour, whoever draws it."""
    panes, layers = window.panes, session.layers
    layers.editing.layer.visible = False
    drawn(panes)
    i, p, l = layers.viewpoint.point  # noqa: E741
    before = panes.panes["coronal"].grab().toImage()
    panes.turn_to("coronal")
    process_events()
    after = session.viewer.screenshot(canvas_only=True, flash=False)
    for voxel in ((i - 3, p, l + 3), (i - 4, p, l - 6), (i + 3, p, l - 5), (2, p, 2)):
        at = pixel(panes, "coronal", voxel)
        assert QColor(before.pixel(at)).red() == pytest.approx(int(after[at.y(), at.x(), 0]), abs=3)


# --- painting


@pytest.mark.parametrize("plane", list(PLANES))
def test_a_press_paints_in_every_pane_and_undo_takes_it_back(
    window: Any, session: Any, plane: str
) -> None:
    panes, layers = window.panes, session.layers
    layers.editing.layer.mode = "paint"
    layers.brush.set_diameter(min(layers.editing.layer.scale))
    before = layers.editing.mask_on_display()
    voxel = list(layers.viewpoint.point)
    _, rows, columns = PLANES[plane]
    voxel[rows] = voxel[columns] = 1  # in a corner: air
    press_in(panes, plane, tuple(voxel))
    changed = np.argwhere(layers.editing.mask_on_display() != before)
    assert changed.tolist() == [voxel]
    assert panes.plane == plane
    layers.editing.undo()
    assert np.array_equal(layers.editing.mask_on_display(), before)


def test_stroke_that_begins_in_a_pane_goes_on_while_the_button_is_down(
    window: Any, session: Any
) -> None:
    panes, layers = window.panes, session.layers
    layers.editing.layer.mode = "paint"
    layers.brush.set_diameter(min(layers.editing.layer.scale))
    before, pane = layers.editing.mask_on_display(), panes.panes["coronal"]
    _, p, _ = layers.viewpoint.point
    ends = [pixel(panes, "coronal", (1, p, n)) for n in (1, 6)]
    QTest.mousePress(pane, LEFT, pos=ends[0])
    for part in np.linspace(0.2, 1, 5):
        QTest.mouseMove(pane, ends[0] + (ends[1] - ends[0]) * float(part))
        process_events()
    QTest.qWait(30)
    QTest.mouseRelease(pane, LEFT, pos=ends[1])
    process_events()
    changed = np.argwhere(layers.editing.mask_on_display() != before)
    assert changed.tolist() == [[1, p, n] for n in range(1, 7)]
    assert layers.viewpoint.point == (1, p, 6)  # the other panes look at where the stroke ended
    layers.editing.undo()
    assert np.array_equal(layers.editing.mask_on_display(), before)


def test_other_panes_show_a_stroke_soon(window: Any, session: Any) -> None:
    panes, layers = window.panes, session.layers
    i, p, l = layers.viewpoint.point  # noqa: E741
    layers.editing.layer.mode = "paint"
    layers.viewpoint.look_at((i + 1, p, l))  # off the crosshair
    layers.brush.set_ball(True)
    layers.brush.set_diameter(7 * max(layers.editing.layer.scale))
    process_events()
    assert colour_at(panes, "coronal", (i, p, 1)).blue() < 20
    stroke(session.viewer, [(i + 1, p, 1)])
    layers.viewpoint.look_at((i + 1, p, l))
    wait_until(lambda: colour_at(panes, "coronal", (i, p, 1)).blue() > 60, "the dab", 5)


def change_voxel(layers: Any, voxel: tuple[int, int, int]) -> None:
    """Add or erase one voxel as a tool does."""
    box = tuple(slice(n, n + 1) for n in voxel)
    layers.editing.change_part(box, ~layers.editing.mask_in(box))


def test_a_change_is_drawn_at_once_in_those_panes_whose_slice_it_is_on(
    window: Any, session: Any
) -> None:
    layers, panes = session.layers, window.panes.panes
    i, p, l = layers.viewpoint.point  # noqa: E741
    for voxel, seen_in in (
        ((i - 2, p, 1), "coronal"), ((i - 2, 1, l), "sagittal"), ((i - 2, 1, 1), "")
    ):
        QTest.qWait(60)
        before = {plane: panes[plane]._pictures for plane in ("coronal", "sagittal")}
        change_voxel(layers, voxel)
        process_events()
        drawn = [plane for plane, pictures in before.items() if panes[plane]._pictures != pictures]
        assert drawn == [seen_in][: len(seen_in)]


def test_panes_and_canvas_show_a_change_in_one_frame(
    window: Any, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is refreshed after the canvas was painted waits for a second frame."""
    panes, layers = window.panes, session.layers
    QTest.qWait(100)  # nothing was drawn a moment ago
    wait_until(lambda: not panes._redraw.is_due, "the panes are drawn")
    seen: list[str] = []
    refresh = panes.refresh

    def refreshed() -> None:
        seen.append("panes")
        refresh()

    monkeypatch.setattr(panes, "refresh", refreshed)
    canvas: Any = canvas_of(window.viewer)
    canvas._vispy_canvas.events.draw.connect(lambda event: seen.append("canvas"), position="last")
    layers.editing.change(~layers.editing.mask_on_display())
    wait_until(lambda: len(set(seen)) == 2, "both are drawn")
    assert seen[0] == "panes"


def test_the_surface_is_not_drawn_again_for_a_crosshair_that_stays(
    window: Any, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    panes, layers = window.panes, session.layers
    i, p, l = layers.viewpoint.point  # noqa: E741
    QTest.qWait(60)
    shown: list[Any] = []
    monkeypatch.setattr(panes.surface.view, "show_point", lambda *point: shown.append(point))
    panes.refresh()
    assert not shown
    layers.viewpoint.look_at((i + 1, p, l))
    panes.refresh()
    assert len(shown) == 1


ORIENTATIONS = ("RAS", "LPS", "PIR", "ASL", "SRP", "ILA")


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_voxels_on_the_grid_of_the_scan(window: Any, tmp_path: Path, codes: str) -> None:
    """Whatever the orientation of the file, what is clicked in a pane is what is painted."""
    scan = head(tmp_path / f"{codes}.nii.gz", codes)
    study = Study.create(tmp_path / "study", [scan])
    window.session.take_study(study)
    window.session.show_scan(study.scans.names[0])
    window.panes.set_wanted("four")
    process_events()
    layers = window.session.layers
    layers.editing.layer.mode = "paint"
    layers.brush.set_diameter(min(layers.editing.layer.scale))
    layers.viewpoint.look_at((5, 6, 7))
    for plane in ("coronal", "sagittal", "axial"):
        press_in(window.panes, plane, (5, 6, 7))
    image: Any = nib.load(scan)
    here = Upright(image.affine).affine_of_display(image.shape) @ (5, 6, 7, 1)
    index = np.round(np.linalg.inv(image.affine) @ here)[:3].astype(int).tolist()
    assert layers.editing.mask_on_scan()[tuple(index)]
    for axis in range(3):  # and nothing but three discs through it
        assert abs(np.argwhere(layers.editing.mask_on_scan())[:, axis] - index[axis]).max() <= 1


def head(
    path: Path, codes: str, shape: tuple[int, ...] = (14, 16, 18), mm: Any = (1, 1, 1)
) -> Path:
    """A scan of noise with the axes of a file of some orientation."""
    rng = np.random.default_rng(1)
    image = nib.Nifti1Image(rng.random(shape, np.float32), np.diag([*mm, 1.0]))
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes)
    )
    nib.save(image.as_reoriented(turn), path)
    return path


@pytest.mark.parametrize(
    ("shape", "mm"), [((40, 40, 3), (1.0, 1.0, 5.0)), ((30, 12, 20), (0.7, 3.0, 1.1))]
)
def test_few_slices_and_long_voxels(
    window: Any, tmp_path: Path, shape: tuple[int, ...], mm: tuple[float, ...]
) -> None:
    scan = head(tmp_path / "thin.nii.gz", "RAS", shape, mm)
    study = Study.create(tmp_path / "study", [scan])
    window.session.take_study(study)
    window.session.show_scan(study.scans.names[0])
    window.panes.set_wanted("four")
    process_events()
    panes, layers = window.panes, window.session.layers
    for plane in PLANES:  # all of it is on screen
        pane = panes.panes[plane]
        assert pane.rect().contains(panes.area_on_screen(plane).toAlignedRect())
    layers.editing.layer.mode = "paint"
    layers.brush.set_diameter(min(mm))
    target = tuple(n // 2 for n in layers.editing.mask_on_display().shape)
    layers.viewpoint.look_at(target)
    press_in(panes, "sagittal", target)
    assert layers.editing.mask_on_display()[target]


# --- linked


def test_click_without_a_tool_moves_the_other_panes(window: Any, session: Any) -> None:
    panes, layers = window.panes, session.layers
    layers.editing.layer.mode = "pan_zoom"
    _, p, _ = layers.viewpoint.point
    press_in(panes, "coronal", (6, p, 9))
    assert layers.viewpoint.point == (6, p, 9)


def test_zoom_and_place_are_shared(window: Any, session: Any) -> None:
    panes, view = window.panes, camera(session.viewer)
    view.zoom *= 2
    view.center = (0, view.center[1] + 5, view.center[2] + 3)
    zoom, (_, p, l) = view.zoom, view.center  # noqa: E741
    panes.turn_to("coronal")
    assert view.zoom == pytest.approx(zoom)
    assert view.center[2] == pytest.approx(l)
    panes.turn_to("sagittal")
    assert view.center[2] == pytest.approx(p)
    press_key(session.viewer, Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier)
    assert view.zoom < zoom


def test_wheel_with_ctrl_goes_through_the_slices_of_a_pane(window: Any, session: Any) -> None:
    panes, (i, p, _) = window.panes, session.layers.viewpoint.point
    pane = panes.panes["sagittal"]
    middle = QPointF(pane.rect().center())
    wheel = QWheelEvent(
        middle, QPointF(pane.mapToGlobal(middle.toPoint())), QPoint(), QPoint(0, -120),
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.ControlModifier, Qt.ScrollPhase.NoScrollPhase,
        False,
    )  # fmt: skip
    QApplication.sendEvent(pane, wheel)
    assert panes.plane == "sagittal"
    assert session.layers.viewpoint.point[:2] == (i, p)


def test_shift_over_the_canvas_moves_the_crosshair(window: Any, session: Any) -> None:
    i, p, l = session.layers.viewpoint.point  # noqa: E741
    before = session.layers.editing.mask_on_scan()
    session.layers.editing.layer.mode = "paint"
    event = _Move((*session.layers.editing.layer.data_to_world((i, p - 3, l + 2)),), ("Shift",))
    for callback in session.viewer.mouse_move_callbacks:
        callback(session.viewer, event)
    assert session.layers.viewpoint.point == (i, p - 3, l + 2)
    assert np.array_equal(session.layers.editing.mask_on_scan(), before)


class _Move:
    """What napari tells of a mouse that moves."""

    def __init__(self, position: tuple[float, ...], modifiers: tuple[str, ...]) -> None:
        self.position, self.modifiers, self.handled = position, modifiers, False


def test_open_outline_keeps_its_pane_until_a_click(window: Any, session: Any) -> None:
    panes, layers = window.panes, session.layers
    layers.editing.layer.mode = "polygon"
    i, p, l = layers.viewpoint.point  # noqa: E741
    stroke(session.viewer, [(i, p, l)])
    QTest.mouseMove(panes.panes["coronal"], QPoint(40, 40))
    QTest.qWait(150)
    assert panes.plane == "axial"
    press_in(panes, "coronal", (i, p, l))
    assert panes.plane == "coronal"


def test_scan_switch_keeps_panes_right(window: Any, session: Any) -> None:
    panes = window.panes
    panes.turn_to("sagittal")
    session.show_scan(session.study.scans.names[2])
    process_events()
    assert panes.is_four and panes.plane == "sagittal"
    image, (i, p, l) = session.layers.showing.image_on_display(), session.layers.viewpoint.point  # noqa: E741
    session.layers.editing.layer.visible = False
    low, high = session.layers.showing.contrast
    for voxel in ((i, p - 3, l + 2), (i, p + 3, l - 4)):
        grey = 255 * np.clip((image[voxel] - low) / (high - low), 0, 1)
        wait_until(functools.partial(_is_grey, panes, "axial", voxel, grey), f"{voxel} in its grey")


def _is_grey(panes: Any, plane: str, voxel: tuple[int, int, int], grey: float) -> bool:
    return abs(colour_at(panes, plane, voxel).red() - grey) <= 3


def test_contrast_and_overlays_are_those_of_the_layers(window: Any, session: Any) -> None:
    panes, layers = window.panes, session.layers
    pane = panes.panes["coronal"]
    layers.editing.layer.visible = False
    drawn(panes)
    plain = pane.grab().toImage()
    layers.editing.layer.visible = True
    layers.brush.set_outline(True)
    drawn(panes)
    outlined = pane.grab().toImage()
    layers.brush.set_outline(False)
    drawn(panes)
    filled = pane.grab().toImage()
    differ = [
        sum(image.pixel(x, y) != plain.pixel(x, y) for x in range(0, plain.width(), 3)
            for y in range(0, plain.height(), 3))
        for image in (outlined, filled)
    ]
    assert 0 < differ[0] < differ[1]


# --- four, one, enlarged


def test_shift_k_enlarges_and_goes_back(window: Any, session: Any) -> None:
    panes, view = window.panes, camera(session.viewer)
    zoom = view.zoom
    press_key(session.viewer, Qt.Key.Key_K, Qt.KeyboardModifier.ShiftModifier)
    assert not panes.is_four and not panes.surface.isVisible()
    assert canvas_of(session.viewer).geometry() == panes.rect()
    assert view.zoom > zoom
    press_key(session.viewer, Qt.Key.Key_K, Qt.KeyboardModifier.ShiftModifier)
    assert panes.is_four and canvas_of(session.viewer).width() < panes.width()


def test_surface_is_enlarged_over_the_canvas(window: Any, session: Any) -> None:
    panes = window.panes
    panes.toggle_enlarged(surface=True)
    assert panes.surface.geometry() == panes.rect() and panes.surface.isVisible()
    panes.toggle_enlarged()
    assert panes.is_four


def test_room_decides_until_a_person_does(window: Any, session: Any) -> None:
    panes = window.panes
    panes.set_wanted("auto")
    assert not panes.is_four  # 1366 x 768, with both docks
    panes.resize(1000, 640)
    assert panes.is_four
    panes.set_wanted("one")
    assert not panes.is_four


def test_without_a_scan_there_is_one_canvas(window: Any, session: Any) -> None:
    session.close_study()
    process_events()
    assert not window.panes.is_four and not window.panes.surface.isVisible()
    assert canvas_of(session.viewer).geometry() == window.panes.rect()


def test_panes_open_again_after_the_dock_was_closed(viewer: Any, ranked_study: Study) -> None:
    from napari_singlestrip.widgets.dock.main_widget import StripWidget

    for _ in range(2):
        dock = StripWidget(viewer)
        frame = viewer.window.add_dock_widget(dock, name="SingleStrip", area="right")
        dock.session.take_study(ranked_study)
        dock.session.show_scan(ranked_study.scans.names[1])
        dock.panes.set_wanted("four")
        process_events()
        assert dock.panes.is_four
        viewer.window.remove_dock_widget(frame)
        process_events()
        assert canvas_of(viewer).isVisible()
        assert canvas_of(viewer).width() > 500
    close_viewer(viewer)
