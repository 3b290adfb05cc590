"""Thumbnails of scans with outlines of masks, drawn in the background and cached in the study.

The latest request is drawn first, since it is what the user sees now.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QPoint, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFont, QImage, QPainter, QPixmap, QPolygon

from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import atomic_path
from napari_singlestrip.files.stamp import file_stamp
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.common.background_thread import Background
from napari_singlestrip.widgets.common.png_file import read_png
from napari_singlestrip.widgets.common.thumbnail_image import ScanPicture, scan_picture

FOLDER = "thumbnails"
MAX_PICTURES = 4000  # about 9 kB each
N_THREADS = 2
MAX_WAITING = 40  # beyond this the oldest requests are dropped; visible ones are repeated


@dataclass(frozen=True)
class Wish:
    """A requested thumbnail; `stamp` changes with its files."""

    folder: Path
    name: str
    scan: Path
    mask: Path | None
    size: int
    stamp: str
    marks: Path | None = None

    @property
    def place(self) -> tuple[Any, ...]:
        """Key of the thumbnail, independent of the state of its files."""
        return self.folder, self.name, self.mask, self.size

    @property
    def file(self) -> Path:
        """Cache file of the thumbnail: in the study, never beside the scans."""
        of = ""
        if self.mask is not None and self.mask.is_relative_to(self.folder):
            of = "-".join(("", *self.mask.relative_to(self.folder).parent.parts))
        elif self.mask is not None:
            of = "-other"
        return self.folder / FOLDER / f"{self.name}{of}-{self.size}.png"


@dataclass(frozen=True)
class Drawn:
    """A thumbnail, and the state of its files."""

    stamp: str
    pixmap: QPixmap


class Thumbnails(QObject):
    """Thumbnails of the scans of studies.

    Parameters
    ----------
    parent : QObject, optional
    most : int
        Number of thumbnails kept in memory.

    Signals
    -------
    ready(str)
        The thumbnail of this scan was drawn or updated: request it again.
    """

    ready = Signal(str)

    def __init__(self, parent: QObject | None = None, most: int = MAX_PICTURES) -> None:
        super().__init__(parent)
        self._most = most
        self._drawn: OrderedDict[tuple[Any, ...], Drawn] = OrderedDict()
        self._values: dict[tuple[Path, str], tuple[tuple[str, ...], str]] = {}
        self._problems: dict[Path, set[str]] = {}  # scans that could not be drawn, by study
        self._wishes: OrderedDict[tuple[Any, ...], Wish] = OrderedDict()
        self._under_way: dict[tuple[Any, ...], Wish] = {}
        self._closed = False
        self._background = Background("thumbnails", self, N_THREADS)

    def pixmap(
        self, study: Study, name: str, mask: Path | None = None, size: int = 48,
        marks: Path | None = None,
    ) -> QPixmap:
        """Return the thumbnail of a scan, or a placeholder until it is drawn.

        Parameters
        ----------
        study : Study
        name : str
            Scan.
        mask : Path, optional
            File of the mask to outline.
        size : int
            Pixels of a side.
        marks : Path, optional
            File of doubted regions of the mask: the slice with most of them is drawn, with a tint.
        """
        wish = _wish(study, name, mask, size, marks)
        drawn = self._drawn.get(wish.place)
        if drawn is None or drawn.stamp != wish.stamp:
            self._want(wish)
        return placeholder(size) if drawn is None else drawn.pixmap

    def notes(self, study: Study, name: str) -> tuple[tuple[str, ...], str] | None:
        """Return notes and problem from reading the scan's values; None until it is read."""
        return self._values.get((study.folder, name))

    def problems(self, study: Study) -> Collection[str]:
        """Return the names of the scans whose values turned out not to be usable."""
        return self._problems.get(study.folder, ())

    def forget(self, study: Study, names: Collection[str]) -> None:
        """Draw these scans anew when next asked for: their files were repaired.

        Parameters
        ----------
        study : Study
        names : collection of str
            Scans.
        """
        for name in names:
            self._values.pop((study.folder, name), None)
            self._problems.get(study.folder, set()).discard(name)
        for place in [*self._drawn]:
            if place[0] == study.folder and place[1] in names:
                del self._drawn[place]

    @property
    def busy(self) -> bool:
        """Whether thumbnails are being drawn."""
        return bool(self._wishes or self._under_way)

    def close_all(self) -> None:
        """End the threads: the window closes."""
        self._closed = True
        self._wishes.clear()
        self._background.close_all()

    # --- inside

    def _want(self, wish: Wish) -> None:
        if self._closed or wish == self._under_way.get(wish.place):
            return
        known = self._wishes.pop(wish.place, None)
        self._wishes[wish.place] = wish  # the last one is drawn first
        while len(self._wishes) > MAX_WAITING:
            with suppress(KeyError):  # a thread took the last one meanwhile
                self._wishes.popitem(last=False)
        if known is None:
            self._background.run(self._draw_next, self._take)

    def _draw_next(self) -> tuple[Wish, QImage | None, str] | None:
        """Draw the latest request (in a thread); None if it was dropped."""
        try:
            place, wish = self._wishes.popitem()
        except KeyError:
            return None
        self._under_way[place] = wish
        try:
            return wish, _stored(wish) or _render(wish), ""
        except UserError as error:
            return wish, None, str(error)
        except Exception:  # a bug in one thumbnail must not stop the others
            logging.getLogger(__name__).exception("No picture of %s:", wish.name)
            return wish, None, "It could not be drawn."

    def _take(self, drawn: tuple[Wish, QImage | None, str] | None) -> None:
        if drawn is None:
            return
        wish, image, problem = drawn
        if self._under_way.get(wish.place) == wish:
            del self._under_way[wish.place]
        notes = "" if image is None else image.text("notes")
        lines = tuple(line for line in notes.split("\n") if line)
        self._values[wish.folder, wish.name] = lines, problem
        problems = self._problems.setdefault(wish.folder, set())
        (problems.add if problem else problems.discard)(wish.name)
        pixmap = warning_picture(wish.size) if image is None else QPixmap.fromImage(image)
        self._drawn[wish.place] = Drawn(wish.stamp, pixmap)
        self._drawn.move_to_end(wish.place)
        while len(self._drawn) > self._most:
            self._drawn.popitem(last=False)
        self.ready.emit(wish.name)


def placeholder(size: int) -> QPixmap:
    """Return the placeholder for a thumbnail that is not drawn yet."""
    pixmap = QPixmap(size, size)
    pixmap.fill(Qt.GlobalColor.transparent)
    with _painting(pixmap) as painter:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(128, 128, 128, 60))
        painter.drawEllipse(size // 5, size // 8, size - 2 * (size // 5), size - 2 * (size // 8))
    return pixmap


def warning_picture(size: int) -> QPixmap:
    """Return the symbol for an unreadable scan: a triangle with an exclamation mark."""
    pixmap = QPixmap(size, size)
    pixmap.fill(Qt.GlobalColor.transparent)
    edge = size // 6
    corners = [(size // 2, edge), (size - edge, size - edge), (edge, size - edge)]
    with _painting(pixmap) as painter:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor("#e0a030"))
        painter.drawPolygon(QPolygon([QPoint(*corner) for corner in corners]))
        painter.setPen(QColor("#202020"))
        font = QFont()
        font.setPixelSize(max(8, size // 2))
        font.setBold(True)
        painter.setFont(font)
        area = pixmap.rect().adjusted(0, size // 6, 0, 0)
        painter.drawText(area, Qt.AlignmentFlag.AlignCenter, "!")
    return pixmap


class _painting:
    """A painter that is always ended, as Qt crashes otherwise."""

    def __init__(self, pixmap: QPixmap) -> None:
        self._painter = QPainter(pixmap)
        self._painter.setRenderHint(QPainter.RenderHint.Antialiasing)

    def __enter__(self) -> QPainter:
        return self._painter

    def __exit__(self, *_: object) -> None:
        self._painter.end()


def _wish(study: Study, name: str, mask: Path | None, size: int, marks: Path | None) -> Wish:
    scan = study.scans.path(name)
    parts = [_stamp(path) for path in (scan, mask, marks) if path is not None]
    return Wish(study.folder, name, scan, mask, size, " ".join(parts), marks)


def _stamp(path: Path) -> str:
    """Time and size, without the inode: thumbnails are stored, and copies have other inodes."""
    found = file_stamp(path)
    return "missing" if found is None else f"{found.mtime_ns}-{found.n_bytes}"


def _stored(wish: Wish) -> QImage | None:
    """Read the cached thumbnail, if it is up to date."""
    image = read_png(wish.file, QSize(wish.size, wish.size))
    return None if image.isNull() or image.text("stamp") != wish.stamp else image


def _render(wish: Wish) -> QImage:
    mask = wish.mask if wish.mask is not None and wish.mask.exists() else None
    marks = wish.marks if wish.marks is not None and wish.marks.exists() else None
    image = _image(scan_picture(wish.scan, mask, wish.size, marks))
    image.setText("stamp", wish.stamp)
    with suppress(UserError), atomic_path(wish.file) as temporary:  # only a cache
        image.save(str(temporary), "PNG")
    return image


def _image(picture: ScanPicture) -> QImage:
    height, width, _ = picture.rgb.shape
    shared = QImage(
        picture.rgb.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888
    )
    image = shared.copy()  # owns its memory
    image.setText("notes", "\n".join(picture.notes))
    return image
