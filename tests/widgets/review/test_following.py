"""Three slices of a mask are set right, and the rest follows: in a real window."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy
from gui_fixtures import child, click, press_key, process_events, wait_until
from qtpy.QtCore import Qt

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_mask
from napari_singlestrip.engine.masks.spreading import SetSlice
from napari_singlestrip.widgets.paint import following
from napari_singlestrip.widgets.viewer.study_layers import StudyLayers

if TYPE_CHECKING:
    from conftest import Heads

    from napari_singlestrip.study.study import Study
    from napari_singlestrip.widgets.dock.main_widget import StripWidget

pytest_plugins = ("gui_fixtures",)

PLANE_ACROSS = ("axial", "coronal", "sagittal")


class Corrector:
    """A person who knows the truth, before a mask that is two voxels too large all around."""

    def __init__(self, window: StripWidget, study: Study, heads: Heads, scan: int) -> None:
        self.window, self.name = window, heads.names[scan]
        header = open_scan(study.scan_path(self.name))
        truth = load_mask(heads.masks[scan], like=header)
        large = scipy.ndimage.binary_dilation(truth, iterations=2)
        save_mask(study.pseudo_label_path(0, self.name), large, like=header)
        self.said: list[str] = []
        window.session.told.connect(lambda text, _level: self.said.append(text))
        window.session.take_study(study)
        window.go_to("review")
        window.session.show_scan(self.name)
        process_events()
        now = self.layers.now
        assert now is not None
        self.truth, self.large = now.upright.to_display(truth), now.upright.to_display(large)
        np.testing.assert_array_equal(self.mask, self.large)

    @property
    def layers(self) -> StudyLayers:
        return self.window.session.layers

    @property
    def tools(self) -> Any:
        return self.window.panel.tools  # type: ignore[attr-defined]

    @property
    def mask(self) -> np.ndarray:
        found = self.layers.mask_on_display()
        assert found is not None
        return np.asarray(found)

    @property
    def dice(self) -> float:
        mask = self.mask
        return float(2 * (mask & self.truth).sum() / (mask.sum() + self.truth.sum()))

    def slices(self, *parts: float, axis: int = 0) -> tuple[SetSlice, ...]:
        """Slices at these parts of the brain's extent."""
        used = np.flatnonzero(self.truth.any(axis=tuple(a for a in range(3) if a != axis)))
        return tuple(SetSlice(axis, int(used[round(part * (used.size - 1))])) for part in parts)

    def correct(self, *slices: SetSlice) -> None:
        """Make slices as they are in truth, one by one, each in one stroke."""
        for s in slices:
            self.layers.set_plane(PLANE_ACROSS[s.axis])
            point = [n // 2 for n in self.truth.shape]
            point[s.axis] = s.index
            self.layers.look_at((point[0], point[1], point[2]))
            wrong = self.mask != self.truth
            for index in range(wrong.shape[s.axis]):
                if index != s.index:
                    np.moveaxis(wrong, s.axis, 0)[index] = False
            voxels = np.nonzero(wrong)
            layer = self.layers.mask_layer
            assert layer is not None
            layer.data_setitem(voxels, self.truth[voxels].astype(np.uint8))
            process_events()

    def is_right(self, *slices: SetSlice) -> bool:
        mask = self.mask
        return all(
            np.array_equal(mask.take(s.index, s.axis), self.truth.take(s.index, s.axis))
            for s in slices
        )

    def follow(self) -> None:
        press_key(self.window.viewer, Qt.Key.Key_W)
        self.wait()

    def wait(self) -> None:
        wait_until(lambda: not self.tools.busy, "the tool")
        process_events()


@pytest.fixture(params=(1, 2, 3))
def person(
    request: pytest.FixtureRequest, window: StripWidget, ranked_study: Study, heads: Heads
) -> Corrector:
    """Before scans of several orientations and slices."""
    return Corrector(window, ranked_study, heads, request.param)


@pytest.fixture
def one(window: StripWidget, ranked_study: Study, heads: Heads) -> Corrector:
    """Before one scan."""
    return Corrector(window, ranked_study, heads, 1)


def test_three_slices_are_set_right_and_the_rest_follows(person: Corrector) -> None:
    slices = person.slices(0.2, 0.5, 0.8)
    person.correct(*slices)
    by_hand, dice = person.mask, person.dice

    person.follow()

    assert person.said[-1].startswith("Followed 3 slices you set:")
    assert " voxels changed elsewhere (+" in person.said[-1]
    assert person.dice > dice + 0.03
    assert person.is_right(*slices)
    press_key(person.window.viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    np.testing.assert_array_equal(person.mask, by_hand)


def test_a_correction_of_the_answer_adds_to_what_was_set(one: Corrector) -> None:
    first, second = one.slices(0.3, 0.7), one.slices(0.5, axis=1)
    one.correct(*first)
    one.follow()
    after_two = one.dice
    one.correct(*second)
    one.follow()

    assert one.said[-1].startswith("Followed 3 slices you set:")
    assert one.is_right(*first, *second)
    assert one.dice > after_two
    one.layers.undo()
    one.layers.undo()
    one.layers.undo()  # back to two slices set by hand
    assert one.is_right(*first) and one.dice < after_two
    one.follow()
    assert one.said[-1].startswith("Followed 2 slices you set:")
    assert one.dice == after_two


def test_what_was_set_is_known_when_the_scan_was_left_and_shown_again(one: Corrector) -> None:
    first, later = one.slices(0.3, 0.7), one.slices(0.5)
    one.correct(*first)
    one.follow()
    one.window.session.show_scan(_another(one))
    one.window.session.show_scan(one.name)
    one.correct(*later)
    one.follow()
    assert one.said[-1].startswith("Followed 3 slices you set:")
    assert one.is_right(*first, *later)


def test_unfinished_changes_of_yesterday_are_what_was_set(
    one: Corrector, ranked_study: Study
) -> None:
    slices = one.slices(0.3, 0.7)
    one.correct(*slices)
    session = one.window.session
    session.originals._stories.clear()  # as in a new window
    session.show_scan(_another(one))
    session.show_scan(one.name)
    one.follow()
    assert one.said[-1].startswith("Followed 2 slices you set:")
    assert one.is_right(*slices)


def test_the_original_stays_when_the_layer_is_removed_and_put_back(one: Corrector) -> None:
    slices = one.slices(0.3, 0.7)
    one.correct(*slices)
    layer = one.layers.mask_layer
    assert layer is not None
    one.window.viewer.layers.remove(layer)
    wait_until(lambda: one.layers.mask_layer not in (None, layer), "the layer")
    one.follow()
    assert one.said[-1].startswith("Followed 2 slices you set:")
    assert one.is_right(*slices)


def test_without_a_readable_original_the_unfinished_mask_is_followed(one: Corrector) -> None:
    one.correct(*one.slices(0.3, 0.7))
    session = one.window.session
    session.originals._stories.clear()  # as in a new window
    session.show_scan(_another(one))
    session.need_study().pseudo_label_path(0, one.name).write_bytes(b"no mask")
    session.show_scan(one.name)
    one.follow()
    assert one.said[-1] == following.SET_FIRST
    one.correct(*one.slices(0.5, 0.6))
    one.follow()
    assert one.said[-1].startswith("Followed 2 slices you set:")


def test_a_kept_mask_is_the_original_from_then_on(one: Corrector) -> None:
    one.correct(*one.slices(0.3, 0.7))
    one.follow()
    session = one.window.session
    session.keep_mask("corrected")
    session.show_scan(_another(one))
    session.show_scan(one.name)
    one.follow()
    assert one.said[-1] == following.SET_FIRST
    one.correct(*one.slices(0.5))
    one.follow()
    assert one.said[-1].startswith(("Followed 1 slice you set:", "Nothing else changes"))


def _another(person: Corrector) -> str:
    return next(n for n in person.window.session.need_study().names if n != person.name)


def test_nothing_is_set(one: Corrector) -> None:
    one.follow()
    assert one.said[-1] == following.SET_FIRST
    np.testing.assert_array_equal(one.mask, one.large)


def test_one_slice_alone_is_followed_without_the_picture(
    one: Corrector, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = []

    def as_edited(_before: Any, edited: Any, _slices: Any, _mm: Any, image: Any) -> Any:
        pictures.append(image is not None)
        return edited

    monkeypatch.setattr(following, "spread_corrections", as_edited)
    one.correct(*one.slices(0.4))
    one.follow()
    one.correct(*one.slices(0.6))
    one.follow()
    assert pictures == [False, True]
    assert one.said[-1] == "Nothing else changes: the rest agrees with the 2 slices you set."


def test_a_tool_that_makes_another_mask_makes_another_original(one: Corrector) -> None:
    one.tools.use("Making thinner", lambda m, _i, _s: scipy.ndimage.binary_erosion(m))
    one.wait()
    thinner = one.mask
    one.follow()
    assert one.said[-1] == following.SET_FIRST
    one.correct(*one.slices(0.3, 0.7))
    one.follow()
    assert one.said[-1].startswith("Followed 2 slices you set:")
    for _ in range(3):
        one.layers.undo()
    np.testing.assert_array_equal(one.mask, thinner)


def test_where_nothing_was_slices_are_filled(one: Corrector) -> None:
    session = one.window.session
    study = session.need_study()
    study.pseudo_label_path(0, one.name).unlink()
    one.window.go_to("paint")
    session.show_scan(_another(one))
    session.show_scan(one.name)
    assert not one.mask.any()
    one.follow()
    assert "No slice is missing" in one.said[-1]
    slices = one.slices(0.2, 0.5, 0.8)
    one.correct(*slices)
    one.follow()
    assert "Filled" in one.said[-1]
    one.correct(*one.slices(0.35, 0.65))
    one.follow()  # the filled mask is what is corrected now
    assert one.said[-1].startswith(("Followed", "Nothing else changes"))
    assert one.is_right(*one.slices(0.35, 0.65))


def test_the_answer_is_dropped_when_another_scan_is_shown(
    one: Corrector, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(following, "spread_corrections", lambda b, e, *_: (
        go_on.wait(20), ~e)[1])
    one.correct(*one.slices(0.4))
    press_key(one.window.viewer, Qt.Key.Key_W)
    assert one.tools.busy and not child(one.tools, "follow").isEnabled()
    one.window.session.show_scan(_another(one))
    before = one.mask
    go_on.set()
    one.wait()
    assert "dropped" in one.said[-1]
    np.testing.assert_array_equal(one.mask, before)


def test_the_button_is_there_in_both_steps(one: Corrector) -> None:
    one.correct(*one.slices(0.3, 0.7))
    for step in ("review", "paint"):
        one.window.go_to(step)
        if step == "review":
            one.window.panel.painting.expand(animate=False)  # type: ignore[attr-defined]
        process_events()
        button = child(one.window.panel, "follow")
        assert "rest of the mask follows" in button.toolTip()
        assert button.width() >= button.sizeHint().width()
    click(child(one.window.panel, "follow"))
    one.wait()
    assert one.said[-1].startswith("Followed 2 slices you set:")
