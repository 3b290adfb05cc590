"""Small pictures of scans with the outlines of masks: drawn in the background, kept in the study.

What is asked for last is drawn first: that is what a person looks at now.
"""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QPoint, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFont, QImage, QPainter, QPixmap, QPolygon

from napari_singlestrip.atomic_files import atomic_path
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.common.png_file import read_png
from napari_singlestrip.widgets.common.thumbnail_image import ScanPicture, scan_picture

FOLDER = "thumbnails"
MAX_PICTURES = 4000  # about 9 kB each
N_THREADS = 2
MAX_WAITING = 40  # of what was passed by in scrolling, the oldest is dropped: it is asked for again


@dataclass(frozen=True)
class Wish:
    """A picture that is wanted; `stamp` changes with its files."""

    folder: Path
    name: str
    scan: Path
    mask: Path | None
    size: int
    stamp: str

    @property
    def place(self) -> tuple[Any, ...]:
        """What the picture is of, whatever the state of its files."""
        return self.folder, self.name, self.mask, self.size

    @property
    def file(self) -> Path:
        """Where the picture is kept: in the study, never beside a person's scans."""
        of = ""
        if self.mask is not None and self.mask.is_relative_to(self.folder):
            of = "-".join(("", *self.mask.relative_to(self.folder).parent.parts))
        elif self.mask is not None:
            of = "-other"
        return self.folder / FOLDER / f"{self.name}{of}-{self.size}.png"


@dataclass(frozen=True)
class Drawn:
    """A picture, and the state of the files it is of."""

    stamp: str
    pixmap: QPixmap


class Thumbnails(QObject):
    """Pictures of the scans of studies.

    Signals
    -------
    ready(str)
        The picture of this scan is there now, or newer: ask for it again.
    """

    ready = Signal(str)
    _done = Signal(object, object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._drawn: OrderedDict[tuple[Any, ...], Drawn] = OrderedDict()
        self._values: dict[tuple[Path, str], tuple[tuple[str, ...], str]] = {}
        self._wishes: OrderedDict[tuple[Any, ...], Wish] = OrderedDict()
        self._under_way: dict[tuple[Any, ...], Wish] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._closed = False
        self._done.connect(self._take)  # from the threads: queued to the one of this object

    def pixmap(
        self, study: Study, name: str, mask: Path | None = None, size: int = 48
    ) -> QPixmap:
        """Return the picture of a scan, or a placeholder until it is drawn.

        Parameters
        ----------
        study : Study
        name : str
            Scan.
        mask : Path, optional
            File of the mask to outline.
        size : int
            Pixels of a side.
        """
        wish = _wish(study, name, mask, size)
        drawn = self._drawn.get(wish.place)
        if drawn is None or drawn.stamp != wish.stamp:
            self._want(wish)
        return placeholder(size) if drawn is None else drawn.pixmap

    def notes(self, study: Study, name: str) -> tuple[tuple[str, ...], str] | None:
        """Return what reading the scan's values told: notes, problem; None while it is not read."""
        return self._values.get((study.folder, name))

    @property
    def busy(self) -> bool:
        """Whether pictures are being drawn."""
        return bool(self._wishes or self._under_way)

    def close_all(self) -> None:
        """End the threads: the window closes."""
        self._closed = True
        self._wishes.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    # --- inside

    def _want(self, wish: Wish) -> None:
        if self._closed or wish == self._under_way.get(wish.place):
            return
        known = self._wishes.pop(wish.place, None)
        self._wishes[wish.place] = wish  # to the end: drawn first
        while len(self._wishes) > MAX_WAITING:
            self._wishes.pop(next(iter(self._wishes)), None)
        if known is None:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(N_THREADS, thread_name_prefix="thumbnails")
            self._pool.submit(self._draw_next).add_done_callback(_show_bug)

    def _draw_next(self) -> None:
        """Draw what was asked for last (in a thread)."""
        try:
            place, wish = self._wishes.popitem()
        except KeyError:
            return
        self._under_way[place] = wish
        picture, problem = None, "It could not be drawn."
        try:
            picture = _stored(wish) or _render(wish)
        except UserError as error:
            problem = str(error)
        finally:
            if not self._closed:
                self._done.emit(wish, picture, problem)

    def _take(self, wish: Wish, image: QImage | None, problem: str) -> None:
        if self._under_way.get(wish.place) == wish:
            del self._under_way[wish.place]
        notes = "" if image is None else image.text("notes")
        lines = tuple(line for line in notes.split("\n") if line)
        self._values[wish.folder, wish.name] = lines, "" if image is not None else problem
        pixmap = warning_picture(wish.size) if image is None else QPixmap.fromImage(image)
        self._drawn[wish.place] = Drawn(wish.stamp, pixmap)
        self._drawn.move_to_end(wish.place)
        while len(self._drawn) > MAX_PICTURES:
            self._drawn.popitem(last=False)
        self.ready.emit(wish.name)


def _show_bug(future: Future[None]) -> None:
    if not future.cancelled():
        future.result()  # what is raised here is logged with its traceback


def placeholder(size: int) -> QPixmap:
    """Return the picture of a scan that is not drawn yet."""
    pixmap = QPixmap(size, size)
    pixmap.fill(Qt.GlobalColor.transparent)
    with _painting(pixmap) as painter:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(128, 128, 128, 60))
        painter.drawEllipse(size // 5, size // 8, size - 2 * (size // 5), size - 2 * (size // 8))
    return pixmap


def warning_picture(size: int) -> QPixmap:
    """Return the picture of a scan that cannot be read: a triangle with an exclamation mark."""
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
    """A painter that is ended whatever happens: Qt crashes otherwise."""

    def __init__(self, pixmap: QPixmap) -> None:
        self._painter = QPainter(pixmap)
        self._painter.setRenderHint(QPainter.RenderHint.Antialiasing)

    def __enter__(self) -> QPainter:
        return self._painter

    def __exit__(self, *_: object) -> None:
        self._painter.end()


def _wish(study: Study, name: str, mask: Path | None, size: int) -> Wish:
    scan = study.scan_path(name)
    parts = [_stamp(scan)] + ([] if mask is None else [_stamp(mask)])
    return Wish(study.folder, name, scan, mask, size, " ".join(parts))


def _stamp(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return "missing"
    return f"{found.st_mtime_ns}-{found.st_size}"


def _stored(wish: Wish) -> QImage | None:
    """Read the kept picture, if it is of the files as they are."""
    image = read_png(wish.file, QSize(wish.size, wish.size))
    return None if image.isNull() or image.text("stamp") != wish.stamp else image


def _render(wish: Wish) -> QImage:
    mask = wish.mask if wish.mask is not None and wish.mask.exists() else None
    image = _image(scan_picture(wish.scan, mask, wish.size))
    image.setText("stamp", wish.stamp)
    with suppress(UserError), atomic_path(wish.file) as temporary:  # only kept for speed
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
