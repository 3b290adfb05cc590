"""The table of results by itself: words, colours, order, filter, selection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from gui_fixtures import process_events
from qtpy.QtCore import Qt
from qtpy.QtGui import QFontMetrics
from qtpy.QtWidgets import QApplication

from napari_singlestrip.study.volumes_table import AppliedRow
from napari_singlestrip.widgets.apply.result_table import HEADER, ResultTable

pytest_plugins = ("gui_fixtures",)

ROWS = (
    AppliedRow("b", 1200.4, 0.0126, "", "b.nii.gz", "/b"),
    AppliedRow("a", 90.0, 0.2, "volume 90 mL is outside", "a.nii.gz", "/a"),
    AppliedRow("c", flag="c.nii.gz is damaged", file="/c"),
)


@pytest.fixture
def table(qapp: QApplication) -> Iterator[ResultTable]:
    made = ResultTable()
    made.set_rows(ROWS)
    made.show()
    yield made
    made.close()
    made.deleteLater()
    process_events()


def cells(table: ResultTable, column: int, role: Any = Qt.ItemDataRole.DisplayRole) -> list[Any]:
    model = table.model()
    assert model is not None
    return [model.index(row, column).data(role) for row in range(model.rowCount())]


def test_words_of_each_row(table: ResultTable) -> None:
    assert cells(table, 0) == ["b", "a", "c"]
    assert cells(table, 1) == ["1200", "90", ""]
    assert cells(table, 2) == ["0.013", "0.200", ""]
    assert cells(table, 3) == [
        "usual", "volume 90 mL is outside", "failed: c.nii.gz is damaged"
    ]
    assert "within the range" in cells(table, 3, Qt.ItemDataRole.ToolTipRole)[0]


def test_a_flag_is_shown_whole_beside_a_whole_name(table: ResultTable) -> None:
    flag = "volume 1016 mL is outside 1150 to 1620 mL; autoencoder error 0.087 is above 0.030"
    name = "sample-11_lowfield_FLAIR"
    table.resize(410, 300)
    table.set_rows([*ROWS[:1], AppliedRow(name, 1016.0, 0.087, flag, "m.nii.gz", "/m")])
    process_events()
    model, metrics = table.model(), QFontMetrics(table.results.small_font)
    assert model is not None and table.columnWidth(0) > metrics.horizontalAdvance(name)
    room = table.visualRect(model.index(1, 3)).adjusted(3, 0, -3, 0)
    needs = metrics.boundingRect(room.adjusted(0, 0, 0, 999), Qt.TextFlag.TextWordWrap, flag)
    assert room.height() >= needs.height() > 2 * metrics.height()
    assert table.rowHeight(0) < table.rowHeight(1)
    table.sortByColumn(HEADER.index("Look at it?"), Qt.SortOrder.AscendingOrder)
    process_events()
    assert table.rowHeight(1) < table.rowHeight(0)


def test_what_needs_a_look_has_a_colour(table: ResultTable) -> None:
    usual, flagged, failed = cells(table, 0, Qt.ItemDataRole.ForegroundRole)
    assert usual is None
    assert flagged is not None and failed is not None and flagged != failed


def test_sorting_is_by_number_and_the_unknown_is_last(table: ResultTable) -> None:
    table.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    assert cells(table, 0) == ["a", "b", "c"]  # 90 before 1200
    table.sortByColumn(HEADER.index("Look at it?"), Qt.SortOrder.AscendingOrder)
    assert cells(table, 0) == ["c", "a", "b"]  # failed, flagged, usual


def test_only_what_needs_a_look(table: ResultTable) -> None:
    table.show_only_flagged(True)
    assert cells(table, 0) == ["a", "c"]
    table.show_only_flagged(False)
    assert cells(table, 0) == ["b", "a", "c"]


def test_scans_to_come_wait_and_are_stopped(table: ResultTable) -> None:
    table.set_rows(ROWS[:1], ["b", "d"], running=True)
    assert cells(table, 0) == ["b", "d"]
    assert cells(table, 3)[1] == "..."
    table.set_rows(ROWS[:1], ["b", "d"])
    assert cells(table, 3)[1] == "not done: stopped"
    table.show_only_flagged(True)
    assert cells(table, 0) == []


def test_selection_stays_while_rows_come(table: ResultTable) -> None:
    table.set_rows(ROWS[:2])
    table.select("a")
    table.set_rows(ROWS)
    chosen = table.selected()
    assert chosen is not None and chosen.scan == "a"


def test_steps_open_one_row_after_the_other(table: ResultTable) -> None:
    opened: list[str] = []
    table.opened.connect(lambda row: opened.append(row.scan))
    for by in (1, 1, 1, 1, -1):
        table.step(by)
    assert opened == ["b", "a", "c", "c", "a"]
    table.set_rows(())
    table.step(1)
    assert len(opened) == 5
