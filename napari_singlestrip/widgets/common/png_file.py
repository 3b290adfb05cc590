"""Bounded reading of a study's PNG files, since a study may come from elsewhere."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QBuffer, QByteArray, QSize
from qtpy.QtGui import QImage, QImageReader

from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import read_bytes

MAX_BYTES = 16 * 2**20
MAX_PIXELS = 2**25  # 128 MB uncompressed; a montage of heads has a few million pixels


def read_png(path: Path, size: QSize | None = None) -> QImage:
    """Read an image; null if it is missing, damaged or too large.

    Parameters
    ----------
    path : Path
    size : QSize, optional
        Required size.
    """
    try:
        content = QByteArray(read_bytes(path, MAX_BYTES))
    except (FileNotFoundError, UserError):
        return QImage()
    buffer = QBuffer(content)  # kept in a variable: the reader holds no reference
    reader = QImageReader(buffer, QByteArray(b"png"))
    found = reader.size()  # from the header, before decompression
    if not 0 < found.width() * found.height() <= MAX_PIXELS or size not in (None, found):
        return QImage()
    return reader.read()
