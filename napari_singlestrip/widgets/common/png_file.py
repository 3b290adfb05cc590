"""PNG files that a study holds, read within bounds: they may have come with it from elsewhere."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QBuffer, QByteArray, QSize
from qtpy.QtGui import QImage, QImageReader

from napari_singlestrip.atomic_files import read_bytes
from napari_singlestrip.errors import UserError

MAX_BYTES = 16 * 2**20
MAX_PIXELS = 2**25  # 128 MB unpacked; a montage of heads has a few million


def read_png(path: Path, size: QSize | None = None) -> QImage:
    """Read a picture; a null one if there is none, or it is damaged or too large.

    Parameters
    ----------
    path : Path
    size : QSize, optional
        That it has to have.
    """
    try:
        content = QByteArray(read_bytes(path, MAX_BYTES))
    except (FileNotFoundError, UserError):
        return QImage()
    buffer = QBuffer(content)  # a name of its own: the reader does not keep it
    reader = QImageReader(buffer, QByteArray(b"png"))
    found = reader.size()  # in the first bytes: asked before anything is unpacked
    if not 0 < found.width() * found.height() <= MAX_PIXELS or size not in (None, found):
        return QImage()
    return reader.read()
