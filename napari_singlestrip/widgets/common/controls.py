"""Basic controls of all steps."""

from __future__ import annotations

import re
from collections.abc import Callable

from qtpy.QtCore import QEvent, QMargins, QObject, QPoint, QSize, Qt
from qtpy.QtGui import QContextMenuEvent, QGuiApplication, QKeyEvent, QKeySequence, QResizeEvent
from qtpy.QtWidgets import QApplication, QFrame, QLabel, QMenu, QPushButton, QScrollArea, QWidget

from napari_singlestrip.widgets.common.colours import tone

LONG_WORD = re.compile(r"[^\s<>]{25,}")  # a path, or the name of a file
MAY_BREAK = "\u200b"  # a zero-width space
LEVELS = 6  # of widgets within widgets, each of which asks the next one for room


def button(text: str, tip: str, clicked: Callable[[], object], name: str = "") -> QPushButton:
    """Make a push button with a tooltip; `name` finds it in tests."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setObjectName(name)
    made.clicked.connect(lambda _checked=False: clicked())
    return made


def large(made: QPushButton) -> QPushButton:
    """Emphasise a button as the main action."""
    made.setMinimumHeight(36)
    font = made.font()
    font.setBold(True)
    made.setFont(font)
    return made


def words(text: str = "", name: str = "") -> Words:
    """Make a label that wraps its text."""
    label = Words(text)
    label.setObjectName(name)
    return label


class Words(QLabel):
    """A label that wraps its text, including long names and paths, which are copied unchanged."""

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self._text = ""
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.setText(text)

    def text(self) -> str:
        """Return the text without break opportunities."""
        return self._text

    def setText(self, text: str | None) -> None:
        """Show a text."""
        self._text = text or ""
        self._show()

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow napari's theme: Qt draws links dark blue on any background."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.StyleChange and "<a " in self._text:
            self._show()

    def _show(self) -> None:
        coloured = self._text.replace("<a ", f'<a style="color: {tone(self, "link")}" ')
        super().setText(breakable(coloured))

    def copy(self) -> None:
        """Copy the selection, or the whole text."""
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText((self.selectedText() or self._text).replace(MAY_BREAK, ""))

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Copy without break opportunities."""
        if event is not None and event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        else:
            super().keyPressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent | None) -> None:
        """Offer to copy."""
        menu = QMenu(self)
        menu.addAction("Copy", self.copy)
        if event is not None:
            menu.exec(event.globalPos())
        menu.deleteLater()


def breakable(text: str) -> str:
    """Allow line breaks within long words, after punctuation; tags are left unchanged."""
    parts = re.split(r"(<[^>]*>)", text)
    return "".join(
        part if part.startswith("<") else LONG_WORD.sub(_with_breaks, part) for part in parts
    )


def _with_breaks(word: re.Match[str]) -> str:
    return re.sub(r"([_\-./\\=])(?=.)", rf"\1{MAY_BREAK}", word[0])


class Page(QScrollArea):
    """A panel that scrolls vertically, and is never narrower than its content.

    Parameters
    ----------
    panel : QWidget
    footer, header : QWidget, optional
        Children of the panel, in none of its layouts: they stay at the bottom and at the top of
        what is visible.
    """

    def __init__(
        self, panel: QWidget, footer: QWidget | None = None, header: QWidget | None = None
    ) -> None:
        super().__init__()
        self._footer, self._header = footer, header
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(panel)
        bar = self.verticalScrollBar()
        for pinned in filter(None, (footer, header)):
            pinned.installEventFilter(self)  # what it holds is shown later, or gets a theme
        if bar is not None:
            bar.valueChanged.connect(self._place_pinned)
            bar.rangeChanged.connect(self._place_pinned)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Keep the footer at the bottom."""
        super().resizeEvent(event)
        self._place_pinned()

    def minimumSizeHint(self) -> QSize:
        """Width of the panel plus a scroll bar and a frame, which themes draw; any height."""
        hint, panel, bar = super().minimumSizeHint(), self.widget(), self.verticalScrollBar()
        if panel is not None and bar is not None:
            frame = self.width() - self.contentsRect().width()
            needs = max(panel.minimumSizeHint().width(), self._pinned_width(panel))
            hint.setWidth(needs + bar.sizeHint().width() + frame)
        return hint

    def _pinned_width(self, panel: QWidget) -> int:
        """Width that header and footer need, which are in none of the panel's layouts."""
        layout = panel.layout()
        margins = QMargins() if layout is None else layout.contentsMargins()
        needs = (one.minimumSizeHint().width() for one in (self._header, self._footer) if one)
        return max(needs, default=0) + margins.left() + margins.right()

    def scroll_to(self, widget: QWidget) -> None:
        """Scroll until a widget lies between header and footer; its top, if there is no room."""
        panel, bar, port = self.widget(), self.verticalScrollBar(), self.viewport()
        if panel is None or bar is None or port is None or self.pinned(widget):
            return
        for _ in range(LEVELS):  # what was just opened has no room yet, and the bar ends above it
            QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest.value)
        top = widget.mapTo(panel, QPoint()).y()
        room = port.height() - (0 if self._footer is None else self._footer.height())
        above = 0 if self._header is None else self._header.height()
        bar.setValue(min(top - above, max(bar.value(), top + widget.height() - room)))

    def pinned(self, widget: QWidget) -> int:
        """-1 for what is in the header, 1 for what is in the footer, 0 for what scrolls."""
        if self._header is not None and self._header.isAncestorOf(widget):
            return -1
        return int(self._footer is not None and self._footer.isAncestorOf(widget))

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Propagate size changes of the panel, which Qt stops at the scroll area."""
        done = super().eventFilter(watched, event)
        if event is None:
            return done
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
            self._place_pinned()
        elif event.type() == QEvent.Type.Resize and watched is self.widget():
            self._place_pinned()
        return done

    def _place_pinned(self, *_: object) -> None:
        panel, bar, port = self.widget(), self.verticalScrollBar(), self.viewport()
        if panel is None or bar is None or port is None:
            return
        margins = self._leave_room(panel)
        width = panel.width() - margins.left() - margins.right()
        if self._footer is not None:
            bottom, height = min(bar.value() + port.height(), panel.height()), margins.bottom()
            self._footer.setGeometry(margins.left(), bottom - height, width, height)
            self._footer.raise_()
        if self._header is not None:
            self._header.setGeometry(margins.left(), bar.value(), width, margins.top())
            self._header.raise_()

    def _leave_room(self, panel: QWidget) -> QMargins:
        """Make the margins of the panel's layout as high as footer and header."""
        layout = panel.layout()
        if layout is None:
            return QMargins()
        margins = layout.contentsMargins()
        width = panel.width() - margins.left() - margins.right()
        if self._footer is not None:
            margins.setBottom(_height_for(self._footer, width))
        if self._header is not None:
            margins.setTop(_height_for(self._header, width))
        if margins != layout.contentsMargins():  # a theme changes it
            layout.setContentsMargins(margins)
        return margins


def _height_for(widget: QWidget, width: int) -> int:
    """The height that it needs, also for texts that wrap."""
    wraps = widget.hasHeightForWidth()
    return widget.heightForWidth(width) if wraps else widget.sizeHint().height()


def scroll_to(widget: QWidget) -> None:
    """Scroll the page that a widget is on until it is visible."""
    above = widget.parentWidget()
    while above is not None and not isinstance(above, Page):
        above = above.parentWidget()
    if above is not None:
        above.scroll_to(widget)
