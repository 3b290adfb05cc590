"""Identity of a scan: by the content of its file, independent of name and location."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

from napari_singlestrip.engine.imaging.scan_files import extension_of, image_of_pair

LENGTH = 16  # hexadecimal digits: a collision among 100,000 scans has odds of about 1 in 10^9
_PART_BYTES = 2**16


def fingerprint(path: Path) -> str:
    """Return a short hash of a file's content.

    For a compressed file, size, beginning and end are enough, and quickly read: gzip ends with a
    checksum of the content.

    Parameters
    ----------
    path : Path
        A scan; for a pair of files either one (both are hashed).

    Returns
    -------
    str
        Empty when the file cannot be read.
    """
    found = hashlib.blake2b(digest_size=LENGTH // 2)
    try:
        for part in _parts(path):
            if not part.is_file():  # reading a pipe would block forever
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
