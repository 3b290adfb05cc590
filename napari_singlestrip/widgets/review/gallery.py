"""All ranked masks as large tiles over the image; a click opens one."""

from __future__ import annotations

import html
import math
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QEvent, QModelIndex, QObject, QPoint, QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFontMetrics, QHelpEvent, QKeyEvent, QPainter, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QLabel,
    QListView,
    QMainWindow,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from napari_singlestrip.engine.masks.doubt import ml_in_words
from napari_singlestrip.study.outlook import (
    OUTLOOK_COLOURS,
    OUTLOOK_TIPS,
    Outlook,
    has_large_place,
    outlooks,
)
from napari_singlestrip.study.review import Review, ReviewRow
from napari_singlestrip.texts import printable
from napari_singlestrip.widgets.common.controls import button
from napari_singlestrip.widgets.review.table_model import SCAN, STATE_COLOURS, ReviewFilter
from napari_singlestrip.widgets.viewer.napari_private import canvas_of, main_window_of

PICTURE = 184  # pixels
EDGE, LINE = 6, 18
DOT, GAP = 15, 8  # pixels: a dot with the room after it; between two texts
TILE = QSize(PICTURE + 2 * EDGE, PICTURE + 2 * EDGE + 2 * LINE)
GROUND, LIFTED, TEXT, QUIET = "#1c1f24", "#2f343d", "#f0f0f0", "#a8b0ba"

Pictures = Callable[[str], QPixmap]


class Tiles(QStyledItemDelegate):
    """Draws a tile: image, rank and name, state and assessment.

    Parameters
    ----------
    pictures : callable
        Thumbnail of a scan, or its placeholder until it is drawn.
    parent : QObject
    """

    def __init__(self, pictures: Pictures, parent: QObject) -> None:
        super().__init__(parent)
        self._pictures = pictures
        self.outlooks: dict[str, Outlook] = {}

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """Constant size, so that thousands of tiles are laid out quickly."""
        return TILE

    def paint(
        self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        """Draw a visible tile."""
        if painter is None:
            return
        row = _row(index)
        area: QRect = option.rect
        state: Any = option.state
        lifted = state & (QStyle.StateFlag.State_Selected | QStyle.StateFlag.State_MouseOver)
        painter.save()
        painter.fillRect(area.adjusted(2, 2, -2, -2), QColor(LIFTED if lifted else GROUND))
        painter.drawPixmap(area.x() + EDGE, area.y() + EDGE, self._pictures(row.name))
        self._write(painter, area, row)
        painter.restore()

    def helpEvent(
        self, event: QHelpEvent | None, view: QAbstractItemView | None,
        option: QStyleOptionViewItem, index: QModelIndex,
    ) -> bool:
        """Show a tooltip that explains the colour of a tile."""
        if event is None or view is None or event.type() != QEvent.Type.ToolTip:
            return super().helpEvent(event, view, option, index)
        if not index.isValid():
            return False
        text = html.escape(self.tip(_row(index))).replace("\n", "<br>")
        QToolTip.showText(event.globalPos(), f"<qt>{text}</qt>", view)  # rich text is wrapped
        return True

    def tip(self, row: ReviewRow) -> str:
        """Description of a mask, in full sentences."""
        outlook = self.outlooks.get(row.name, "look")
        score = row.score
        said = [f"{printable(row.name)}: {row.in_words}"]
        if row.by_hand:
            said.append("Your mask. These are the scores of the predicted one:")
        else:
            said.append(f"{outlook.capitalize()}. {OUTLOOK_TIPS[outlook]}.")
        if score.expected.in_words:
            said.append(f"Expected Dice {score.expected.in_words}.")
        if score.flag:
            said.append(f"Flag: {score.flag}.")
        if has_large_place(score):
            said.append(f"Its largest place to check has {ml_in_words(score.largest_place_ml)}.")
        known = (
            ("AE error", score.autoencoder_error, "lower"),
            ("Agreement", score.consistency, "higher"),
        )
        said += [f"{name} {value:.3f} ({better} is better)." for name, value, better in known
                 if math.isfinite(value)]
        return "\n".join(said)

    def _write(self, painter: QPainter, area: QRect, row: ReviewRow) -> None:
        left, width = area.x() + EDGE, PICTURE
        first = QRect(left, area.y() + EDGE + PICTURE + 2, width, LINE)
        second = first.translated(0, LINE)
        name = f"{row.score.rank or '–'}  {printable(row.name)}"
        painter.setPen(QColor(TEXT))
        middle = Qt.TextElideMode.ElideMiddle
        painter.drawText(first, int(Qt.AlignmentFlag.AlignVCenter),
                         painter.fontMetrics().elidedText(name, middle, width))
        said = "unsaved" if row.unsaved else row.in_words
        if not row.by_hand:
            outlook = self.outlooks.get(row.name, "look")
            _spot(painter, second, OUTLOOK_COLOURS[outlook], outlook)
            second = second.adjusted(state_at(painter.fontMetrics(), outlook, said), 0, 0, 0)
        _spot(painter, second, STATE_COLOURS[row.state], said)


class Gallery(QWidget):
    """The gallery of tiles, which covers the image until a tile, Esc or its button is chosen.

    Parameters
    ----------
    viewer : napari.Viewer
    rows : ReviewFilter
        The rows of the table, with its order and filter.
    pictures : callable
        Thumbnail of a scan.
    beside : QWidget, optional
        The dock, which is not covered.

    Signals
    -------
    scan_chosen(str)
    closed()
    """

    scan_chosen = Signal(str)
    closed = Signal()

    def __init__(
        self, viewer: Any, rows: ReviewFilter, pictures: Pictures, beside: QWidget | None = None
    ) -> None:
        self._beside = beside
        self._ground = main_window_of(viewer) or canvas_of(viewer)
        super().__init__(self._ground)
        self._canvas = canvas_of(viewer)
        self.setObjectName("gallery")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)  # otherwise transparent
        self.setStyleSheet(f"#gallery, #gallery_tiles {{ background: {GROUND}; color: {TEXT}; }}")
        self.title = QLabel()
        self.title.setObjectName("gallery_title")
        self.title.setToolTip(
            "With the order and filter of the table; \"Worst first\" reverses it. "
            "Each image is the slice with the largest doubts. Colours compare the "
            "masks with each other; they are not a measured accuracy"
        )
        self.view = _View()
        self.tiles = Tiles(pictures, self)
        self.view.setModel(rows)
        self.view.setModelColumn(SCAN)
        self.view.setItemDelegate(self.tiles)
        self.view.clicked.connect(self._choose)
        self.view.entered_on.connect(self._choose)
        self.view.left.connect(self.leave)
        self._rows = rows
        self._review = Review()
        self._lay_out()
        self.hide()
        if self._ground is not None:
            self._ground.installEventFilter(self)

    def show_review(self, review: Review) -> None:
        """Take the ranking as it is now."""
        self._review = review
        if self.isVisible():
            self._compare()
        n = self._rows.rowCount()
        self.title.setText(f"<b>{n} mask{'' if n == 1 else 's'}</b> · click one to open it")
        self.picture_changed()

    def open_at(self, name: str) -> None:
        """Cover the image, with the tile of a scan visible."""
        if self._ground is None:
            return
        self._compare()
        self.setGeometry(self._place(self._ground))
        self.show()
        self.raise_()
        names = self._rows.names()
        if name in names:
            index = self._rows.index(names.index(name), SCAN)
            self.view.setCurrentIndex(index)
            self.view.scrollTo(index, QAbstractItemView.ScrollHint.PositionAtCenter)
        self.view.setFocus()

    def leave(self) -> None:
        """Show the image again."""
        if self.isVisible():
            self.hide()
            if self._canvas is not None:
                self._canvas.setFocus()
            self.closed.emit()

    def picture_changed(self, _name: str = "") -> None:
        """Repaint after a thumbnail was drawn."""
        port = self.view.viewport()
        if self.isVisible() and port is not None:
            port.update()

    def close_all(self) -> None:
        """Let go: the window closes."""
        if self._ground is not None:
            self._ground.removeEventFilter(self)
            self._ground = None
        self.hide()
        self.deleteLater()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the size of the image."""
        resized = event is not None and event.type() == QEvent.Type.Resize
        if resized and self._ground is not None and self.isVisible():
            self.setGeometry(self._place(self._ground))
        return False

    # --- inside

    def _compare(self) -> None:
        """Compare the masks with each other: only for tiles that are seen."""
        self.tiles.outlooks = outlooks(self._review.rows)

    def _place(self, ground: QWidget) -> QRect:
        """The area of the window without menus and our dock."""
        middle = ground.centralWidget() if isinstance(ground, QMainWindow) else None
        if middle is None:
            return ground.rect()
        area = middle.geometry()
        area.setLeft(0)
        area.setRight(ground.width())
        beside = self._beside
        if beside is not None and beside.window() is ground:
            left = beside.mapTo(ground, QPoint(0, 0)).x()
            if left > middle.geometry().center().x():
                area.setRight(left - 1)
            elif left + beside.width() < middle.geometry().center().x():
                area.setLeft(left + beside.width())
        return area

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.addWidget(self.title, 1)
        top.addWidget(button("Back to the image  Esc", "Close the gallery", self.leave,
                             "gallery_close"))
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        column.addLayout(top)
        column.addWidget(self.view, 1)

    def _choose(self, index: QModelIndex) -> None:
        name = _row(index).name
        self.leave()
        self.scan_chosen.emit(name)


class _View(QListView):
    """A list view that draws only visible tiles."""

    entered_on = Signal(QModelIndex)
    left = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("gallery_tiles")
        self.setToolTip("Click a mask to open it; arrow keys and Enter work, too")
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setUniformItemSizes(True)
        self.setGridSize(TILE)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setMouseTracking(True)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Enter opens, Esc and Shift+G leave, arrows move; letters make no decisions here."""
        if event is None:
            return
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if self.currentIndex().isValid():
                self.entered_on.emit(self.currentIndex())
        elif event.key() == Qt.Key.Key_Escape or event.text() == "G":  # the key that opened it
            self.left.emit()
        elif not event.text().strip():
            super().keyPressEvent(event)


def _row(index: QModelIndex) -> ReviewRow:
    rows = index.model()
    assert isinstance(rows, ReviewFilter)
    return rows.source.rows[rows.mapToSource(index).row()]


def state_at(metrics: QFontMetrics, outlook: str, state: str) -> int:
    """Where the state of a mask starts in its line (pixels), after the outlook.

    In the middle, unless it needs more room, or the outlook does.
    """
    least = DOT + metrics.horizontalAdvance(outlook) + GAP
    most = PICTURE - DOT - metrics.horizontalAdvance(state)
    return max(least, min(PICTURE // 2, most))


def _spot(painter: QPainter, area: QRect, colour: str, said: str) -> None:
    """A coloured dot and a word, for people with colour blindness."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour))
    painter.drawEllipse(area.x() + 1, area.y() + area.height() // 2 - 5, 10, 10)
    painter.setPen(QColor(QUIET))
    words = area.adjusted(DOT, 0, 0, 0)
    end = Qt.TextElideMode.ElideRight
    painter.drawText(words, int(Qt.AlignmentFlag.AlignVCenter),
                     painter.fontMetrics().elidedText(said, end, words.width()))
    painter.restore()
