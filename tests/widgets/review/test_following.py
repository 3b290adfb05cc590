"""Three slices of a mask are corrected, and the rest follows: in a real window."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy
from corrector import Corrector
from gui_fixtures import child, click, press_key, process_events, wait_until
from qtpy.QtCore import Qt

from napari_singlestrip.engine.masks.spreading import Follower
from napari_singlestrip.widgets.paint import following

if TYPE_CHECKING:
    from conftest import Heads

    from napari_singlestrip.study.study import Study
    from napari_singlestrip.widgets.dock.main_widget import StripWidget

pytest_plugins = ("gui_fixtures",)

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
    one.layers.editing.undo()
    one.layers.editing.undo()
    one.layers.editing.undo()  # back to two slices set by hand
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
    session.correcting.originals._stories.clear()  # as in a new window
    session.show_scan(_another(one))
    session.show_scan(one.name)
    one.follow()
    assert one.said[-1].startswith("Followed 2 slices you set:")
    assert one.is_right(*slices)


def test_the_original_stays_when_the_layer_is_removed_and_put_back(one: Corrector) -> None:
    slices = one.slices(0.3, 0.7)
    one.correct(*slices)
    layer = one.layers.editing.layer
    assert layer is not None
    one.window.viewer.layers.remove(layer)
    wait_until(lambda: one.layers.editing.layer not in (None, layer), "the layer")
    one.follow()
    assert one.said[-1].startswith("Followed 2 slices you set:")
    assert one.is_right(*slices)


def test_without_a_readable_original_the_unfinished_mask_is_followed(one: Corrector) -> None:
    one.correct(*one.slices(0.3, 0.7))
    session = one.window.session
    session.correcting.originals._stories.clear()  # as in a new window
    session.show_scan(_another(one))
    session.need_study().rounds.pseudo_label_path(0, one.name).write_bytes(b"no mask")
    session.show_scan(one.name)
    wait_until(lambda: "damaged" in " ".join(one.said), "the file that cannot be read is told")
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
    return next(n for n in person.window.session.need_study().scans.names if n != person.name)


def test_nothing_is_set(one: Corrector) -> None:
    one.follow()
    assert one.said[-1] == following.SET_FIRST
    np.testing.assert_array_equal(one.mask, one.large)


def test_a_second_press_says_that_nothing_else_changes(one: Corrector) -> None:
    one.correct(*one.slices(0.4, 0.6))
    one.follow()
    one.follow()
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
        one.layers.editing.undo()
    np.testing.assert_array_equal(one.mask, thinner)


def test_where_nothing_was_slices_are_filled(one: Corrector) -> None:
    session = one.window.session
    study = session.need_study()
    study.rounds.pseudo_label_path(0, one.name).unlink()
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
    monkeypatch.setattr(Follower, "follow", lambda _self, e, _slices: (go_on.wait(20), ~e)[1])
    one.correct(*one.slices(0.4))
    press_key(one.window.viewer, Qt.Key.Key_W)
    assert one.tools.busy and not child(one.tools, "follow").isEnabled()
    one.window.session.show_scan(_another(one))
    before = one.mask
    go_on.set()
    one.wait()
    assert "was cancelled" in one.said[-1]
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
