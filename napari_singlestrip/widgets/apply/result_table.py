"""The results for each scan: a table that fills while the job runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt, Signal
from qtpy.QtGui import QColor, QFont, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QWidget

from napari_singlestrip.glossary import meaning
from napari_singlestrip.study.volumes_table import AppliedRow
from napari_singlestrip.texts import printable
from napari_singlestrip.widgets.common.colours import tone
from napari_singlestrip.widgets.common.page_table import PageTable
from napari_singlestrip.widgets.common.single_shot import single_shot

HEADER = ("Scan", "mL", "AE error", "Look at it?")
TIPS = (
    "Double click shows the scan with its mask",
    "Volume of the mask in millilitres",
    meaning("AE error"),
    "Where the volume or the error is outside the range of the training data",
)
WAITING = "..."
ROW_HEIGHT = 22  # pixels
NAME_WIDTHS = 100, 200  # pixels; a flag wraps in what is left
MOST_WRAPPED = 300  # rows: a flag of more is cut to one line, since each row is measured
SORT_ROLE = Qt.ItemDataRole.UserRole


class ResultModel(QAbstractTableModel):
    """Rows of volumes.csv, and the scans that are still pending."""

    def __init__(self, table: QWidget) -> None:
        super().__init__(table)
        self._table = table
        self.rows: tuple[AppliedRow, ...] = ()
        self._waiting = WAITING
        self.small_font = QFont()  # names and flags are long
        self.small_font.setPointSizeF(0.88 * self.small_font.pointSizeF())

    def set_rows(
        self, rows: Sequence[AppliedRow], to_come: Sequence[str] = (), running: bool = False
    ) -> None:
        """Show rows, and below them the pending scans in `to_come`."""
        done = {row.scan for row in rows}
        shown = (*rows, *(AppliedRow(name, flag=WAITING) for name in to_come if name not in done))
        waiting = WAITING if running else "not done: stopped"
        if shown == self.rows and waiting == self._waiting:
            return
        same = [row.scan for row in shown] == [row.scan for row in self.rows]
        if not same:
            self.beginResetModel()
        self.rows, self._waiting = shown, waiting
        if same:
            last = self.index(len(shown) - 1, len(HEADER) - 1)
            self.dataChanged.emit(self.index(0, 0), last)
        else:
            self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Number of scans."""
        return len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Number of facts."""
        return len(HEADER)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Names and explanations of the columns."""
        if orientation == Qt.Orientation.Horizontal:
            if role == Qt.ItemDataRole.DisplayRole:
                return HEADER[section]
            if role == Qt.ItemDataRole.ToolTipRole:
                return TIPS[section]
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A fact of a scan."""
        row, column = self.rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return (printable(row.scan), _number(row.volume_ml, 0),
                    _number(row.autoencoder_error, 3), self._verdict(row))[column]
        if role == SORT_ROLE:
            return (row.scan.casefold(), _or_last(row.volume_ml),
                    _or_last(row.autoencoder_error), _order(row))[column]
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.file if column == 0 else f"{row.scan}: {self._words(row)}"
        if role == Qt.ItemDataRole.ForegroundRole and needs_a_look(row):
            return QColor(tone(self._table, "warning" if row.mask else "error"))
        if role == Qt.ItemDataRole.FontRole and column in (0, 3):
            return self.small_font
        if role == Qt.ItemDataRole.TextAlignmentRole and column in (1, 2):
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def _verdict(self, row: AppliedRow) -> str:
        if row.flag == WAITING:
            return self._waiting
        if not row.mask:
            return f"failed: {row.flag}"
        return row.flag or "usual"

    def _words(self, row: AppliedRow) -> str:
        if row.flag == WAITING:
            return self._waiting
        return row.flag or "volume and error are within the range of the training data"


class ResultTable(PageTable):
    """A sortable table of results.

    Signals
    -------
    opened(AppliedRow)
        A scan should be shown.
    selected_changed()
    """

    opened = Signal(object)
    selected_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("results")
        self.results = ResultModel(self)
        self._sorted = _Filter(self)
        self._sorted.setSourceModel(self.results)
        self._sorted.setSortRole(SORT_ROLE)
        self.setModel(self._sorted)
        self.setSortingEnabled(True)
        self.sortByColumn(-1, Qt.SortOrder.AscendingOrder)  # in the order of the job
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setWordWrap(True)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # names may differ at their ends
        self.setMinimumHeight(88)  # three rows
        self._size_columns()
        self._fit_soon = single_shot(self, 0, self._fit)
        for changed in (self._sorted.modelReset, self._sorted.layoutChanged,
                        self._sorted.dataChanged, self._sorted.rowsInserted,
                        self._sorted.rowsRemoved):
            changed.connect(lambda *_: self._fit_soon.start())
        self.doubleClicked.connect(lambda _index: self.open_selected())
        chosen = self.selectionModel()
        assert chosen is not None
        chosen.selectionChanged.connect(lambda *_: self.selected_changed.emit())

    def set_rows(
        self, rows: Sequence[AppliedRow], to_come: Sequence[str] = (), running: bool = False
    ) -> None:
        """Show rows; the selection stays."""
        chosen = self.selected()
        self.results.set_rows(rows, to_come, running)
        if chosen is not None and self.selected() is None:
            self.select(chosen.scan)

    def show_only_flagged(self, only: bool) -> None:
        """Hide scans that need no inspection."""
        self._sorted.set_only_flagged(only)

    def selected(self) -> AppliedRow | None:
        """The row that is selected; None for none."""
        rows = self._selected_rows()
        return self.results.rows[self._sorted.mapToSource(rows[0]).row()] if rows else None

    def select(self, scan: str) -> None:
        """Select a scan."""
        for n, row in enumerate(self.results.rows):
            if row.scan == scan:
                self.selectRow(self._sorted.mapFromSource(self.results.index(n, 0)).row())

    def step(self, by: int) -> None:
        """Select the next or previous row and open it."""
        n = self._sorted.rowCount()
        if not n:
            return
        rows = self._selected_rows()
        start = rows[0].row() + by if rows else 0 if by > 0 else n - 1
        self.selectRow(min(max(start, 0), n - 1))
        self.open_selected()

    def open_selected(self) -> None:
        """Request to show the selected scan."""
        row = self.selected()
        if row is not None:
            self.opened.emit(row)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Wrap flags anew."""
        super().resizeEvent(event)
        self._fit_soon.start()

    def _fit(self) -> None:
        """Give names their width, and flags their lines."""
        least, most = NAME_WIDTHS
        self.setColumnWidth(0, min(max(self.sizeHintForColumn(0), least), most))
        n = self._sorted.rowCount()
        for n_row in range(n if n <= MOST_WRAPPED else 0):
            row = self.results.rows[self._sorted.mapToSource(self._sorted.index(n_row, 0)).row()]
            if needs_a_look(row):
                self.resizeRowToContents(n_row)
            elif self.rowHeight(n_row) != ROW_HEIGHT:
                self.setRowHeight(n_row, ROW_HEIGHT)

    def _size_columns(self) -> None:
        header, side = self.horizontalHeader(), self.verticalHeader()
        assert header is not None and side is not None
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setStretchLastSection(True)
        for column, width in enumerate((144, 44, 60)):
            header.resizeSection(column, width)
        side.hide()
        side.setDefaultSectionSize(ROW_HEIGHT)

    def _selected_rows(self) -> list[QModelIndex]:
        chosen = self.selectionModel()
        return chosen.selectedRows() if chosen is not None else []


class _Filter(QSortFilterProxyModel):
    """Optionally hides results that need no inspection."""

    _only = False

    def set_only_flagged(self, only: bool) -> None:
        self._only = only
        self.invalidateFilter()

    def filterAcceptsRow(self, row: int, parent: QModelIndex) -> bool:
        model = self.sourceModel()
        return not self._only or (isinstance(model, ResultModel) and needs_a_look(model.rows[row]))


def needs_a_look(row: AppliedRow) -> bool:
    """Whether a result is flagged or failed."""
    return bool(row.flag) and row.flag != WAITING


def _number(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _or_last(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _order(row: AppliedRow) -> int:
    if row.flag == WAITING:
        return 3
    return 2 if not row.flag else 1 if row.mask else 0
