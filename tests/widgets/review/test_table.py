"""The model of the table: what cells say, how rows are sorted and let through."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtGui import QKeyEvent, QPixmap
from qtpy.QtTest import QTest

from napari_singlestrip.study.review import Review, ReviewRow
from napari_singlestrip.study.tables import Decision, ScoreRow
from napari_singlestrip.widgets.review.table import ReviewTable
from napari_singlestrip.widgets.review.table_header import ReviewHead
from napari_singlestrip.widgets.review.table_model import ALL, FLAGGED, KEYS, OPEN
from napari_singlestrip.widgets.review.view import HeadView

pytest_plugins = ("gui_fixtures",)

ROWS = (
    ReviewRow(ScoreRow("sub-1_T1w", 0.02, 0.97, 1400.4, 1), Decision("sub-1_T1w", "accepted")),
    ReviewRow(ScoreRow("sub-2_T2w", 0.03, math.nan, 1500, 2), unsaved=True),
    ReviewRow(ScoreRow("sub-3_FLAIR", 0.04, 0.99, 1200, 3),
              Decision("sub-3_FLAIR", "rejected", "neck", round=0), earlier=True),
    ReviewRow(ScoreRow("sub-4_T1w", 0.5, 0.5, 300, 4, flag="small")),
)


@pytest.fixture
def table(qtbot: QtBot) -> ReviewTable:
    pixmap = QPixmap(38, 38)
    pixmap.fill(Qt.GlobalColor.gray)
    made = ReviewTable(lambda name: pixmap)
    qtbot.addWidget(made)
    made.rows.show(Review(1, ROWS), {"sub-1_T1w": 0.98, "sub-4_T1w": 0.4})
    made.resize(390, 300)
    made.show()
    return made


def cell(table: ReviewTable, row: int, key: str, role: int = 0) -> object:
    """What a cell of the unsorted table says."""
    return table.rows.data(table.rows.index(row, KEYS.index(key)), role)


def test_cells(table: ReviewTable) -> None:
    table.resize(600, 300)
    assert [cell(table, 0, key) for key in ("rank", "error", "volume", "dice", "state")] == [
        "1", "0.020", "1400", "0.980", "accepted"
    ]
    assert cell(table, 1, "dice") == cell(table, 1, "consistency") == "–"
    assert cell(table, 1, "state") == "unsaved"
    assert cell(table, 2, "state") == "rejected before"
    assert cell(table, 2, "note") == "neck"
    assert cell(table, 3, "flag") == "small" and str(cell(table, 3, "scan")).endswith("\nsmall")
    tip = str(cell(table, 2, "scan", Qt.ItemDataRole.ToolTipRole))
    assert "sub-3_FLAIR" in tip and "earlier round" in tip and "Note: neck" in tip


def test_what_is_expected_is_told_with_its_interval(table: ReviewTable) -> None:
    scores = ScoreRow("sub-1", 0.02, 0.97, 1400, 1, expected_dice=0.9512, expected_dice_low=0.926,
                      expected_dice_high=0.968)
    table.rows.show(Review(0, (ReviewRow(scores), ReviewRow(ScoreRow("sub-2")))), {})
    assert [cell(table, n, "expected") for n in (0, 1)] == ["0.951", "–"]
    tips = [str(cell(table, n, "expected", Qt.ItemDataRole.ToolTipRole)) for n in (0, 1)]
    assert "Expected Dice 0.951 (0.93 to 0.97), an estimate" in tips[0]
    assert "xpected" not in tips[1]


def test_the_score_that_ranks_is_in_sight(qtbot: QtBot, table: ReviewTable) -> None:
    """The order follows the number beside it."""
    head = ReviewHead(table)
    qtbot.addWidget(head)
    view = HeadView("1 mask", "", False, False, False, True, False)
    for by, shown in (("mean", "score"), ("consistency", "score"), ("autoencoder", "error"),
                      ("", "error")):
        head.draw(replace(view, ranked_by=by), False)
        seen = [key for key in ("score", "error") if not table.isColumnHidden(KEYS.index(key))]
        assert seen == [shown]
    scores = ScoreRow("sub-1", 0.02, 0.97, 1400, 1)
    table.rows.show(Review(0, (ReviewRow(scores, ranking_score=0.025),), (), "mean"), {})
    assert cell(table, 0, "score") == "0.025"
    tip = str(cell(table, 0, "score", Qt.ItemDataRole.ToolTipRole))
    assert "Ranking score 0.025, AE error 0.020, agreement 0.970" in tip


@pytest.mark.parametrize("known", [True, False])
def test_the_column_is_there_where_it_says_something(
    qtbot: QtBot, table: ReviewTable, known: bool
) -> None:
    head = ReviewHead(table)
    qtbot.addWidget(head)
    view = HeadView("1 mask", "", False, False, False, True, False)
    head.draw(view, True)
    assert table.isColumnHidden(KEYS.index("expected"))
    for n in range(2):  # found later, of a round of an earlier version
        head.draw(replace(view, is_expected=known), False)
        assert table.isColumnHidden(KEYS.index("expected")) is (not known or bool(n))
        table.show_column("expected", False)  # as a person may choose


def test_every_column_is_explained(table: ReviewTable) -> None:
    for n in range(table.rows.columnCount()):
        assert table.rows.headerData(n, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)
    assert table.isColumnHidden(KEYS.index("consistency"))
    table.show_column("consistency", True)
    assert not table.isColumnHidden(KEYS.index("consistency"))


@pytest.mark.parametrize(("key", "down", "order"), [
    ("rank", False, "1234"), ("rank", True, "4321"), ("error", True, "4321"),
    ("consistency", False, "4132"), ("consistency", True, "3142"),  # 2 is unknown: last
    ("dice", False, "4123"), ("volume", False, "4312"), ("scan", True, "4321"),
    ("state", False, "1342"),
])
def test_sorting(table: ReviewTable, key: str, down: bool, order: str) -> None:
    table.sort_by(key, down)
    assert "".join(name[4] for name in table.filter.names()) == order
    assert table.worst_first == (key == "rank" and down)


def test_filtering(table: ReviewTable) -> None:
    def left(name: str, state: str) -> str:
        table.filter.only(name, state)
        return "".join(found[4] for found in table.filter.names())

    assert left("", ALL) == "1234"
    assert left(" t1W", ALL) == "14"
    assert left("", OPEN) == "234"  # the rejected mask is not there any more
    assert left("", FLAGGED) == "4"
    assert left("", "accepted") == "1"
    assert left("sub-1", "rejected") == ""


def test_names_have_room_beside_what_later_rounds_and_references_add(table: ReviewTable) -> None:
    head = ReviewHead(table)
    columns = ("volume", "dice", "change")

    def shown(round_: int, has_truth: bool) -> list[str]:
        view = HeadView("4 masks", "", has_truth, bool(round_), False, True, False)
        head.draw(view, new_round=True)
        return [key for key in columns if not table.isColumnHidden(KEYS.index(key))]

    assert shown(0, False) == ["volume"]
    assert shown(0, True) == ["volume", "dice"]
    assert shown(1, False) == ["volume", "change"]
    assert shown(1, True) == ["dice", "change"]
    head.deleteLater()


def test_a_flag_does_not_cut_a_long_name(table: ReviewTable) -> None:
    """Where the name needs both lines, a mark tells of the flag."""
    long = "sub-0123456789_ses-02_acq-mprage_T1w"
    table.resize(460, 300)
    scores = [ScoreRow(name, 0.5, 0.5, 300, n, flag="small") for n, name in
              enumerate((long, "sub-4"), 1)]
    table.rows.show(Review(1, tuple(ReviewRow(score) for score in scores)), {})
    cells = [str(cell(table, n, "scan")).replace("\u200b", "") for n in range(2)]
    assert cells == [f"! {long}", "sub-4\nsmall"]
    assert "Flag: small" in str(cell(table, 0, "scan", Qt.ItemDataRole.ToolTipRole))
    table.resize(900, 300)
    assert str(cell(table, 0, "scan")).endswith("\nsmall")


def test_changed_rows_leave_the_person_where_they_were(table: ReviewTable) -> None:
    table.go_to("sub-3_FLAIR")
    chosen, changed = list[str](), list[int]()
    table.scan_chosen.connect(chosen.append)

    def note(first: QModelIndex, _last: QModelIndex) -> None:
        changed.append(first.row())

    table.rows.dataChanged.connect(note)
    rows = (*ROWS[:3], ReviewRow(ROWS[3].score, Decision("sub-4_T1w", "rejected")))
    table.rows.show(Review(1, rows), {"sub-1_T1w": 0.98, "sub-4_T1w": 0.4})
    assert changed == [3]
    assert table.current == "sub-3_FLAIR" and chosen == []


def test_arrows_choose_and_letters_pass(table: ReviewTable) -> None:
    chosen: list[str] = []
    table.scan_chosen.connect(chosen.append)
    table.go_to("sub-1_T1w")
    assert chosen == []
    QTest.keyClick(table, Qt.Key.Key_Down)
    assert chosen == ["sub-2_T2w"]
    for key, text in ((Qt.Key.Key_S, "s"), (Qt.Key.Key_N, "N")):
        event = QKeyEvent(QKeyEvent.Type.KeyPress, key, Qt.KeyboardModifier.NoModifier, text)
        table.keyPressEvent(event)
        assert not event.isAccepted()
    assert table.current == "sub-2_T2w"


def test_a_thousand_rows_are_shown_at_once(table: ReviewTable) -> None:
    import time

    rows = tuple(ReviewRow(ScoreRow(f"sub-{n}", n / 1000, 0.9, 1400, n)) for n in range(1, 1001))
    started = time.perf_counter()
    table.rows.show(Review(1, rows), {})
    again = (ReviewRow(rows[0].score, Decision("sub-1", "accepted")), *rows[1:])
    table.rows.show(Review(1, again), {})
    assert len(table.filter.names()) == 1000
    assert time.perf_counter() - started < 2.0  # a few tens of ms on a free machine


def many(n: int) -> tuple[ReviewRow, ...]:
    return tuple(ReviewRow(ScoreRow(f"sub-{k}", k / n, 0.9, 1400, k)) for k in range(1, n + 1))


@pytest.mark.parametrize("n", [20, 400])
def test_a_decision_tells_of_one_row_in_a_table_of_any_length(
    table: ReviewTable, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    rows = many(n)
    table.rows.show(Review(1, rows), {})
    names = table.filter.names()
    told: list[tuple[int, int]] = []
    table.rows.dataChanged.connect(lambda a, b, *_: told.append((a.row(), b.row())))
    filtered: list[int] = []
    accepts = table.filter.filterAcceptsRow

    def counting(row: int, parent: QModelIndex) -> bool:
        filtered.append(row)
        return accepts(row, parent)

    monkeypatch.setattr(table.filter, "filterAcceptsRow", counting)
    again = (*rows[:5], ReviewRow(rows[5].score, Decision("sub-6", "accepted")), *rows[6:])
    table.rows.show(Review(1, again), {})
    assert told == [(5, 5)] and filtered == [5]
    assert table.filter.names() is names  # no order was asked for again


def test_rows_that_changed_together_are_told_together(table: ReviewTable) -> None:
    rows = many(30)
    table.rows.show(Review(1, rows), {})
    told: list[tuple[int, int]] = []
    table.rows.dataChanged.connect(lambda a, b, *_: told.append((a.row(), b.row())))
    table.rows.show(Review(1, rows), {"sub-1": 0.9, "sub-2": 0.8, "sub-3": 0.7, "sub-9": 0.6})
    assert told == [(0, 2), (8, 8)]
    table.rows.show(Review(1, rows), {"sub-1": 0.9, "sub-2": 0.8, "sub-3": 0.7, "sub-9": 0.6})
    assert len(told) == 2


def test_a_row_moves_to_its_place_when_the_sorted_value_changes(table: ReviewTable) -> None:
    rows = many(9)
    table.rows.show(Review(1, rows), {})
    table.sort_by("state", down=False)
    table.go_to("sub-6")
    chosen: list[str] = []
    table.scan_chosen.connect(chosen.append)
    again = (*rows[:5], ReviewRow(rows[5].score, Decision("sub-6", "accepted")), *rows[6:])
    table.rows.show(Review(1, again), {})
    assert table.filter.names()[0] == "sub-6" == table.current and chosen == []
    assert table.currentIndex().row() == 0
    table.sort_by("rank", down=True)
    assert table.current == "sub-6" and table.currentIndex().row() == 3


def test_a_row_leaves_the_filter_when_it_is_decided(table: ReviewTable) -> None:
    rows = many(9)
    table.rows.show(Review(1, rows), {})
    table.filter.only("", OPEN)
    again = (*rows[:5], ReviewRow(rows[5].score, Decision("sub-6", "accepted")), *rows[6:])
    table.rows.show(Review(1, again), {})
    assert table.filter.names() == [row.name for row in rows if row.name != "sub-6"]
