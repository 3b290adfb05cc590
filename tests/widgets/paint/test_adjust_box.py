"""Margin, smoothing, small pieces, threshold and logic: seen first, then applied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gui_fixtures import child, click, press_key, process_events, wait_until
from qtpy.QtCore import Qt

from napari_singlestrip.engine.masks import mask_tools
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.paint.adjust_box import COMBINE, GROW, PIECES, SMOOTH, THRESHOLD
from napari_singlestrip.widgets.viewer.own_layers import PREVIEW

pytest_plugins = ("gui_fixtures",)


@pytest.fixture
def panel(window: Any, study: Study) -> Any:
    """Step 2 with a ball and a speck as the mask, and the box open."""
    window.session.take_study(study)
    window.session.step_requested.emit("paint")
    window.session.show_scan(study.scans.names[1])
    editing = window.session.layers.editing
    shape = editing.shape
    grid = np.ogrid[: shape[0], : shape[1], : shape[2]]
    ball = sum((a - n // 2) ** 2 for a, n in zip(grid, shape, strict=True)) < 7**2
    ball[1, 1, 1] = True
    editing.change(ball)
    press_key(window.viewer, Qt.Key.Key_Y)
    process_events()
    return window.panels["paint"]


def mask_of(panel: Any) -> np.ndarray:
    return np.asarray(panel.session.layers.editing.mask_on_display())


def preview(panel: Any) -> np.ndarray | None:
    """What the yellow outline encloses."""
    layer = panel.session.layers.own.get(PREVIEW)
    return None if layer is None else np.asarray(layer.data) != 0


def previewed(panel: Any, expected: np.ndarray) -> None:
    def is_there() -> bool:
        found = preview(panel)
        return found is not None and np.array_equal(found, expected)

    wait_until(is_there, "the preview")


def applied(panel: Any, expected: np.ndarray) -> None:
    """Apply; the mask is what was previewed, and undo brings the old one back."""
    before = mask_of(panel)
    assert not np.array_equal(expected, before)
    previewed(panel, expected)
    np.testing.assert_array_equal(mask_of(panel), before)  # a preview changes nothing
    click(child(panel, "adjust_apply"))
    wait_until(lambda: np.array_equal(mask_of(panel), expected), "the tool")
    wait_until(lambda: not panel.tools.busy)
    panel.session.layers.editing.undo()
    np.testing.assert_array_equal(mask_of(panel), before)


AMOUNTS: dict[int, tuple[str, float, Callable[[np.ndarray, Any, float], np.ndarray]]] = {
    GROW: ("margin", 6.0, lambda m, now, n: mask_tools.grow(m, now.upright.scale, n)),
    SMOOTH: ("smoothing", 8.0, lambda m, now, n: mask_tools.smooth(m, now.upright.scale, n)),
    PIECES: ("smallest", 5.0, lambda m, _now, _n: mask_tools.keep_largest(m)),
}


@pytest.mark.parametrize("kind", AMOUNTS)
def test_an_amount_is_seen_and_applied(panel: Any, kind: int) -> None:
    name, amount, expected = AMOUNTS[kind]
    panel.tools.adjust.kind.setCurrentIndex(kind)
    child(panel, name).setValue(amount)
    applied(panel, expected(mask_of(panel), panel.session.layers.showing.now, amount))
    assert panel.minimumSizeHint().width() <= 400


def test_a_threshold_is_seen_live_inside_the_mask_or_everywhere(panel: Any) -> None:
    panel.tools.adjust.kind.setCurrentIndex(THRESHOLD)
    image, mask = panel.session.layers.showing.image_on_display(), mask_of(panel)
    low = float(np.median(image[mask]))
    child(panel, "threshold").setValue((low, float(image.max())))
    low = child(panel, "threshold").value()[0]
    applied(panel, mask & (image >= low))
    child(panel, "threshold_inside").click()
    previewed(panel, image >= low)
    panel.session.layers.editing.change(np.zeros_like(mask))
    previewed(panel, image >= low)
    assert panel.minimumSizeHint().width() <= 400


def test_masks_are_combined_with_layers_and_files(panel: Any, tmp_path: Any, study: Study) -> None:
    from napari_singlestrip.engine.imaging.volume import save_mask

    now, mask = panel.session.layers.showing.now, mask_of(panel)
    other = np.zeros_like(mask)
    other[:, :, : mask.shape[2] // 2] = True
    panel.session.viewer.add_labels(other.astype(np.uint8), name="mine",
                                    scale=now.upright.scale)
    panel.session.layers.editing.select()
    panel.tools.adjust.kind.setCurrentIndex(COMBINE)
    assert "layer mine" in [child(panel, "combine_other").itemText(n)
                            for n in range(child(panel, "combine_other").count())]
    child(panel, "combine_other").setCurrentText("layer mine")
    child(panel, "combine_how").setCurrentIndex(1)
    applied(panel, mask & ~other)
    save_mask(tmp_path / "half.nii.gz", now.upright.to_scan(other), like=now.scan)
    panel.tools.adjust.take_file(tmp_path / "half.nii.gz")
    child(panel, "combine_how").setCurrentIndex(2)
    applied(panel, mask & other)
    panel.session.viewer.layers.remove("mine")
    assert panel.minimumSizeHint().width() <= 400


def test_the_preview_goes_with_the_box_and_with_the_step(panel: Any) -> None:
    previewed(panel, mask_tools.grow(mask_of(panel), panel.session.layers.viewpoint.scale, 1.0))
    press_key(panel.session.viewer, Qt.Key.Key_Y)
    assert preview(panel) is None
    assert not child(panel, "adjust_box").isVisible()
    press_key(panel.session.viewer, Qt.Key.Key_Y)
    wait_until(lambda: preview(panel) is not None)
    panel.session.step_requested.emit("scans")
    process_events()
    assert preview(panel) is None
