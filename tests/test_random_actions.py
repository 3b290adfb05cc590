"""Random actions of a person with napari's own controls and ours: no exception, no lost stroke.

What holds after each action: what is on disk for a scan is what is seen of its mask, the layers
lie on the scan's grid, and nothing went wrong out of sight. The seed is in the name of the test.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gui_fixtures import canvas_of, pixel_of, press_key, process_events
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton

from napari_singlestrip.study.drafts import drafted, load_draft
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.session.session import STEPS
from napari_singlestrip.widgets.viewer.own_layers import IMAGE, MASK

pytest_plugins = ("gui_fixtures",)

KEYS = "1234567PEFLZMXBVQCJYARSNIGTODHUK[]"
MODES = ("pan_zoom", "paint", "erase", "polygon", "fill", "pick", "transform")


class Person:
    """Somebody who clicks everywhere.

    Parameters
    ----------
    window : StripWidget
    seed : int
    """

    def __init__(self, window: Any, seed: int) -> None:
        self.window, self.session, self.viewer = window, window.session, window.viewer
        self.random = random.Random(seed)
        self.did: list[str] = []

    def act(self) -> None:
        """Do something, and check what must hold."""
        actions: tuple[Callable[[], Any], ...] = (
            self.hide, self.delete, self.rename, self.select, self.step, self.scan, self.mode,
            self.mode, self.stroke, self.stroke, self.stroke, self.key, self.key, self.look,
            self.plane, self.undo, self.move, self.label, self.own_layer, self.click, self.order,
        )
        action = self.random.choice(actions)
        self.did.append(action.__name__)
        action()
        process_events()
        self.check()

    def check(self) -> None:
        """What is on disk is what is seen."""
        layers = self.session.layers
        if layers.showing.now is None:
            return
        trail = " ".join(self.did[-12:])
        mask, image = layers.editing.layer, layers.showing.image_layer
        assert mask is not None and image is not None, trail
        for layer in (mask, image):
            corner = np.subtract(layer.data.shape, 1)
            place = layer.data_to_world(corner)
            assert np.allclose(place, corner * np.asarray(layers.showing.now.upright.scale)), trail
            assert str(layer.mode) != "transform", trail
        seen = np.asarray(mask.data) != 0
        assert np.array_equal(seen, layers.editing.mask_on_display()), trail
        unfinished = bool(mask._staged_history)  # an outline that is being gone round
        self.session.unsaved.flush()
        folder, name = self.session.study.folder, self.session.scan
        of_person = layers.showing.now.source != "pseudo_label"
        if name in drafted(folder) and of_person and not unfinished:
            draft = load_draft(folder, name)
            assert draft is not None
            assert np.array_equal(layers.showing.now.upright.to_display(draft), seen), trail

    # --- what a person does

    def hide(self) -> None:
        layer = self.random.choice(list(self.viewer.layers) or [None])
        if layer is not None:
            layer.visible = not layer.visible

    def delete(self) -> None:
        # Ours, which stay. napari 0.9 with OpenGL in software may crash after any other labels
        # layer was removed, also without us.
        ours = [layer for layer in self.viewer.layers if self.session.layers.own.has(layer)]
        if ours:
            self.viewer.layers.selection.active = self.random.choice(ours)
            self.viewer.layers.remove_selected()

    def rename(self) -> None:
        if self.viewer.layers:
            names = (MASK, IMAGE, "mine", "a\nb")
            self.random.choice(list(self.viewer.layers)).name = self.random.choice(names)

    def select(self) -> None:
        if self.viewer.layers:
            self.viewer.layers.selection.active = self.random.choice(list(self.viewer.layers))

    def step(self) -> None:
        self.session.step_requested.emit(self.random.choice(STEPS))

    def scan(self) -> None:
        self.session.show_scan(self.random.choice(self.session.study.scans.names))

    def mode(self) -> None:
        layer = self.viewer.layers.selection.active
        if layer is not None and hasattr(layer, "brush_size"):
            layer.mode = self.random.choice(MODES)

    def stroke(self) -> None:
        layers = self.session.layers
        if layers.editing.layer is None or self.viewer.dims.ndisplay == 3:
            return
        canvas = canvas_of(self.viewer)
        here = pixel_of(self.viewer, layers.viewpoint.point, layers.editing.layer)
        buttons = (Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton)
        button = self.random.choice((*buttons, buttons[0]))
        QTest.mousePress(canvas, button, pos=here)
        for _ in range(3):
            by = QPoint(self.random.randint(-60, 60), self.random.randint(-60, 60))
            QTest.mouseMove(canvas, here + by)
            QTest.qWait(2)
        if self.random.random() < 0.3:
            self.look()
            QTest.mouseMove(canvas, here + QPoint(30, 30))
            QTest.qWait(2)
        QTest.mouseRelease(canvas, button, pos=here)

    def key(self) -> None:
        letter = self.random.choice(KEYS)
        keys = {"[": Qt.Key.Key_BracketLeft, "]": Qt.Key.Key_BracketRight}
        press_key(self.viewer, keys.get(letter) or Qt.Key[f"Key_{letter}"])

    def look(self) -> None:
        if self.session.layers.showing.now is not None:
            shape = self.session.layers.editing.mask_view().shape
            self.session.layers.viewpoint.look_at(tuple(self.random.randrange(n) for n in shape))

    def plane(self) -> None:
        self.viewer.dims.ndisplay = 2
        plane = self.random.choice(("axial", "coronal", "sagittal"))
        self.session.layers.viewpoint.set_plane(plane)

    def undo(self) -> None:
        modifier = Qt.KeyboardModifier
        shift = self.random.choice((modifier.NoModifier, modifier.ShiftModifier))
        press_key(self.viewer, Qt.Key.Key_Z, modifier.ControlModifier | shift)

    def move(self) -> None:
        if self.viewer.layers:
            layer = self.random.choice(list(self.viewer.layers))
            layer.translate = [self.random.randint(-9, 9) for _ in range(layer.ndim)]

    def label(self) -> None:
        layer = self.session.layers.editing.layer
        if layer is not None:
            layer.selected_label = self.random.choice((0, 1, 2))
            layer.preserve_labels = self.random.random() < 0.2
            layer.contour = self.random.choice((0, 1, 3))
            layer.n_edit_dimensions = self.random.choice((2, 3))
            layer.show_selected_label = self.random.random() < 0.5

    def own_layer(self) -> None:
        if len(self.viewer.layers) < 6:
            # Larger than the scans: napari raises errors when one paints beside a layer.
            shape, scale = np.full(3, self.random.choice((50, 70))), (7, 7, 7)
            self.viewer.add_labels(np.zeros(shape, np.uint8), name="mine", scale=scale)

    def click(self) -> None:
        buttons = [b for b in self.window.panel.findChildren(QAbstractButton) if b.isVisible()]
        names = ("accept", "reject", "corrected", "next", "undo_decision", "discard", "outline",
                 "doubts", "tool_paint", "tool_erase", "keep_largest", "adjust",
                 "adjust_apply", "tool_lasso", "tool_smart", "tool_scissors", "worst_first")
        buttons = [b for b in buttons if b.objectName() in names and b.isEnabled()]
        if buttons:
            self.random.choice(buttons).click()

    def order(self) -> None:
        order = list(range(self.viewer.dims.ndim))
        self.random.shuffle(order)
        self.viewer.dims.order = tuple(order)


def run(window: Any, study: Study, seed: int, seconds: float, most: int) -> None:
    """Let somebody act for a while."""
    window.session.take_study(study)
    window.session.show_scan(study.scans.names[1])
    window.session.step_requested.emit("review")
    process_events()
    person = Person(window, seed)
    end = time.monotonic() + seconds
    for _ in range(most):
        if time.monotonic() > end:
            break
        person.act()
    QTest.qWait(200)
    person.check()


@pytest.mark.parametrize("seed", (1, 2))
def test_random_actions(window: Any, ranked_study: Study, seed: int) -> None:
    run(window, ranked_study, seed, 30, 40)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10, 13))
def test_many_random_actions(window: Any, ranked_study: Study, seed: int) -> None:
    run(window, ranked_study, seed, 60, 2000)
