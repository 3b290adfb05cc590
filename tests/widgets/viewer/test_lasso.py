"""The lasso, with a real mouse on the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import skimage.measure
from gui_fixtures import canvas_of, pixel_of, press_key, process_events, stroke
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_singlestrip.study.drafts import load_draft
from napari_singlestrip.study.study import Study

pytest_plugins = ("gui_fixtures",)

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
SHIFT, NONE = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.NoModifier


@pytest.fixture
def session(window: Any, study: Study) -> Any:
    """Step 2 with an unpainted scan on screen."""
    window.session.take_study(study)
    window.session.step_requested.emit("paint")
    window.session.show_scan(study.scans.names[1])
    process_events()
    return window.session


def on_slice(session: Any, rows: Any, columns: Any) -> list[list[float]]:
    """Voxels on the slice on screen, from rows and columns of the canvas."""
    layers = session.layers
    across, row_axis, column_axis = layers.viewpoint.axes
    found = []
    for row, column in zip(rows, columns, strict=True):
        voxel = np.zeros(3)
        voxel[[across, row_axis, column_axis]] = layers.viewpoint.point[across], row, column
        found.append(voxel.tolist())
    return found


def circle(session: Any, radius: float = 6.0, n: int = 24) -> list[list[float]]:
    """A circle round the middle of the slice, in voxels."""
    turn = np.linspace(0, 2 * np.pi, n)
    _, rows, columns = session.layers.viewpoint.axes
    shape = session.layers.editing.layer.data.shape
    return on_slice(session, shape[rows] / 2 + radius * np.sin(turn),
                    shape[columns] / 2 + radius * np.cos(turn))


def drag(session: Any, points: Sequence[list[float]], button: Any = LEFT, modifier: Any = NONE,
         release: bool = True) -> None:
    """Draw through the points, a straight line between any two."""
    canvas, pixels = canvas_of(session.viewer), [pixel_of(session.viewer, p) for p in points]
    QTest.mouseMove(canvas, pixels[0])
    QTest.mousePress(canvas, button, modifier, pixels[0])
    for pixel in pixels[1:]:
        QTest.mouseMove(canvas, pixel)
        process_events()
    if release:
        QTest.mouseRelease(canvas, button, modifier, pixels[-1])
        process_events()


def truth_of(session: Any) -> np.ndarray:
    """A shape with a dent for the slice on screen, rows and columns."""
    _, rows, columns = session.layers.viewpoint.axes
    shape = [session.layers.editing.layer.data.shape[axis] for axis in (rows, columns)]
    r, c = np.ogrid[: shape[0], : shape[1]]
    r0, c0 = shape[0] / 2, shape[1] / 2
    round_ = ((r - r0) / (0.36 * shape[0])) ** 2 + ((c - c0) / (0.3 * shape[1])) ** 2 < 1
    return np.asarray(round_ & ~((abs(r - r0) < 2) & (c > c0)))


def seen(session: Any) -> np.ndarray:
    """The mask on the slice on screen, rows and columns."""
    across, rows, columns = session.layers.viewpoint.axes
    mask = session.layers.editing.mask_on_display()
    flat = np.take(mask, session.layers.viewpoint.point[across], axis=across)
    return flat if rows < columns else flat.T


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def test_it_is_the_tool_that_step_2_opens_with(session: Any) -> None:
    assert session.layers.brush.mode == "lasso"
    press_key(session.viewer, Qt.Key.Key_P)
    assert session.layers.brush.mode == "paint"
    session.show_scan(session.study.scans.names[2])
    session.step_requested.emit("review")
    session.step_requested.emit("paint")
    assert session.layers.brush.mode == "paint"  # as the person chose
    for key in (Qt.Key.Key_L, Qt.Key.Key_3):  # 3: napari's polygon
        press_key(session.viewer, Qt.Key.Key_P)
        press_key(session.viewer, key)
        assert session.layers.brush.mode == "lasso"


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("scan", [1, 2])
def test_going_round_an_outline_gives_its_mask(session: Any, plane: str, scan: int) -> None:
    session.show_scan(session.study.scans.names[scan])
    session.layers.viewpoint.set_plane(plane)
    process_events()
    truth, before = truth_of(session), session.layers.editing.mask_on_display()
    line = skimage.measure.find_contours(truth, 0.5)[0]  # type: ignore[no-untyped-call]
    drag(session, on_slice(session, *line.T))
    assert dice(seen(session), truth) >= 0.99
    changed = np.argwhere(session.layers.editing.mask_on_display() != before)
    assert np.ptp(changed[:, session.layers.viewpoint.axes[0]]) == 0  # one slice
    session.unsaved.flush()
    draft = load_draft(session.study.folder, session.scan)
    assert draft is not None
    assert np.array_equal(draft, session.layers.editing.mask_on_scan())
    session.layers.editing.undo()  # one step
    assert np.array_equal(session.layers.editing.mask_on_display(), before)


@pytest.mark.parametrize(("button", "modifier"), [(RIGHT, NONE), (LEFT, SHIFT)])
def test_the_right_button_and_shift_take_away(session: Any, button: Any, modifier: Any) -> None:
    drag(session, circle(session, 7))
    full = seen(session)
    drag(session, circle(session, 4), button, modifier)
    ring = seen(session)
    assert 0 < ring.sum() < full.sum()
    assert not (ring & ~full).any()
    middle = [n // 2 for n in full.shape]
    assert full[tuple(middle)] and not ring[tuple(middle)]


def test_the_line_is_seen_while_one_draws_and_escape_drops_it(session: Any) -> None:
    overlay = session.layers.canvas_tools.overlay
    drag(session, circle(session), release=False)
    assert overlay.isVisible() and overlay.n_points > 10
    line = overlay.grab().toImage()
    x, y = session.layers.canvas_tools.pixel(np.array(circle(session)[6]))
    colours = [line.pixelColor(round(x) + dx, round(y) + dy) for dx in (-1, 0, 1)
               for dy in (-1, 0, 1)]
    assert max(colour.red() for colour in colours) > 120  # half of a thin line's light
    press_key(session.viewer, Qt.Key.Key_Escape)
    assert not overlay.isVisible()
    end = pixel_of(session.viewer, circle(session)[-1])
    QTest.mouseMove(canvas_of(session.viewer), end)
    QTest.mouseRelease(canvas_of(session.viewer), LEFT, NONE, end)
    process_events()
    assert not session.layers.editing.mask_on_scan().any()
    drag(session, circle(session))  # the next one is a new one
    assert seen(session).any()


def test_it_never_goes_across_slices(session: Any) -> None:
    said: list[str] = []
    session.told.connect(lambda text, _level: said.append(text))
    i, p, l = session.layers.viewpoint.point  # noqa: E741
    points = circle(session)
    drag(session, points[:15], release=False)
    session.layers.viewpoint.look_at((i + 3, p, l))
    process_events()
    drag_on = [pixel_of(session.viewer, [a + 3, b, c]) for a, b, c in points[15:]]
    for pixel in drag_on:
        QTest.mouseMove(canvas_of(session.viewer), pixel)
        process_events()
    QTest.mouseRelease(canvas_of(session.viewer), LEFT, NONE, drag_on[-1])
    process_events()
    assert not session.layers.editing.mask_on_scan().any()
    assert "The open outline was cancelled" in said[-1]


def test_clicks_set_corners_and_enter_or_a_double_click_closes(session: Any) -> None:
    points = circle(session, 7, 9)[:-1]
    for point in points:
        stroke(session.viewer, [point])
        QTest.qWait(5)
    assert not seen(session).any()
    press_key(session.viewer, Qt.Key.Key_Return)
    first = seen(session)
    assert dice(first, disc(first.shape, 7)) > 0.85
    session.layers.editing.undo()
    for point in points[:-1]:
        stroke(session.viewer, [point])
    last = pixel_of(session.viewer, points[-1])
    QTest.mouseMove(canvas_of(session.viewer), last)
    QTest.mouseClick(canvas_of(session.viewer), LEFT, NONE, last)
    QTest.mouseDClick(canvas_of(session.viewer), LEFT, NONE, last)
    process_events()
    assert np.array_equal(seen(session), first)


def disc(shape: tuple[int, ...], radius: float) -> np.ndarray:
    r, c = np.ogrid[: shape[0], : shape[1]]
    return np.asarray((r - shape[0] / 2) ** 2 + (c - shape[1] / 2) ** 2 < radius**2)


def test_a_click_by_accident_is_no_corner_and_undo_takes_corners_first(session: Any) -> None:
    stroke(session.viewer, [on_slice(session, [1], [1])[0]])
    drag(session, circle(session))
    drawn = seen(session)
    assert dice(drawn, disc(drawn.shape, 6)) > 0.9
    for point in circle(session, 3, 5)[:2]:
        stroke(session.viewer, [point])
    session.layers.editing.undo()
    assert not session.layers.canvas_tools.overlay.isVisible()
    assert np.array_equal(seen(session), drawn)  # the corners were the last that was done


def test_only_in_the_range_of_intensities_when_that_is_on(session: Any) -> None:
    image = session.layers.showing.image_on_display()
    range_ = float(np.percentile(image, 60)), float(image.max())
    session.layers.brush.paint_only_in(range_)
    drag(session, circle(session, 9))
    painted = session.layers.editing.mask_on_display()
    assert painted.any()
    assert image[painted].min() >= range_[0]


def test_in_three_dimensions_the_mouse_turns_the_head(session: Any) -> None:
    layer = session.layers.editing.layer
    assert not layer.mouse_pan
    session.viewer.dims.ndisplay = 3
    assert layer.mouse_pan
    session.viewer.dims.ndisplay = 2
    assert not layer.mouse_pan
