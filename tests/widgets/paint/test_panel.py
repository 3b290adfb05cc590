from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from gui_fixtures import child, click, press_key, process_events, stroke, wait_until
from qtpy.QtCore import Qt

from napari_singlestrip.engine.learning import first_network
from napari_singlestrip.study.drafts import drafted

if TYPE_CHECKING:
    from napari_singlestrip.study.study import Study
    from napari_singlestrip.widgets.dock.main_widget import StripWidget

pytest_plugins = ("gui_fixtures",)


@pytest.fixture
def panel(window: StripWidget, study: Study) -> Any:
    """The paint step with an unpainted scan on screen, all of it visible."""
    window.session.take_study(study)
    window.session.step_requested.emit("paint")
    window.session.show_scan(study.scans.names[1])
    process_events()
    return window.panels["paint"]


def mask_of(panel: Any) -> np.ndarray:
    """The mask on screen, axes (I, P, L)."""
    mask = panel.session.layers.editing.mask_on_display()
    assert mask is not None
    return np.asarray(mask)


def middle(panel: Any) -> tuple[int, int, int]:
    i, p, l = (n // 2 for n in mask_of(panel).shape)  # noqa: E741
    panel.session.layers.viewpoint.look_at((i, p, l))
    return i, p, l


def paint(panel: Any, slices: int = 1, every: int = 6) -> None:
    """Paint a blob on slices around the middle, with the mouse."""
    i, p, l = middle(panel)  # noqa: E741
    press_key(panel.session.viewer, Qt.Key.Key_P)
    for n in range(slices):
        here = i + (n - slices // 2) * every
        panel.session.layers.viewpoint.look_at((here, p, l))
        stroke(panel.session.viewer, [(here, p - 2, l), (here, p + 2, l)])


def finished(panel: Any) -> None:
    wait_until(lambda: not panel.tools.busy, "the tool")
    process_events()


# --- what is said when there is nothing to paint


def test_without_a_study_the_step_says_what_to_do(window: StripWidget) -> None:
    window.session.step_requested.emit("paint")
    process_events()
    panel = window.panels["paint"]

    assert "step 1" in child(panel, "paint_empty").text()
    assert not child(panel, "paint_done").isVisible()
    for key in (Qt.Key.Key_I, Qt.Key.Key_G, Qt.Key.Key_W, Qt.Key.Key_T, Qt.Key.Key_N):
        press_key(window.viewer, key)  # nothing to do, and nothing breaks
    click(child(panel, "to_scans"))
    assert window.session.step == "scans"


def test_every_control_says_what_it_does(panel: Any) -> None:
    from qtpy.QtWidgets import QAbstractButton, QComboBox, QSlider

    for kind in (QAbstractButton, QComboBox, QSlider):
        for widget in panel.findChildren(kind):
            if widget.isVisible() and type(widget).__module__.startswith(("PyQt", "napari_s")):
                assert widget.toolTip() and widget.objectName(), widget


def test_no_two_buttons_have_the_same_name(panel: Any) -> None:
    from qtpy.QtWidgets import QPushButton

    texts = [made.text() for made in panel.findChildren(QPushButton) if made.isVisible()]
    names = [text.split("  ")[0] for text in texts]  # without the key
    assert len(names) > 20 and len(set(names)) == len(names), sorted(names)


def test_done_is_visible_however_far_the_step_is_scrolled(panel: Any) -> None:
    from qtpy.QtCore import QRect

    page, done = panel.parentWidget().parentWidget(), child(panel, "paint_done")
    done.hide()
    process_events()
    done.show()  # as when the first scans are added
    process_events()
    assert done.height() >= done.sizeHint().height()
    height, bar = page.height(), page.verticalScrollBar()
    page.setFixedHeight(260)
    process_events()
    assert bar.maximum() > 0
    for value in (0, bar.maximum() // 2, bar.maximum()):
        bar.setValue(value)
        process_events()
        at = QRect(done.mapTo(page.viewport(), done.rect().topLeft()), done.size())
        assert page.viewport().rect().contains(at) and at.bottom() > 260 - 20
    last = child(panel, "checks")  # nothing is hidden behind it at the end
    assert last.geometry().bottom() <= panel.footer.geometry().top()
    page.setMinimumHeight(0)
    page.setMaximumHeight(16777215)
    page.resize(page.width(), height)
    process_events()


def test_it_fits_the_dock(panel: Any) -> None:
    assert panel.minimumSizeHint().width() <= 400


# --- the mouse


def test_painting_erasing_and_undoing_to_nothing(panel: Any) -> None:
    paint(panel)
    painted = int(mask_of(panel).sum())
    assert painted > 5
    assert np.flatnonzero(mask_of(panel).any(axis=(1, 2))).size == 1  # a disc, not a ball

    i, p, l = middle(panel)  # noqa: E741
    click(child(panel, "tool_erase"))
    stroke(panel.session.viewer, [(i, p, l)])
    assert 0 < mask_of(panel).sum() < painted

    click(child(panel, "undo"))
    assert mask_of(panel).sum() == painted
    press_key(panel.session.viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not mask_of(panel).any()
    click(child(panel, "redo"))
    assert mask_of(panel).sum() == painted


def test_undo_never_crosses_scans(panel: Any) -> None:
    paint(panel)
    first, painted = panel.session.scan, mask_of(panel)

    press_key(panel.session.viewer, Qt.Key.Key_N)
    assert panel.session.scan != first
    before = mask_of(panel)
    press_key(panel.session.viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    click(child(panel, "undo"))
    np.testing.assert_array_equal(mask_of(panel), before)

    press_key(panel.session.viewer, Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    assert panel.session.scan == first
    np.testing.assert_array_equal(mask_of(panel), painted)


@pytest.fixture
def thick(panel: Any, study: Study) -> Any:
    """The paint step with a scan of 9 mm slices on screen."""
    panel.session.show_scan(study.scans.names[2])
    process_events()
    assert max(panel.session.layers.editing.layer.scale) == pytest.approx(9)
    return panel


def test_a_ball_is_round_in_mm_on_thick_slices(thick: Any) -> None:
    layers = thick.session.layers
    layers.brush.set_diameter(42.0)
    child(thick, "ball").click()
    point = middle(thick)
    click(child(thick, "tool_paint"))
    stroke(thick.session.viewer, [point])

    mask, scale = mask_of(thick), layers.editing.layer.scale
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        extent = mask.any(axis=others).sum() * scale[axis]
        assert extent == pytest.approx(42, abs=0.6 * scale[axis])
    assert mask.sum() * np.prod(scale) == pytest.approx(np.pi / 6 * 42**3, rel=0.1)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_disc_has_its_size_in_mm_in_every_plane(thick: Any, plane: str) -> None:
    layers = thick.session.layers
    layers.brush.set_diameter(42.0)
    click(child(thick, f"plane_{plane}"))
    point = middle(thick)
    click(child(thick, "tool_paint"))
    stroke(thick.session.viewer, [point])

    mask, scale = mask_of(thick), layers.editing.layer.scale
    across = layers.viewpoint.axes[0]
    assert mask.any(axis=tuple(a for a in range(3) if a != across)).sum() == 1
    area = mask.sum() * np.prod(scale) / scale[across]
    assert area == pytest.approx(np.pi * 21**2, rel=0.15)


def test_the_size_is_shown_and_obeys_slider_and_keys(panel: Any) -> None:
    brush = panel.session.layers.brush
    panel.tools.brush.size_slider.setValue(60)
    assert child(panel, "brush_size_label").text() == f"{brush.diameter_mm:.0f} mm"
    before = brush.diameter_mm

    press_key(panel.session.viewer, Qt.Key.Key_BracketRight)
    larger = brush.diameter_mm
    press_key(panel.session.viewer, Qt.Key.Key_BracketLeft)
    press_key(panel.session.viewer, Qt.Key.Key_BracketLeft)
    assert brush.diameter_mm < before < larger


def test_the_range_keeps_strokes_off_dark_and_bright(panel: Any) -> None:
    layers = panel.session.layers
    image = layers.showing.image_on_display()
    i, p, l = middle(panel)  # noqa: E741
    low, high = (float(v) for v in np.percentile(image[i], (55, 80)))
    press_key(panel.session.viewer, Qt.Key.Key_T)
    assert child(panel, "in_range").isChecked()
    layers.brush.paint_only_in((low, high))
    layers.brush.set_diameter(60)
    click(child(panel, "tool_paint"))
    stroke(panel.session.viewer, [(i, p - 3, l), (i, p + 3, l)])

    painted = image[mask_of(panel)]
    assert painted.size > 10
    assert painted.min() >= low and painted.max() <= high
    inside = (image[i] >= low) & (image[i] <= high)
    assert painted.size < mask_of(panel)[i].size and inside.sum() >= painted.size

    layers.brush.paint_only_in((-2.0, -1.0))  # erasing works out of range
    click(child(panel, "tool_erase"))
    stroke(panel.session.viewer, [(i, p - 3, l), (i, p + 3, l)])
    assert mask_of(panel).sum() < painted.size

    press_key(panel.session.viewer, Qt.Key.Key_T)
    assert layers.brush.range is None
    click(child(panel, "tool_paint"))
    stroke(panel.session.viewer, [(i, p - 3, l), (i, p + 3, l)])
    assert not inside[mask_of(panel)[i]].all()


def test_the_range_without_naparis_hook(panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A napari that paints in another way: what is out of range is undone at once."""
    from napari.layers import Labels

    layers = panel.session.layers
    labels = layers.editing.layer
    labels._apply_mask_to_data = Labels._apply_mask_to_data.__get__(labels)
    monkeypatch.setattr(layers.brush, "_hooked", False)
    image = layers.showing.image_on_display()
    i, p, l = middle(panel)  # noqa: E741
    low, high = (float(v) for v in np.percentile(image[i], (55, 80)))
    layers.brush.paint_only_in((low, high))
    layers.brush.set_diameter(60)
    click(child(panel, "tool_paint"))
    stroke(panel.session.viewer, [(i, p - 3, l), (i, p + 3, l)])

    painted = image[mask_of(panel)]
    assert painted.size > 10
    assert painted.min() >= low and painted.max() <= high


# --- tools


TOOLS = ("interpolate", "grow", "keep_largest", "fill_holes", "copy_slice", "suggest")


@pytest.mark.parametrize("tool", TOOLS)
def test_each_tool_is_one_step_of_undo(
    panel: Any, tool: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(first_network, "PATH", tmp_path / "none")  # by the shape of the head
    i, p, l = middle(panel)  # noqa: E741
    mask = np.zeros_like(mask_of(panel))
    for slice_ in (i - 6, i, i + 4):
        mask[slice_, p - 6 : p + 6, l - 5 : l + 5] = True
    mask[i - 1 : i + 2, p - 6 : p + 6, l - 5 : l + 5] = True
    mask[i, p, l] = False  # a hole, and pieces
    panel.session.layers.editing.change(mask)
    if tool == "copy_slice":
        panel.session.layers.viewpoint.look_at((i + 5, p, l))
    edits = []
    panel.session.mask_edited.connect(lambda: edits.append(1))

    click(child(panel, tool))
    finished(panel)

    made = mask_of(panel)
    assert (made != mask).any()
    assert len(edits) == 1
    panel.session.layers.editing.undo()
    np.testing.assert_array_equal(mask_of(panel), mask)
    panel.session.layers.editing.redo()
    np.testing.assert_array_equal(mask_of(panel), made)


def test_slices_are_painted_and_filled_by_key_and_taken_back_to_nothing(panel: Any) -> None:
    told: list[str] = []
    panel.session.told.connect(lambda text, level: told.append(text))
    paint(panel, slices=3)
    painted = mask_of(panel)

    press_key(panel.session.viewer, Qt.Key.Key_I)
    finished(panel)

    assert "Filled 10 slices between 3 painted ones" in told[-1]
    assert told[-1].endswith("Undo: Ctrl+Z.") and len(told[-1]) < 60  # one line
    assert mask_of(panel).any(axis=(1, 2)).sum() == 13
    wait_until(lambda: "13 painted slices, none missing" in child(panel, "check_lines").text())
    press_key(panel.session.viewer, Qt.Key.Key_I)
    finished(panel)
    assert "No slice is missing" in told[-1]
    panel.session.layers.editing.undo()
    np.testing.assert_array_equal(mask_of(panel), painted)
    for _ in range(3):
        panel.session.layers.editing.undo()
    assert not mask_of(panel).any()


def test_a_tools_result_is_dropped_when_the_person_went_on(panel: Any) -> None:
    told: list[str] = []
    panel.session.told.connect(lambda text, level: told.append(text))
    paint(panel)
    go_on = threading.Event()
    panel.tools.use("Slow", lambda mask, image, spacing: ~mask if go_on.wait(20) else mask)
    assert panel.tools.busy and not child(panel, "fill_holes").isEnabled()

    press_key(panel.session.viewer, Qt.Key.Key_N)
    before = mask_of(panel)
    go_on.set()
    finished(panel)

    assert "was cancelled" in told[-1]
    np.testing.assert_array_equal(mask_of(panel), before)


# --- from a file, and to training


def test_a_mask_from_a_file(panel: Any, heads: Any, tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    panel.session.told.connect(lambda text, level: told.append((text, level)))

    panel.load_mask(heads.masks[2])  # of another head, with thick slices
    assert told[-1][1] == "error" and "grid" in told[-1][0]
    panel.load_mask(tmp_path / "missing.nii.gz")
    assert told[-1][1] == "error"
    assert not mask_of(panel).any()

    panel.load_mask(heads.masks[1])
    assert mask_of(panel).sum() > 1000
    panel.session.layers.editing.undo()
    assert not mask_of(panel).any()


def test_done_keeps_the_mask_and_goes_to_training(panel: Any, study: Study) -> None:
    name = panel.session.scan
    assert not child(panel, "paint_done").isEnabled()
    assert child(panel, "check_lines").text() == "Nothing is painted yet."

    paint(panel)
    panel.session.unsaved.flush()
    assert drafted(study.folder) == (name,)
    painted = panel.session.layers.editing.mask_on_scan()
    panel.finish()

    assert panel.session.step == "train"
    assert study.masks.records()[name].kind == "painted"
    assert drafted(study.folder) == ()
    from napari_singlestrip.engine.imaging.volume import load_mask, open_scan

    kept = load_mask(study.masks.path(name), like=open_scan(study.scans.path(name)))
    np.testing.assert_array_equal(kept, painted)


def test_unfinished_changes_are_discarded_by_two_clicks(panel: Any, study: Study) -> None:
    discard = child(panel, "discard")
    assert not discard.isVisible()
    paint(panel)
    assert discard.isVisible()

    discard.click()
    assert mask_of(panel).any() and "again" in discard.text()
    discard.click()
    assert not mask_of(panel).any()
    assert drafted(study.folder) == ()
    assert not discard.isVisible()


def test_the_newest_prediction_is_the_suggestion(window: StripWidget, ranked_study: Study) -> None:
    name = ranked_study.scans.names[1]
    window.session.take_study(ranked_study)
    window.session.step_requested.emit("paint")
    window.session.show_scan(name)
    panel: Any = window.panels["paint"]
    predicted = mask_of(panel)
    panel.session.layers.editing.change(np.zeros_like(predicted))

    panel.suggest_first()
    finished(panel)

    np.testing.assert_array_equal(mask_of(panel), predicted)


def test_a_scan_to_paint_is_suggested(window: StripWidget, heads: Any, tmp_path: Path) -> None:
    from napari_singlestrip.study.study import Study

    window.session.take_study(Study.create(tmp_path / "new", heads.scans))
    window.session.step_requested.emit("paint")
    panel: Any = window.panels["paint"]
    wait_until(lambda: panel.choice.suggested, "the suggested scan")

    assert panel.choice.suggested in heads.names
    assert child(panel, "suggested_hint").isVisible()
    panel.choice.hint.linkActivated.emit("#")
    assert panel.session.scan == panel.choice.suggested
    assert "good one to paint" in child(panel, "suggested_hint").text()


def test_no_other_scan_is_suggested_while_scans_are_added_or_one_is_painted(
    window: StripWidget, heads: Any, tmp_path: Path
) -> None:
    """A line that comes and goes would move the tools below the hand."""
    from napari_singlestrip.study.study import Study
    from napari_singlestrip.widgets.session.job_process import JobStatus

    window.session.take_study(Study.create(tmp_path / "new", heads.scans))
    window.session.job._set(JobStatus("running", "samples"))
    window.session.step_requested.emit("paint")
    panel: Any = window.panels["paint"]
    wait_until(lambda: panel.choice.suggested, "the suggested scan")
    assert not child(panel, "suggested_hint").isVisible()
    window.session.job._set(JobStatus())
    panel.choice.refresh()
    assert child(panel, "suggested_hint").isVisible()
    paint(panel)
    wait_until(lambda: window.session.unfinished(), "the draft")
    panel.choice.refresh()
    assert not child(panel, "suggested_hint").isVisible()


def test_what_adjust_opens_is_in_sight(panel: Any, window: StripWidget) -> None:
    page: Any = window.stack.currentWidget()
    page.setFixedHeight(420)  # a small screen, with a long message below
    process_events()
    page.verticalScrollBar().setValue(0)
    press_key(panel.session.viewer, Qt.Key.Key_Y)
    wait_until(lambda: page.verticalScrollBar().value() > 0, "scrolling")
    adjust = panel.tools.adjust
    top = adjust.mapTo(page.viewport(), adjust.rect().topLeft()).y()
    bottom = top + adjust.height()
    room = page.viewport().height() - panel.footer.height()
    assert 0 <= top < room and (bottom <= room or top <= 1)


def test_the_right_button_and_shift_erase_with_the_brush(panel: Any) -> None:
    panel.session.layers.brush.set_diameter(6.0)
    i, p, l = middle(panel)  # noqa: E741
    click(child(panel, "tool_paint"))
    viewer, line = panel.session.viewer, [(i, p, l - 5), (i, p, l + 5)]
    stroke(viewer, line)
    painted = mask_of(panel)
    stroke(viewer, [line[0]], Qt.MouseButton.RightButton)
    less = mask_of(panel)
    assert 0 < less.sum() < painted.sum() and not (less & ~painted).any()
    stroke(viewer, [line[1]], modifier=Qt.KeyboardModifier.ShiftModifier)
    assert 0 < mask_of(panel).sum() < less.sum()
    for expected in (less, painted):
        panel.session.layers.editing.undo()
        np.testing.assert_array_equal(mask_of(panel), expected)
