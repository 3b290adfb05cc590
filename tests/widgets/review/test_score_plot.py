"""The plot of the scores: spots where they belong, and a click on one."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from gui_fixtures import process_events
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_singlestrip.study.review import Review, ReviewRow
from napari_singlestrip.study.tables import Decision, ScoreRow
from napari_singlestrip.widgets.common.scatter_plot import Scatter, Spot, _ticks
from napari_singlestrip.widgets.review.reference_dice import Truth
from napari_singlestrip.widgets.review.score_plot import AGREEMENT, RANK, TRUTH, ScorePlot, in_words
from napari_singlestrip.widgets.review.table_model import STATE_COLOURS

pytest_plugins = ("gui_fixtures",)

REVIEW = Review(0, (
    ReviewRow(ScoreRow("a", 0.02, 0.97, 1400, 1), Decision("a", "accepted")),
    ReviewRow(ScoreRow("b", 0.03, 0.95, 1400, 2)),
    ReviewRow(ScoreRow("c", 0.09, math.nan, 700, 3)),
))


@pytest.fixture
def plot(qtbot: QtBot) -> ScorePlot:
    made = ScorePlot()
    qtbot.addWidget(made)
    made.resize(380, 260)
    made.show()
    process_events()
    return made


def test_spots_by_rank_in_the_colours_of_their_states(plot: ScorePlot) -> None:
    plot.show_review(REVIEW, Truth({}), "b")
    spots = plot.plot.spots
    assert [(s.name, s.x, s.y) for s in spots] == [("a", 1, 0.02), ("b", 2, 0.03), ("c", 3, 0.09)]
    assert [s.colour for s in spots[:2]] == [STATE_COLOURS["accepted"], STATE_COLOURS["to review"]]
    a, b, c = (plot.plot.place(spot) for spot in spots)
    assert a.x() < b.x() < c.x() and a.y() > b.y() > c.y()
    image = plot.plot.grab().toImage()
    assert image.pixelColor(a.toPoint()).name() == STATE_COLOURS["accepted"]


def test_click_on_a_spot_chooses_its_scan(plot: ScorePlot) -> None:
    plot.show_review(REVIEW, Truth({}), "a")
    chosen: list[str] = []
    plot.scan_chosen.connect(chosen.append)
    place = plot.plot.place(plot.plot.spots[2]).toPoint()
    QTest.mouseClick(plot.plot, Qt.MouseButton.LeftButton, pos=place)
    QTest.mouseClick(plot.plot, Qt.MouseButton.LeftButton, pos=plot.plot.rect().topLeft())
    assert chosen == ["c"]


def test_other_plots_leave_out_what_is_not_known(plot: ScorePlot) -> None:
    plot.show_review(REVIEW, Truth({}), "a")
    assert plot.mode.findText(TRUTH) < 0
    plot.mode.setCurrentText(AGREEMENT)
    assert [spot.name for spot in plot.plot.spots] == ["a", "b"]
    plot.show_review(REVIEW, Truth({"a": 0.98, "c": 0.6}), "a")
    plot.mode.setCurrentText(TRUTH)
    assert [(spot.name, spot.x) for spot in plot.plot.spots] == [("a", 0.98), ("c", 0.6)]
    plot.show_review(REVIEW, Truth({}), "a")  # another study, without references
    assert plot.mode.currentText() in (RANK, AGREEMENT)


def test_what_the_scores_are_worth() -> None:
    assert in_words(Truth({})) == ""
    assert "Measuring" in in_words(Truth({}, 3))
    said = in_words(Truth({"a": 0.9, "b": 0.8, "c": 0.7}, 2, 0.75, 0.5, -0.25))
    assert "of 3 masks, 2 still" in said and "ranking 0.75, AE error 0.50, agreement -0.25" in said


def test_one_spot_and_none(qtbot: QtBot) -> None:
    scatter = Scatter()
    qtbot.addWidget(scatter)
    scatter.resize(300, 180)
    scatter.show_spots([], ("x", "y"))
    scatter.grab()
    scatter.show_spots([Spot("a", 1.0, 0.0, "#ff0000")], ("x", "y"))
    assert scatter.spot_at(scatter.place(scatter.spots[0])) is scatter.spots[0]


def test_ticks_are_round() -> None:
    assert _ticks(0.017, 0.047) == [0.02, 0.03, 0.04]
    assert _ticks(0.1, 16.9) == [5, 10, 15]


def test_a_plot_that_is_not_seen_draws_when_it_is(plot: ScorePlot) -> None:
    plot.hide()
    plot.show_review(REVIEW, Truth({}), "a")
    plot.show_current("b")
    assert not plot.plot.spots
    plot.show()
    assert [spot.name for spot in plot.plot.spots] == ["a", "b", "c"]
    assert plot.plot.ringed == "b"


def test_a_decision_makes_one_spot_anew(plot: ScorePlot) -> None:
    plot.show_review(REVIEW, Truth({}), "a")
    before = list(plot.plot.spots)
    row = replace(REVIEW.rows[1], decision=Decision("b", "rejected"))
    plot.show_review(replace(REVIEW, rows=(REVIEW.rows[0], row, REVIEW.rows[2])), Truth({}), "c")
    now = plot.plot.spots
    assert [new is old for new, old in zip(now, before, strict=True)] == [True, False, True]
    assert now[1].colour == STATE_COLOURS["rejected"] and "rejected" in now[1].tip
    plot.mode.setCurrentText(AGREEMENT)
    assert [spot.x for spot in plot.plot.spots] == [0.97, 0.95]
