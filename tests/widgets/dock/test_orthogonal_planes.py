"""The planes that the canvas does not show: right slices, right shape, linked both ways."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from gui_fixtures import (
    canvas_of,
    child,
    click,
    pixel_of,
    press_key,
    process_events,
    wait_until,
)
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.viewer.plane_view import CYAN, PlaneView
from napari_singlestrip.widgets.viewer.viewpoint import PLANES

pytest_plugins = ("gui_fixtures",)


@pytest.fixture
def session(window: Any, ranked_study: Study) -> Any:
    """A session with the second scan on screen."""
    window.session.take_study(ranked_study)
    window.session.show_scan(ranked_study.names[1])
    process_events()
    return window.session


def colours(view: PlaneView) -> Any:
    """Pixels (rows, columns, RGB) of a view."""
    image = view.grab().toImage()
    image = image.convertToFormat(image.Format.Format_RGB888)
    content: Any = image.constBits()
    if hasattr(content, "setsize"):  # PyQt6; PySide6 knows the size
        content.setsize(image.sizeInBytes())
    rows = np.frombuffer(content, np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(int)


def n_cyan(view: PlaneView) -> int:
    """Pixels of the mask's outline."""
    return int((np.abs(colours(view) - np.array(CYAN)).max(axis=-1) < 60).sum())


# --- one plane by itself


def test_slice_has_its_shape_in_mm(qtbot: Any) -> None:
    view = PlaneView("test")
    qtbot.addWidget(view)
    view.resize(200, 200)
    image = np.ones((10, 40, 20), np.float32)
    mask = np.zeros(image.shape, np.uint8)
    for plane, ratio in (("axial", 40 * 1 / (20 * 2)), ("coronal", 10 * 5 / (20 * 2))):
        view.show_slice(image, mask, plane, (5, 20, 10), (5.0, 1.0, 2.0), (0.0, 1.0))
        rows, columns = np.nonzero(colours(view).min(axis=-1) > 250)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert height / width == pytest.approx(ratio, rel=0.03)


def test_voxels_and_pixels_go_there_and_back(qtbot: Any) -> None:
    view = PlaneView("test")
    qtbot.addWidget(view)
    view.resize(230, 150)
    image = np.zeros((12, 30, 25), np.float32)
    for plane in PLANES:
        view.show_slice(
            image, image, plane, (4, 17, 9), (2.0, 1.0, 1.5), (0.0, 1.0)
        )  # fmt: skip
        assert view.voxel(view.pixel((4, 17, 9))) == (4, 17, 9)
        place = view.voxel(QPointF(-50, 500))
        assert all(0 <= n < size for n, size in zip(place, image.shape, strict=True))


def test_values_that_are_no_numbers_are_black(qtbot: Any) -> None:
    view = PlaneView("test")
    qtbot.addWidget(view)
    view.resize(100, 100)
    image = np.full((9, 9, 9), np.nan, np.float32)
    view.show_slice(image, np.zeros((9, 9, 9)), "axial", (4, 4, 4), (1.0, 1.0, 1.0), (0.0, 0.0))
    assert colours(view)[30, 30].max() == 0


def test_refresh_is_fast_at_full_size(qtbot: Any) -> None:
    """Below 10 ms for both on a quiet machine; the limit here is for busy ones."""
    image = np.zeros((256, 256, 256), np.float32)
    mask = np.zeros(image.shape, np.uint8, order="F")
    view = PlaneView("test")
    qtbot.addWidget(view)
    seconds = []
    for n in range(5):
        begin = time.process_time()
        for plane in ("coronal", "sagittal"):
            view.show_slice(image, mask, plane, (n, n, n), (1.0, 1.0, 1.0), (0.0, 1.0))
        seconds.append(time.process_time() - begin)
    assert min(seconds) < 0.03


# --- beside the canvas


def test_shows_what_the_canvas_does_not(window: Any, session: Any) -> None:
    first, second = window.planes.views
    for plane in PLANES:
        session.layers.set_plane(plane)
        process_events()
        assert {first.plane, second.plane} == set(PLANES) - {plane}
        assert first.isVisible() and second.isVisible()
        assert n_cyan(first) > 20 and n_cyan(second) > 20


def test_slider_of_the_canvas_moves_the_crosshair(window: Any, session: Any) -> None:
    i, p, l = session.layers.point  # noqa: E741
    session.viewer.dims.set_current_step(0, i + 2)
    process_events()
    assert all(view.point == (i + 2, p, l) for view in window.planes.views)


def test_click_and_drag_move_the_slice_of_the_canvas(window: Any, session: Any) -> None:
    view = window.planes.views[0]
    assert (session.layers.plane, view.plane) == ("axial", "coronal")
    _, p, _ = session.layers.point
    button = Qt.MouseButton.LeftButton
    QTest.mousePress(view, button, pos=view.pixel((6, p, 9)).toPoint())
    assert session.layers.point == (6, p, 9)
    QTest.mouseMove(view, view.pixel((8, p, 11)).toPoint())
    QTest.mouseRelease(view, button, pos=view.pixel((8, p, 11)).toPoint())
    process_events()
    assert session.layers.point == (8, p, 11)
    assert view.point == (8, p, 11)


def test_wheel_goes_through_the_slices(window: Any, session: Any) -> None:
    view = window.planes.views[1]
    assert view.plane == "sagittal"
    i, p, l = session.layers.point  # noqa: E741
    middle = QPointF(view.rect().center())
    wheel = QWheelEvent(
        middle, QPointF(view.mapToGlobal(middle.toPoint())), QPoint(), QPoint(0, -120),
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase,
        False,
    )  # fmt: skip
    QApplication.sendEvent(view, wheel)
    assert session.layers.point == (i, p, l + 1)


def test_shift_over_the_canvas_moves_the_crosshair(window: Any, session: Any) -> None:
    i, p, l = session.layers.point  # noqa: E741
    canvas, before = canvas_of(session.viewer), session.layers.mask_on_scan()
    session.layers.mask_layer.mode = "paint"
    QTest.mouseMove(canvas, pixel_of(session.viewer, (i, p - 4, l + 3)))
    process_events()
    assert session.layers.point == (i, p, l)
    QTest.keyPress(canvas, Qt.Key.Key_Shift)
    event = _Move((*session.layers.mask_layer.data_to_world((i, p - 3, l + 2)),), ("Shift",))
    for callback in session.viewer.mouse_move_callbacks:
        callback(session.viewer, event)
    QTest.keyRelease(canvas, Qt.Key.Key_Shift)
    assert session.layers.point == (i, p - 3, l + 2)
    assert np.array_equal(session.layers.mask_on_scan(), before)


class _Move:
    """What napari tells of a mouse that moves."""

    def __init__(self, position: tuple[float, ...], modifiers: tuple[str, ...]) -> None:
        self.position, self.modifiers, self.handled = position, modifiers, False


def test_follows_the_mask_the_scan_and_the_contrast(window: Any, session: Any) -> None:
    view = window.planes.views[0]
    before = n_cyan(view)
    session.layers.change_mask(np.zeros_like(session.layers.mask_on_display()))
    process_events()
    assert n_cyan(view) == 0 < before
    session.layers.undo()
    process_events()
    assert n_cyan(view) == before
    brightness = colours(view).mean()
    low, high = session.layers.contrast
    session.layers.image_layer.contrast_limits = (low, low + (high - low) / 4)
    process_events()
    assert colours(view).mean() > 1.3 * brightness
    session.show_scan(session.study.names[2])
    process_events()
    assert view.point == session.layers.point


def test_planes_come_and_go_with_the_scan(window: Any, session: Any) -> None:
    planes = window.planes
    assert planes.isVisible()
    planes.set_wanted(False)
    assert not planes.isVisible()
    planes.set_wanted(True)
    assert planes.isVisible()
    session.close_study()
    assert not planes.isVisible()


def test_views_are_found_by_name(window: Any, session: Any) -> None:
    main = session.viewer.window._qt_window
    assert child(main, "plane_view_first") is window.planes.views[0]
    assert child(main, "plane_view_first").toolTip()


# --- what was filled between painted slices


def n_yellow(view: PlaneView) -> int:
    """Pixels that are tinted: redder than blue by much."""
    image = colours(view)
    return int((image[..., 0] - image[..., 2] > 60).sum())


@pytest.fixture
def sparse(window: Any, session: Any) -> Any:
    """The brain on every third slice, with the paint step open."""
    window.go_to("paint")
    mask = session.layers.mask_on_display()
    painted = np.flatnonzero(mask.any(axis=(1, 2)))
    thin = np.zeros_like(mask)
    thin[painted[::3]] = mask[painted[::3]]
    session.layers.change_mask(thin)
    process_events()
    return window


def test_filled_slices_are_yellow_until_the_next_change(sparse: Any, session: Any) -> None:
    views = sparse.planes.views
    before = [n_yellow(view) for view in views]
    for _ in range(2):
        press_key(session.viewer, Qt.Key.Key_I)
        wait_until(lambda: not sparse.panel.tools.busy, "the slices")
        process_events()
        assert all(n_yellow(v) > n + 200 for v, n in zip(views, before, strict=True))
        session.layers.undo()
        process_events()
        assert [n_yellow(view) for view in views] == before


def test_yellow_fades_by_itself(sparse: Any, session: Any) -> None:
    view = sparse.planes.views[0]
    before = n_yellow(view)
    sparse.planes._fades.setInterval(300)
    press_key(session.viewer, Qt.Key.Key_I)
    wait_until(lambda: n_yellow(view) > before + 200, "yellow")
    wait_until(lambda: n_yellow(view) < before + 60, "no yellow", 5)  # the outline has moved
    after = session.layers.mask_on_display().sum()
    session.show_scan(session.study.names[2])
    session.show_scan(session.study.names[1])
    assert session.layers.mask_on_display().sum() == after  # only the tint went


def test_filling_works_while_the_planes_are_hidden(sparse: Any, session: Any) -> None:
    click(child(sparse, "toggle_planes"))
    before = session.layers.mask_on_display().sum()
    press_key(session.viewer, Qt.Key.Key_I)
    wait_until(lambda: session.layers.mask_on_display().sum() > before, "the slices")
