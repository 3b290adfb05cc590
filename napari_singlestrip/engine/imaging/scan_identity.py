"""Who a scan is: what is in its file, wherever the file lies and whatever it is called."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

from napari_singlestrip.engine.imaging.scan_files import extension_of, image_of_pair

LENGTH = 16  # characters: one pair in a million million of a hundred thousand scans is taken alike
_PART_BYTES = 2**16


def fingerprint(path: Path) -> str:
    """Return a short text that is the same for files with the same content only.

    Of a compressed file, its size, beginning and end are enough, and soon read: gzip ends with a
    checksum of all that is in it.

    Parameters
    ----------
    path : Path
        A scan; of a pair of files either one, both count.

    Returns
    -------
    str
        Empty when the file cannot be read.
    """
    found = hashlib.blake2b(digest_size=LENGTH // 2)
    try:
        for part in _parts(path):
            if not part.is_file():  # a pipe would be waited for without end
                return ""
            with part.open("rb") as file:
                _add(found, file, part)
    except OSError:
        return ""
    return found.hexdigest()


def _parts(path: Path) -> list[Path]:
    image = image_of_pair(path)
    extension = extension_of(image.name)
    if not extension.startswith(".img"):
        return [image]
    stem = image.name[: len(image.name) - len(extension)]
    header = (image.with_name(stem + end) for end in (".hdr", ".HDR", ".hdr.gz"))
    return [image, *(path for path in header if path.is_file())][:2]


def _add(found: hashlib.blake2b, file: BinaryIO, path: Path) -> None:
    size = path.stat().st_size
    found.update(f"{size} ".encode())
    is_compressed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    if not is_compressed or size <= 2 * _PART_BYTES:
        while block := file.read(2**20):
            found.update(block)
        return
    found.update(file.read(_PART_BYTES))
    file.seek(-_PART_BYTES, 2)
    found.update(file.read(_PART_BYTES))
