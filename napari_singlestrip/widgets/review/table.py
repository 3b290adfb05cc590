"""The ranked masks as a table; arrow keys move in it, letters are passed to the window."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qtpy.QtCore import QModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QFontMetrics, QKeyEvent, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QWidget

from napari_singlestrip.widgets.common.page_table import PageTable
from napari_singlestrip.widgets.review.table_model import (
    COLUMNS,
    KEYS,
    SCAN,
    THUMBNAIL,
    Pictures,
    ReviewFilter,
    ReviewModel,
)

NAME_MARGINS = 10  # pixels around a text in a cell


class ReviewTable(PageTable):
    """The table; letters are passed to napari, where the keys are bound.

    Signals
    -------
    scan_chosen(str)
        The user chose a row, with the mouse or the arrow keys.
    """

    scan_chosen = Signal(str)
    _silent = False  # Qt asks while the model is being set

    def __init__(self, pictures: Pictures, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("review_table")
        self.setToolTip("Click a row, or press N or the arrow keys, to show a scan")
        self.rows = ReviewModel(pictures, self)
        self.filter = ReviewFilter(self.rows, self)
        self.setModel(self.filter)
        self._set_up()
        self.rows.fits_line = self._fits_line
        self.sort_by("rank", down=False)

    # --- the current row

    @property
    def current(self) -> str:
        """Scan of the current row; empty for none."""
        index = self.currentIndex()
        return self.rows.rows[self.filter.mapToSource(index).row()].name if index.isValid() else ""

    def go_to(self, name: str) -> None:
        """Make the row of a scan the current one, without showing the scan; "" for none."""
        if name == self.current:
            return
        names = self.filter.names()
        with self.quiet():
            if name in names:
                self.setCurrentIndex(self.filter.index(names.index(name), SCAN))
                self.scrollTo(self.currentIndex())
            else:
                self.setCurrentIndex(QModelIndex())
                self.clearSelection()

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Change rows or the filter without showing the scan of the new current row."""
        before, self._silent = self._silent, True
        try:
            yield
        finally:
            self._silent = before

    def sort_by(self, key: str, down: bool) -> None:
        """Sort by a column."""
        order = Qt.SortOrder.DescendingOrder if down else Qt.SortOrder.AscendingOrder
        self.sortByColumn(KEYS.index(key), order)

    @property
    def worst_first(self) -> bool:
        """Whether the lowest rank is on top."""
        header = self.horizontalHeader()
        return header is not None and (
            header.sortIndicatorSection() == KEYS.index("rank")
            and header.sortIndicatorOrder() == Qt.SortOrder.DescendingOrder
        )

    def show_column(self, key: str, shown: bool) -> None:
        """Show or hide a column."""
        self.setColumnHidden(KEYS.index(key), not shown)

    # --- Qt

    def currentChanged(self, current: QModelIndex, previous: QModelIndex) -> None:
        """Request the scan of the chosen row."""
        super().currentChanged(current, previous)
        if not self._silent and current.isValid():
            self.scan_chosen.emit(self.current)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Keep the current row visible."""
        super().resizeEvent(event)
        if self.currentIndex().isValid():
            self.scrollTo(self.currentIndex())

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Handle navigation keys; letters belong to the window."""
        if event is None:
            return
        if event.text().strip() and event.key() not in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            event.ignore()
            return
        super().keyPressEvent(event)

    def _fits_line(self, name: str) -> bool:
        """Whether the name of a scan fits into one line of its column."""
        room = self.columnWidth(SCAN) - NAME_MARGINS
        return QFontMetrics(self.rows.small_font).horizontalAdvance(name) <= room

    def _set_up(self) -> None:
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setShowGrid(False)
        self.setIconSize(QSize(THUMBNAIL, THUMBNAIL))
        self.setSortingEnabled(True)
        self.setWordWrap(True)
        down, across = self.verticalHeader(), self.horizontalHeader()
        assert down is not None and across is not None
        down.hide()
        down.setDefaultSectionSize(THUMBNAIL + 2)
        across.setHighlightSections(False)
        across.setMinimumSectionSize(28)
        for n, column in enumerate(COLUMNS):
            stretch = QHeaderView.ResizeMode.Stretch
            across.setSectionResizeMode(
                n, QHeaderView.ResizeMode.Interactive if column.width else stretch
            )
            self.setColumnHidden(n, not column.shown)
            if column.width:
                self.setColumnWidth(n, column.width)
