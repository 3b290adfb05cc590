"""An image written by the worker; a click enlarges it."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QMouseEvent, QPixmap, QResizeEvent
from qtpy.QtWidgets import QDialog, QLabel, QScrollArea, QVBoxLayout

from napari_singlestrip.files.stamp import FileStamp, file_stamp
from napari_singlestrip.widgets.common.png_file import read_png


class Picture(QLabel):
    """An image as wide as the page.

    Parameters
    ----------
    name : str
        Of the object.
    title : str
        Of the enlarged image.
    """

    def __init__(self, name: str, title: str, tip: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setToolTip(tip)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setMinimumWidth(1)
        self.title = title
        self._whole = QPixmap()
        self._shown: tuple[Path, FileStamp] | None = None

    def show_file(self, path: Path | None) -> None:
        """Show an image file, reloading it if it has changed; hidden without one."""
        stamp = None if path is None else file_stamp(path)
        key = None if path is None or stamp is None else (path, stamp)
        if key != self._shown:
            self._shown = key
            image = QImage() if key is None else read_png(key[0])
            self._whole = QPixmap.fromImage(image)
            self._scale()
        self.setVisible(not self._whole.isNull())

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Fill the width."""
        super().resizeEvent(event)
        self._scale()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Enlarge."""
        if not self._whole.isNull():
            self.enlarge()

    def enlarge(self) -> QDialog:
        """Open the image in a window of its own, at full size."""
        dialog = QDialog(self)
        dialog.setObjectName("enlarged")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setWindowTitle(self.title)
        label = QLabel()
        label.setPixmap(self._whole)
        area = QScrollArea()
        area.setWidget(label)
        column = QVBoxLayout(dialog)
        column.addWidget(area)
        room = self.screen()
        size = self._whole.size()
        if room is not None:
            size = size.boundedTo(room.availableSize() * 0.8)
        dialog.resize(size.width() + 40, size.height() + 40)
        dialog.show()
        return dialog

    def _scale(self) -> None:
        if self._whole.isNull():
            return
        width = max(1, min(self._steady_width(), self._whole.width()))
        height = round(self._whole.height() * width / self._whole.width())
        if self.height() != height:
            self.setFixedHeight(height)
        smooth = Qt.TransformationMode.SmoothTransformation
        self.setPixmap(self._whole.scaledToWidth(width, smooth))

    def _steady_width(self) -> int:
        """The width beside a scroll bar, whether there is one or not.

        A picture that grows as the bar goes makes the page so high that the bar comes back, and
        Qt goes on for ever.
        """
        above = self.parentWidget()
        while above is not None and not isinstance(above, QScrollArea):
            above = above.parentWidget()
        bar = None if above is None else above.verticalScrollBar()
        if bar is None or bar.isVisible():
            return self.width()
        return self.width() - bar.sizeHint().width()
