"""How good a mask probably is by now, in sight while one corrects it in Review."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from corrector import Corrector
from cut_controls import cut_text
from gui_fixtures import child, process_events, wait_until

from napari_singlestrip.engine.judging import dice_so_far
from napari_singlestrip.engine.judging.dice_so_far import DiceSoFar
from napari_singlestrip.study.review import ReviewRow
from napari_singlestrip.study.tables import Decision, ScoreRow
from napari_singlestrip.widgets.review import expected_live
from napari_singlestrip.widgets.review.expected_line import in_words

if TYPE_CHECKING:
    from conftest import Heads
    from qtpy.QtWidgets import QLabel

    from napari_singlestrip.study.study import Study
    from napari_singlestrip.widgets.dock.main_widget import StripWidget

pytest_plugins = ("gui_fixtures",)


def expecting(row: ScoreRow) -> ScoreRow:
    """Scores that let expect something."""
    return replace(row, expected_dice=0.951, expected_dice_low=0.93, expected_dice_high=0.97)



@pytest.fixture
def person(
    window: StripWidget, ranked_study: Study, heads: Heads, monkeypatch: pytest.MonkeyPatch
) -> Corrector:
    """In Review as it opens, the paint tools folded, where the mask follows each stroke."""
    monkeypatch.setattr(expected_live, "filled", lambda row, *_known: row)  # as the table has it
    scores = [expecting(row) for row in ranked_study.rounds.scores(0)]
    ranked_study.rounds.save_scores(0, scores)
    found = Corrector(window, ranked_study, heads, 1)
    correcting = window.session.correcting
    wait_until(lambda: correcting.has_original, "the mask is looked at")
    correcting.set_live(True)
    return found


def line(person: Corrector) -> QLabel:
    found: QLabel = child(person.window.panel, "expected_line")
    return found


def test_the_line_is_in_sight_and_moves_as_slices_are_set(
    person: Corrector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dice_so_far, "SEEN", (0.0, 1.0))  # a mask far too large all around
    says, tools = line(person), person.tools
    assert not tools.set_slices.visibleRegion().contains(tools.set_slices.rect().center())
    assert says.text() == "<b>Expected Dice</b> 0.951 (0.93 to 0.97)"
    for n, s in enumerate(person.slices(0.3, 0.7, 0.5, 0.6, 0.4), 1):
        person.correct(s)
        _followed(person, n)
        assert (f" before {n} set slice" if n < 4 else f", {n} set; next +0.") in says.text()
        assert says.visibleRegion().contains(says.rect().center())
        assert list(cut_text(says)) == []
    assert "Expected Dice about 0.9" in says.toolTip() and "after 5 slices" in says.toolTip()
    assert not tools.set_slices.visibleRegion().contains(tools.set_slices.rect().center())


def test_setting_slices_moves_nothing_in_review(person: Corrector) -> None:
    layers = child(person.window.panel, "review_layers")
    before = layers.mapTo(person.window, layers.rect().topLeft()), person.window.width()
    person.correct(*person.slices(0.5))
    _followed(person, 1)
    assert (layers.mapTo(person.window, layers.rect().topLeft()), person.window.width()) == before


def test_another_scan_brings_its_own(person: Corrector) -> None:
    session = person.window.session
    person.correct(*person.slices(0.5))
    _followed(person, 1)
    other = next(row.name for row in person.window.panels["review"].review.rows  # type: ignore[attr-defined]
                 if row.name != person.name)
    session.show_scan(other)
    wait_until(lambda: not session.correcting.slices, "the other mask is looked at")
    process_events()
    assert line(person).text() == "<b>Expected Dice</b> 0.951 (0.93 to 0.97)"


def test_what_is_not_known_is_not_told() -> None:
    row = ReviewRow(ScoreRow("a", 0.1, 0.9, 1200.0, rank=1))
    assert in_words(row, 0, None) == "not known"
    assert in_words(row, 2, None) == "not known before 2 set slices; anew from 4 on"
    known = ReviewRow(expecting(row.score))
    assert in_words(known, 5, None) == "0.951 before 5 set slices"
    corrected = replace(known, decision=Decision("a", "corrected"))
    assert in_words(corrected, 0, None) == "0.951 before you corrected it"
    so_far = DiceSoFar(5, 0.981, 0.973, 0.987, 0.0004)
    assert in_words(known, 5, so_far) == "0.981 (0.973\u20130.987), 5 set; next +0.0004"


def test_nothing_that_can_be_said_is_cut(person: Corrector) -> None:
    score = ReviewRow(ScoreRow("a", 0.1, 0.9, 1200.0, rank=1, expected_dice=0.951))
    says = line(person)
    for row in (score, replace(score, decision=Decision("a", "corrected"))):
        says.follow(row, True)  # type: ignore[attr-defined]
        process_events()
        assert "0.951" in says.text() and list(cut_text(says)) == []


def _followed(person: Corrector, n: int) -> None:
    correcting = person.window.session.correcting
    wait_until(lambda: len(correcting.slices) == n and bool(correcting.last), "an answer")
    process_events()
