"""Slices that a person corrected: shown, taken out, declared, and followed after each stroke."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from corrector import Corrector
from gui_fixtures import child, press_key, process_events, wait_until
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_singlestrip.engine.judging import dice_so_far
from napari_singlestrip.engine.judging.dice_so_far import SliceCheck
from napari_singlestrip.engine.masks.spreading import Follower, SetSlice
from napari_singlestrip.widgets.panes.marks import runs
from napari_singlestrip.widgets.session import correcting as module
from napari_singlestrip.widgets.session import user_settings

if TYPE_CHECKING:
    from conftest import Heads

    from napari_singlestrip.study.study import Study
    from napari_singlestrip.widgets.dock.main_widget import StripWidget
    from napari_singlestrip.widgets.session.correcting import Correcting

pytest_plugins = ("gui_fixtures",)


@pytest.fixture
def one(window: StripWidget, ranked_study: Study, heads: Heads) -> Corrector:
    """Before one scan, with four panes; the mask follows only when it is asked to."""
    person = Corrector(window, ranked_study, heads, 1)
    window.panel.painting.expand(animate=False)  # type: ignore[attr-defined]
    wait_until(lambda: of(person).has_original, "the mask is looked at")
    return person


@pytest.fixture
def live(one: Corrector) -> Corrector:
    """The same, and the mask follows each stroke."""
    child(one.tools, "follow_live").click()
    assert of(one).live
    return one


def of(person: Corrector) -> Correcting:
    return person.window.session.correcting


def is_set(person: Corrector, *slices: SetSlice) -> None:
    """Wait until just these slices are set."""
    wait_until(lambda: set(of(person).slices) == set(slices), f"{slices} set")
    rest()


def rest() -> None:
    """Let all that is due come to an end."""
    QTest.qWait(2 * module.REST_MS + 200)
    process_events()


def test_what_is_set_is_shown_in_the_dock_on_the_slider_and_in_the_panes(one: Corrector) -> None:
    bar = child(one.tools, "set_slices")
    assert "No slice is set yet" in bar.text()
    axial, coronal = one.slices(0.3, 0.7), one.slices(0.5, axis=1)
    one.window.panes.set_wanted("four")
    pane = one.window.panes.panes["coronal"]
    one.correct(*axial)
    is_set(one, *axial)
    one.layers.viewpoint.set_plane("axial")
    one.layers.viewpoint.look_at((0, 0, 0))  # the crosshair is elsewhere
    process_events()
    green = _green_rows(pane)
    assert len(green) == 2, "a line for each axial slice"
    ticks = one.window.slider_ticks.ticks[0]
    assert ticks.isVisible() and ticks.values == [s.index for s in axial]
    assert ticks.x_of(axial[0].index) < ticks.x_of(axial[1].index) < ticks.width()

    one.correct(*coronal)
    is_set(one, *axial, *coronal)
    numbers = [f">{s.index}<" for s in (*axial, *coronal)]
    assert all(n in bar.text() for n in numbers) and "coronal" in bar.text()
    bar.linkActivated.emit(f"visit:0:{axial[0].index}")
    assert one.layers.viewpoint.plane == "axial"
    assert one.layers.viewpoint.point[0] == axial[0].index


def test_ticks_wait_while_napari_has_two_axes_as_it_does_without_layers(one: Corrector) -> None:
    sagittal = one.slices(0.5, axis=2)
    one.correct(*sagittal)
    is_set(one, *sagittal)
    before = one.window.slider_ticks.ticks[2].values
    assert before
    one.window.session.viewer.dims.ndim = 2
    one.window.slider_ticks.refresh()
    assert one.window.slider_ticks.ticks[2].values == before


def test_ticks_end_with_the_sliders_that_they_are_on(one: Corrector) -> None:
    """napari deletes a slider with the last layer; closing the window must not stumble over it."""
    axial = one.slices(0.3, 0.7)
    one.correct(*axial)
    is_set(one, *axial)
    assert one.window.slider_ticks.ticks
    one.window.session.close_study()
    wait_until(lambda: not one.window.slider_ticks.ticks, "the end of the ticks")
    one.window.close_all()


def test_neighbours_are_one_band_between_two_lines_which_lets_the_scan_be_seen(
    one: Corrector,
) -> None:
    """A cut sets a hundred slices: as many lines would hide what is corrected."""
    one.window.panes.set_wanted("four")
    pane = one.window.panes.panes["coronal"]
    one.layers.viewpoint.set_plane("axial")
    one.layers.viewpoint.look_at((0, 0, 0))
    first, last = (s.index for s in one.slices(0.3, 0.7))
    of(one).slices = tuple(SetSlice(0, index) for index in range(first, last + 1))
    of(one).changed.emit()
    process_events()
    assert len(_green_rows(pane)) == 2
    ticks = one.window.slider_ticks.ticks[0]
    image = ticks.grab().toImage()
    between = image.pixelColor((ticks.x_of(first) + ticks.x_of(last)) // 2, image.height() // 2)
    assert between.green() > between.red() + 40, "the slider is marked from one end to the other"


@pytest.mark.parametrize(
    ("indices", "expected"),
    [([], []), ([7], [(7, 7)]), ([5, 3, 9, 4, 4], [(3, 5), (9, 9)]), ([1, 3], [(1, 1), (3, 3)])],
)
def test_runs_are_the_ends_of_neighbours(
    indices: list[int], expected: list[tuple[int, int]]
) -> None:
    assert runs(indices) == expected


def _green_rows(pane: object) -> list[int]:
    image = pane.grab().toImage()  # type: ignore[attr-defined]
    rows = []
    for y in range(image.height()):
        colours = [image.pixelColor(x, y) for x in range(0, image.width(), 3)]
        green = sum(c.green() > c.red() + 40 and c.green() > c.blue() + 40 for c in colours)
        if green > 0.4 * len(colours):
            rows.append(y)
    return [y for y in rows if y - 1 not in rows]


def test_a_slice_that_is_taken_out_follows_the_others_and_undo_brings_it_back(
    one: Corrector,
) -> None:
    first, second = one.slices(0.3, 0.7)
    one.correct(first, second)
    is_set(one, first, second)
    by_hand = one.mask
    child(one.tools, "set_slices").linkActivated.emit(f"remove:0:{first.index}")
    is_set(one, second)
    assert "no longer counts" in one.said[-1] and one.is_right(second)
    assert not np.array_equal(one.mask[first.index], by_hand[first.index])
    one.layers.editing.undo()
    is_set(one, first, second)
    np.testing.assert_array_equal(one.mask, by_hand)
    one.layers.editing.redo()
    is_set(one, second)


def test_the_mask_is_as_before_when_the_last_slice_is_taken_out(one: Corrector) -> None:
    (only,) = one.slices(0.4)
    one.correct(only)
    is_set(one, only)
    of(one).remove(only)
    is_set(one)
    np.testing.assert_array_equal(one.mask, one.large)


def test_a_slice_is_declared_right_without_a_change(one: Corrector) -> None:
    (s,) = one.slices(0.5)
    one.layers.viewpoint.set_plane("axial")
    one.layers.viewpoint.look_at((s.index, 5, 5))
    press_key(one.window.viewer, Qt.Key.Key_Period)
    is_set(one, s)
    assert "is correct" in one.said[-1]
    np.testing.assert_array_equal(one.mask, one.large)
    press_key(one.window.viewer, Qt.Key.Key_Period)
    rest()
    assert "is already set" in one.said[-1]
    later = one.slices(0.8)
    one.correct(*later)
    one.follow()
    assert one.said[-1].startswith("Followed 2 slices you set:")
    np.testing.assert_array_equal(one.mask[s.index], one.large[s.index])


def test_in_3d_no_slice_is_declared(one: Corrector) -> None:
    one.layers.brush.show_in_3d(True)
    of(one).declare()
    rest()
    assert "Show a slice first" in one.said[-1] and not of(one).slices


def test_at_first_the_mask_follows_and_the_choice_is_remembered(one: Corrector) -> None:
    user_settings.settings().remove("follow_while_correcting")
    assert user_settings.follow_live_wanted()
    of(one).set_live(True)
    of(one).set_live(False)
    assert not user_settings.follow_live_wanted()


def test_after_each_stroke_the_rest_follows_as_one_step_of_undo(live: Corrector) -> None:
    slices, dice = live.slices(0.3, 0.7), live.dice
    live.correct(*slices[:1])
    wait_until(lambda: of(live).last, "an answer")
    assert live.is_right(slices[0]) and live.dice > dice
    one_set, dice = live.mask, live.dice
    live.correct(*slices[1:])
    wait_until(lambda: of(live).last, "an answer")
    is_set(live, *slices)
    assert live.is_right(*slices) and live.dice > dice + 0.01
    answered = live.mask
    assert "mL elsewhere" in child(live.tools, "set_slices").text()

    live.layers.editing.undo()  # the answer
    live.layers.editing.undo()  # the stroke
    rest()
    np.testing.assert_array_equal(live.mask, one_set)
    is_set(live, slices[0])
    live.layers.editing.redo()
    live.layers.editing.redo()
    rest()
    np.testing.assert_array_equal(live.mask, answered)
    is_set(live, *slices)


def expected(person: Corrector) -> str:
    """What the dock says of the mask by now; empty where it says nothing."""
    _, _, said = child(person.tools, "set_slices").text().partition("<b>Expected Dice</b> ")
    return said


def test_from_the_fourth_slice_on_it_is_told_how_good_the_mask_is(
    live: Corrector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dice_so_far, "SEEN", (0.0, 1.0))  # a mask far too large all around
    slices = live.slices(0.3, 0.7, 0.5, 0.6)
    for n, s in enumerate(slices, 1):
        assert not expected(live)
        live.correct(s)
        wait_until(lambda: of(live).last, "an answer")
        is_set(live, *slices[:n])
    assert expected(live).startswith("about 0.9") and "after 4 slices" in expected(live)
    told = of(live).so_far
    assert told is not None

    fifth = live.slices(0.4)[0]
    live.layers.viewpoint.look_at((fifth.index, 5, 5))
    of(live).declare()  # right as it was predicted
    is_set(live, *slices, fifth)
    more = of(live).so_far
    assert more is not None and more.n == 5 and more.dice > told.dice


def test_undo_of_strokes_that_nobody_answered_is_not_answered(live: Corrector) -> None:
    first, second = live.slices(0.3, 0.7)
    child(live.tools, "follow_live").click()
    live.correct(first, second)
    child(live.tools, "follow_live").click()
    live.layers.editing.undo()
    with_one = live.mask
    rest()
    np.testing.assert_array_equal(live.mask, with_one)
    live.layers.editing.redo()
    rest()
    assert live.is_right(first, second)
    assert np.count_nonzero((live.mask ^ live.large).any(axis=(1, 2))) == 2


def test_a_second_stroke_on_a_slice_counts_from_what_was_predicted_there(live: Corrector) -> None:
    (s,) = live.slices(0.5)
    predicted = live.mask[s.index]
    half = live.truth[s.index].copy()
    half[len(half) // 2 :] = predicted[len(half) // 2 :]
    box = (slice(s.index, s.index + 1), slice(None), slice(None))
    live.layers.viewpoint.set_plane("axial")
    live.layers.viewpoint.look_at((s.index, 5, 5))
    for plane in (half, live.truth[s.index]):
        live.layers.editing.change_part(box, plane[None])
        wait_until(lambda: of(live).last, "an answer")
        is_set(live, s)
    reader = of(live).originals.reader()
    assert reader is not None
    assert reader(live.mask).checks == {s: SliceCheck.of(predicted, live.truth[s.index])}


def test_nothing_is_told_of_a_mask_that_did_not_follow_or_is_ones_own(
    one: Corrector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dice_so_far, "SEEN", (0.0, 1.0))
    slices = one.slices(0.3, 0.7, 0.5, 0.6)
    one.correct(*slices)
    is_set(one, *slices)
    assert not expected(one)
    one.follow()
    wait_until(lambda: expected(one), "the mask has followed")
    one.correct(*one.slices(0.1))
    wait_until(lambda: not expected(one), "one more slice, and it has not followed")

    session = one.window.session
    session.keep_mask("corrected")
    other = next(n for n in session.need_study().scans.names if n != one.name)
    session.show_scan(other)
    session.show_scan(one.name)
    wait_until(lambda: of(one).own, "a mask of one's own")
    one.correct(*one.slices(0.2, 0.8, 0.55, 0.65))
    one.follow()
    rest()
    assert not expected(one)


def test_an_answer_waits_for_the_hand(live: Corrector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QApplication, "mouseButtons", lambda: Qt.MouseButton.LeftButton)
    live.correct(*live.slices(0.4))
    by_hand = live.mask
    rest()
    np.testing.assert_array_equal(live.mask, by_hand)
    monkeypatch.undo()
    wait_until(lambda: of(live).last, "an answer")


def test_an_answer_is_dropped_when_a_stroke_came_meanwhile(
    live: Corrector, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, asked, follow = threading.Event(), threading.Event(), Follower.follow

    def slow(self: Follower, edited: np.ndarray, slices: object, **more: bool) -> np.ndarray:
        asked.set()
        go_on.wait(20)
        return follow(self, edited, slices, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Follower, "follow", slow)
    first, second = live.slices(0.3, 0.7)
    live.correct(first)
    wait_until(asked.is_set, "a question")
    live.correct(second)
    go_on.set()
    wait_until(lambda: of(live).last, "an answer")
    is_set(live, first, second)
    assert live.is_right(first, second)
    live.layers.editing.undo()  # one answer, to both
    live.layers.editing.undo()
    live.layers.editing.undo()
    np.testing.assert_array_equal(live.mask, live.large)


def test_where_nothing_was_nothing_follows(live: Corrector) -> None:
    live.layers.editing.change(np.zeros_like(live.mask))
    of(live).originals.took(live.mask)
    rest()
    session = live.window.session
    session.need_study().rounds.pseudo_label_path(0, live.name).unlink()
    session.forget_draft(live.name)
    rest()
    assert not of(live).has_original and child(live.tools, "set_slices_bar").isHidden()
    live.correct(*live.slices(0.3, 0.7))
    painted = live.mask
    rest()
    np.testing.assert_array_equal(live.mask, painted)
    of(live).declare()
    rest()
    assert live.said[-1] == module.NO_MASK


def test_a_mask_of_ones_own_follows_only_when_it_is_asked_to(live: Corrector) -> None:
    session = live.window.session
    live.correct(*live.slices(0.1))
    session.keep_mask("corrected")
    other = next(n for n in session.need_study().scans.names if n != live.name)
    session.show_scan(other)
    session.show_scan(live.name)
    slices = live.slices(0.3, 0.7)
    live.correct(*slices)
    by_hand = live.mask
    is_set(live, *slices)
    np.testing.assert_array_equal(live.mask, by_hand)
    assert "This mask is your own" in child(live.tools, "set_slices").text()
    live.follow()
    assert live.said[-1].startswith("Followed 2 slices you set:")
    assert live.is_right(*slices)


def test_a_slice_set_empty_and_a_single_voxel_are_followed(live: Corrector) -> None:
    top, middle = live.slices(0.97, 0.5)
    live.layers.viewpoint.set_plane("axial")
    live.layers.viewpoint.look_at((top.index, 5, 5))
    box = (slice(top.index, top.index + 1), slice(None), slice(None))
    live.layers.editing.change_part(box, np.zeros_like(live.mask[box]))
    wait_until(lambda: of(live).slices == (top,), "the slice")
    rest()
    assert not live.mask[top.index].any() and live.mask[middle.index].any()
    edge = np.argwhere(live.mask[middle.index])[0]
    live.layers.viewpoint.look_at((middle.index, 5, 5))
    spot = tuple(slice(n, n + 1) for n in (middle.index, *edge))
    live.layers.editing.change_part(spot, np.zeros((1, 1, 1), bool))
    wait_until(lambda: set(of(live).slices) == {top, middle}, "both slices")
    rest()
    assert not live.mask[top.index].any() and not live.mask[middle.index][tuple(edge)]


def test_slices_of_two_planes_that_contradict_each_other_stay_as_set_last(
    live: Corrector,
) -> None:
    (axial,), (coronal,) = live.slices(0.5), live.slices(0.5, axis=1)
    live.correct(axial)
    wait_until(lambda: of(live).last, "an answer")
    live.layers.viewpoint.set_plane("coronal")
    live.layers.viewpoint.look_at((5, coronal.index, 5))
    box = (slice(None), slice(coronal.index, coronal.index + 1), slice(None))
    live.layers.editing.change_part(box, live.large[box])
    wait_until(lambda: of(live).last, "another answer")
    rest()
    assert of(live).slices[-1] == coronal
    np.testing.assert_array_equal(live.mask[box], live.large[box])


def test_the_next_place_to_look_is_far_from_what_is_set(one: Corrector) -> None:
    press_key(one.window.viewer, Qt.Key.Key_Comma)
    wait_until(lambda: any("Check here first" in text for text in one.said), "a place")
    (s,) = one.slices(0.5)
    one.correct(s)
    one.follow()
    press_key(one.window.viewer, Qt.Key.Key_Comma)
    wait_until(lambda: "Check here next" in one.said[-1], "another place")
    viewpoint = one.layers.viewpoint
    axis = viewpoint.axes[0]
    assert f"{module.ACROSS[axis]} {viewpoint.point[axis]}" in one.said[-1]
    assert (axis, viewpoint.point[axis]) != (s.axis, s.index)
    assert "mm from the nearest slice you set" in one.said[-1]
