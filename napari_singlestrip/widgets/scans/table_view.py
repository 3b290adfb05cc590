"""The view of the table of scans: thumbnail with two lines, checks, and a state dot."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QModelIndex, QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFont, QFontMetrics, QIcon, QKeyEvent, QPainter, QPalette
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from napari_singlestrip.widgets.scans.table import (
    CHECK,
    COLOUR_ROLE,
    DETAIL_ROLE,
    PICTURE,
    SCAN,
    STATE,
    SortedScans,
)

DOT = 9
GAP = 6
STATE_WIDTH = 92
CHECK_WIDTH = 100
MIN_HEIGHT = 220


class ScanDelegate(QStyledItemDelegate):
    """Draws a cell of the table."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """Height of the thumbnail plus a margin."""
        return QSize(0, PICTURE + 6)

    def paint(
        self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        """Draw a thumbnail or a dot, and two lines."""
        assert painter is not None
        column = index.column()
        if column == CHECK:
            super().paint(painter, option, index)
            return
        self._background(painter, option, index)
        area = option.rect.adjusted(GAP, 0, -GAP // 2, 0)
        painter.save()
        if column == SCAN:
            pixmap = index.data(Qt.ItemDataRole.DecorationRole)
            top = area.top() + (area.height() - PICTURE) // 2
            painter.drawPixmap(area.left(), top, pixmap)
            area.setLeft(area.left() + PICTURE + GAP)
        else:
            self._dot(painter, area, index.data(COLOUR_ROLE))
            area.setLeft(area.left() + DOT + GAP)
        self._lines(painter, area, option, index)
        painter.restore()

    def _background(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        plain = QStyleOptionViewItem(option)
        self.initStyleOption(plain, index)
        plain.text = ""
        plain.icon = QIcon()  # otherwise Qt tints it for a selected row, at zero size, and warns
        plain.features &= ~QStyleOptionViewItem.ViewItemFeature.HasDecoration
        style = plain.widget.style() if plain.widget is not None else None
        if style is not None:
            style.drawControl(
                QStyle.ControlElement.CE_ItemViewItem, plain, painter, plain.widget
            )

    def _dot(self, painter: QPainter, area: QRect, colour: str) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if colour:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(colour))
        else:
            painter.setPen(QColor(128, 128, 128))
            painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawEllipse(area.left(), area.center().y() - DOT // 2, DOT, DOT)

    def _lines(
        self, painter: QPainter, area: QRect, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        small = QFont(option.font)
        small.setPointSizeF(max(6.0, small.pointSizeF() * 0.85))
        colour = option.palette.color(QPalette.ColorRole.Text)
        name = str(index.data(Qt.ItemDataRole.DisplayRole))
        more = [line for line in str(index.data(DETAIL_ROLE) or "").split("\n") if line]
        first, rest = option.fontMetrics.height(), QFontMetrics(small).height()
        line = QRect(area.left(), 0, area.width(), first)
        line.moveTop(area.center().y() - (first + rest * len(more)) // 2)
        painter.setPen(colour)
        # Names may differ at either end.
        self._line(painter, line, name, option.fontMetrics, Qt.TextElideMode.ElideMiddle)
        line.translate(0, first)
        painter.setFont(small)
        colour.setAlphaF(0.65)
        painter.setPen(colour)
        for text in more:
            self._line(painter, line, text, QFontMetrics(small), Qt.TextElideMode.ElideRight)
            line.translate(0, rest)

    def _line(
        self, painter: QPainter, line: QRect, text: str, metrics: QFontMetrics,
        elide: Qt.TextElideMode,
    ) -> None:
        painter.drawText(line, 0, metrics.elidedText(text, elide, line.width()))


class ScanView(QTableView):
    """The table on screen.

    Signals
    -------
    looked_at(str)
        A scan should be shown.
    """

    looked_at = Signal(str)

    def __init__(self, scans: SortedScans, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("scan_table")
        self.scans = scans
        self.setModel(scans)
        self.setItemDelegate(ScanDelegate(self))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setMinimumHeight(MIN_HEIGHT)
        self.setShowGrid(False)
        self.setWordWrap(True)
        self.setAlternatingRowColors(False)
        self.setTabKeyNavigation(False)  # Tab would go from cell to cell, and never out
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self._set_up_headers()
        self.doubleClicked.connect(lambda index: self.looked_at.emit(scans.name_at(index)))
        self.clicked.connect(self._on_click)

    @property
    def chosen(self) -> list[str]:
        """Names of the selected scans, from top to bottom."""
        selection = self.selectionModel()
        rows = [] if selection is None else selection.selectedRows()
        return [self.scans.name_at(index) for index in sorted(rows, key=lambda i: i.row())]

    def choose(self, name: str) -> None:
        """Select a scan and scroll to it, without showing it."""
        if self.chosen == [name]:
            return
        index = self.scans.mapFromSource(
            self.scans.table.index(self.scans.table.row_of(name), SCAN)
        )
        if index.isValid():
            self.selectRow(index.row())
            self.scrollTo(index)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Enter and the arrow keys show a scan."""
        if event is None:
            return
        before = self.chosen
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._look_at_chosen()
            return
        super().keyPressEvent(event)
        if self.chosen != before and event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            self._look_at_chosen()

    # --- inside

    def _set_up_headers(self) -> None:
        down, across = self.verticalHeader(), self.horizontalHeader()
        if down is not None:
            down.hide()
            # Equal row heights: querying each one is slow with a thousand rows.
            down.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
            down.setDefaultSectionSize(PICTURE + 6)
        if across is not None:
            across.setSectionResizeMode(SCAN, QHeaderView.ResizeMode.Stretch)
            across.resizeSection(CHECK, CHECK_WIDTH)
            across.resizeSection(STATE, STATE_WIDTH)
            across.setHighlightSections(False)
            across.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)

    def _on_click(self, index: Any) -> None:
        if len(self.chosen) == 1:
            self.looked_at.emit(self.chosen[0])

    def _look_at_chosen(self) -> None:
        if len(self.chosen) == 1:
            self.looked_at.emit(self.chosen[0])
