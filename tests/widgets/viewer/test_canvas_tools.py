"""Smart and local brushes, scissors and pieces, with a real mouse on the image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gui_fixtures import press_key, process_events, stroke
from qtpy.QtCore import Qt

from napari_singlestrip.study.drafts import load_draft
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.viewer.brush import KEYS

pytest_plugins = ("gui_fixtures",)

RIGHT, SHIFT = Qt.MouseButton.RightButton, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def session(window: Any, study: Study) -> Any:
    """Step 2, with a ball in the middle of a scan as its mask, and a small one beside it."""
    window.session.take_study(study)
    window.session.step_requested.emit("paint")
    window.session.show_scan(study.scans.names[1])
    layers = window.session.layers
    layers.editing.change(balls(layers.editing.shape))
    layers.viewpoint.look_at(middle(window.session))
    layers.brush.set_diameter(8 * min(layers.viewpoint.scale))
    process_events()
    return window.session


def balls(shape: tuple[int, int, int]) -> np.ndarray:
    i, p, l = np.ogrid[: shape[0], : shape[1], : shape[2]]  # noqa: E741
    a, b, c = (n // 2 for n in shape)
    large = (i - a) ** 2 + (p - b) ** 2 + (l - c) ** 2 < 8**2
    small = (i - a) ** 2 + (p - b) ** 2 + (l - c - 12) ** 2 < 2**2
    return np.asarray(large | small)


def middle(session: Any) -> tuple[int, int, int]:
    i, p, l = (n // 2 for n in session.layers.editing.shape)  # noqa: E741
    return i, p, l


def take(session: Any, mode: Any) -> np.ndarray:
    """Take a tool by its key; the mask before."""
    press_key(session.viewer, Qt.Key["Key_" + KEYS[mode].replace("=", "Equal")])
    assert session.layers.brush.mode == mode
    return np.asarray(session.layers.editing.mask_on_display())


def check_one_step(session: Any, before: np.ndarray, flat: bool = True) -> np.ndarray:
    """What changed is saved, and is one step of undo; the mask after."""
    layers = session.layers
    after = np.asarray(layers.editing.mask_on_display())
    changed = np.argwhere(after != before)
    assert len(changed)
    assert (np.ptp(changed[:, layers.viewpoint.axes[0]]) == 0) == flat
    session.unsaved.flush()
    draft = load_draft(session.study.folder, session.scan)
    assert draft is not None
    np.testing.assert_array_equal(draft, layers.editing.mask_on_scan())
    layers.editing.undo()
    np.testing.assert_array_equal(layers.editing.mask_on_display(), before)
    layers.editing.redo()
    return after


@pytest.mark.parametrize("mode", ["paint", "snap"])
def test_a_key_takes_its_tool_also_while_the_scan_is_selected_for_its_contrast(
    session: Any, mode: Any
) -> None:
    session.layers.brush.set_mode("lasso")
    layers = session.viewer.layers
    layers.selection.active = session.layers.own.get("Scan")
    take(session, mode)
    assert layers.selection.active is session.layers.editing.layer


def test_the_smart_brush_paints_what_is_alike_and_takes_it_away(session: Any) -> None:
    before = take(session, "smart")
    i, p, l = middle(session)  # noqa: E741
    path = [(i, p - 12, l - 3), (i, p - 12, l + 3)]
    stroke(session.viewer, path)
    after = check_one_step(session, before)
    assert after.sum() > before.sum()
    stroke(session.viewer, path, RIGHT)
    assert session.layers.editing.mask_on_display().sum() < after.sum()


def test_the_ball_of_the_smart_brush_reaches_other_slices(session: Any) -> None:
    session.layers.brush.set_ball(True)
    before = take(session, "smart")
    i, p, l = middle(session)  # noqa: E741
    stroke(session.viewer, [(i, p - 11, l)])
    check_one_step(session, before, flat=False)


@pytest.mark.parametrize("out", [True, False])
def test_pushing_moves_the_border_along(session: Any, out: bool) -> None:
    before = take(session, "push")
    i, p, l = middle(session)  # noqa: E741
    path = [(i, p - 7, l), (i, p - 11, l)]
    stroke(session.viewer, path if out else path[::-1])
    after = check_one_step(session, before)
    column = (i, slice(None), l)
    assert (after[column].sum() > before[column].sum()) == out


def test_the_border_grows_once_in_a_stroke_and_shrinks_with_shift(session: Any) -> None:
    before = take(session, "margin_here")
    i, p, l = middle(session)  # noqa: E741
    there_and_back = [(i, p - 8, l - 2), (i, p - 8, l + 2), (i, p - 8, l - 2)]
    stroke(session.viewer, there_and_back)
    after = check_one_step(session, before)
    column = (i, slice(0, p), l)
    assert after[column].sum() == before[column].sum() + 1
    stroke(session.viewer, there_and_back, modifier=SHIFT)
    assert session.layers.editing.mask_on_display()[column].sum() == before[column].sum()


def test_smoothing_takes_a_spike_under_the_brush(session: Any) -> None:
    spiky = balls(session.layers.editing.shape)
    i, p, l = middle(session)  # noqa: E741
    spiky[i, p - 12 : p, l] = True
    session.layers.editing.change(spiky)
    before = take(session, "smooth_here")
    stroke(session.viewer, [(i, p - 12, l), (i, p - 8, l)])
    after = check_one_step(session, before)
    assert not after[i, p - 11, l]


def test_snapping_moves_the_border_under_the_brush(session: Any) -> None:
    before = take(session, "snap")
    i, p, l = middle(session)  # noqa: E741
    stroke(session.viewer, [(i, p - 8, l), (i - 0, p, l - 8)])
    after = np.asarray(session.layers.editing.mask_on_display())
    assert not (after != before)[i, p + 4 :, l + 4 :].any()  # not where the brush was not
    check_one_step(session, before)


def test_scissors_cut_the_smaller_part_off_in_all_slices(session: Any) -> None:
    before = take(session, "scissors")
    i, p, l = middle(session)  # noqa: E741
    line = [(i, p - 12, l + 5), (i, p + 12, l + 5)]
    stroke(session.viewer, line)
    after = check_one_step(session, before, flat=False)
    assert not after[:, :, l + 6 :].any()
    np.testing.assert_array_equal(after[:, :, : l + 4], before[:, :, : l + 4])
    session.layers.editing.undo()
    stroke(session.viewer, line, RIGHT)
    left = np.asarray(session.layers.editing.mask_on_display())
    np.testing.assert_array_equal(left[:, :, l + 6 :], before[:, :, l + 6 :])
    assert not left[:, :, : l + 4].any()


def test_scissors_cut_out_what_is_gone_round(session: Any) -> None:
    before = take(session, "scissors")
    i, p, l = middle(session)  # noqa: E741
    turn = np.linspace(0, 2 * np.pi, 12)
    stroke(session.viewer, [(i, p + 3 * np.sin(a), l + 3 * np.cos(a)) for a in turn])
    after = check_one_step(session, before, flat=False)
    assert not after[:, p, l].any() and after[i, p - 6, l]


def test_a_click_erases_a_piece_or_keeps_it_alone(session: Any) -> None:
    before = take(session, "piece")
    i, p, l = middle(session)  # noqa: E741
    stroke(session.viewer, [(i, p - 13, l)])  # beside all pieces
    np.testing.assert_array_equal(session.layers.editing.mask_on_display(), before)
    stroke(session.viewer, [(i, p, l + 12)])
    after = check_one_step(session, before, flat=False)
    assert after[i, p, l] and not after[:, :, l + 10 :].any()
    session.layers.editing.undo()
    stroke(session.viewer, [(i, p, l + 12)], modifier=SHIFT)
    alone = session.layers.editing.mask_on_display()
    assert alone[i, p, l + 12] and not alone[i, p, l]


def test_a_stroke_over_a_change_of_slice_ends_where_it_was(session: Any) -> None:
    before = take(session, "smart")
    i, p, l = middle(session)  # noqa: E741
    session.layers.editing.begin_stroke()
    session.layers.editing.settle()  # another scan is shown, or the mask is stored
    stroke(session.viewer, [(i, p - 11, l)])
    check_one_step(session, before)


def test_painting_in_a_range_leaves_specks_out(session: Any) -> None:
    layers = session.layers
    i, p, l = middle(session)  # noqa: E741
    layers.editing.change(np.zeros(layers.editing.shape, bool))
    image = layers.showing.image_on_display()
    image[i, p - 4 : p + 5, l - 8 : l + 9] = 0
    image[i, p - 4 : p + 5, l - 2 : l + 3] = image[i, p, l + 7] = 500
    layers.brush.paint_only_in((400, 600))
    layers.brush.set_diameter(15 * min(layers.viewpoint.scale))
    press_key(session.viewer, Qt.Key.Key_P)
    stroke(session.viewer, [(i, p, l)])
    painted = layers.editing.mask_on_display()
    assert painted[i, p, l] and not painted[i, p, l + 7]
