"""The bytes of scans: read within bounds, compressed or not, and checked.

A file from elsewhere can claim any size, and a few MB of gzip can expand to tens of GB. So the size
in the header is compared with the size of the file before anything is read, and decompression stops
at the end of the values.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import open_regular

GZIP = b"\x1f\x8b"
COPY_AGAIN = "Copy or convert it again from its source."

MAX_VALUES_AT = 64 * 2**20  # bytes of header and extensions before the values: half a second
MAX_AFTER_VALUES = 16 * 2**20  # bytes of a stream that are still checked after the values
MAX_DEFLATE_RATIO = 1032  # the highest ratio that gzip can reach
# Scans and masks compress by a factor of 2 to 100. A file beyond both limits is neither.
MAX_RATIO, MAX_FOLDED_BYTES = 250, 2**30

# Limit on the members of a gzip file if they hold less than a KiB each (bgzip's hold 64 KiB).
MAX_SMALL_MEMBERS = 10_000

_CHUNK = 2**16  # small, since the data after a member are copied


@dataclass(frozen=True)
class Stretch:
    """The byte range of the values in a file.

    Parameters
    ----------
    path : Path
    offset : int
        First byte, after decompression.
    n_bytes : int
    is_gzip : bool
        By its content, not its name.
    stream_at : int
        Offset of the gzip stream in the file.
    has_footer : bool
        Whether the format has something behind the values, which needs no remark.
    """

    path: Path
    offset: int
    n_bytes: int
    is_gzip: bool
    stream_at: int = 0
    has_footer: bool = False


def read_start(path: Path, n_bytes: int) -> tuple[bytes, bool]:
    """Read the first bytes of a file, decompressed.

    Returns
    -------
    bytes
        Fewer than `n_bytes` if the file ends before.
    bool
        Whether the file is compressed with gzip.

    Raises
    ------
    OSError, zlib.error
        If it cannot be read, or is damaged.
    UserError
        If it is a pipe or a device.
    """
    with open_regular(path) as file:
        is_gzip = file.peek(2).startswith(GZIP)
        if not is_gzip:
            return file.read(n_bytes), False
        start = b""
        for piece in _Stream(file, n_bytes).pieces():
            start += piece
            if len(start) >= n_bytes:
                break
    return start[:n_bytes], True


def check_claim(part: Stretch) -> None:
    """Refuse a file that cannot hold its values, or is no plausible scan, before reading it.

    Raises
    ------
    UserError
        If values begin after `MAX_VALUES_AT`; if the file is shorter than its header says; if
        gzip would have to expand it beyond `MAX_DEFLATE_RATIO`, or beyond both `MAX_RATIO` and
        `MAX_FOLDED_BYTES`.
    """
    name, n_bytes = part.path.name, part.path.stat().st_size
    if not 0 <= part.offset <= MAX_VALUES_AT:
        raise UserError(
            f"{name} is damaged: its header says that values begin at byte {part.offset}; "
            f"at most {MAX_VALUES_AT} is read.",
            COPY_AGAIN,
        )
    end = part.offset + part.n_bytes
    if not part.is_gzip:
        if n_bytes < end:
            raise truncated(part, n_bytes)
        return
    if end > n_bytes * MAX_DEFLATE_RATIO + _CHUNK:
        raise UserError(
            f"{name} is truncated: its header says that it holds {_size(part.n_bytes)} of values, "
            f"more than {_size(n_bytes)} of gzip can hold.",
            COPY_AGAIN,
        )
    if end > MAX_FOLDED_BYTES and end > n_bytes * MAX_RATIO:
        raise UserError(
            f"{name} is not read: its {_size(n_bytes)} would expand to {_size(end)}, more than "
            f"{MAX_RATIO} times as much. No scan compresses so well.",
            "If it is one, save it without compression.",
        )


def check_memory(path: Path, n_bytes: int) -> None:
    """Refuse to read values that do not fit into the free memory.

    Raises
    ------
    UserError
        If `n_bytes` are not available.
    """
    free = psutil.virtual_memory().available
    if n_bytes > free:
        raise UserError(
            f"{path.name} needs {_size(n_bytes)} of memory to be read; {_size(free)} are free.",
            "Close other programs, or save a smaller copy (fewer frames, larger voxels).",
        )


def read_values(part: Stretch) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Read values, and check them where the file has a checksum.

    Bytes after the gzip stream, which gzip ignores with a warning, are ignored with a note.

    Returns
    -------
    ndarray of uint8
    tuple of str
        Remarks for the user.

    Raises
    ------
    OSError, zlib.error
        If the file cannot be read, or is damaged.
    UserError
        If it is truncated.
    """
    values = np.empty(part.n_bytes, np.uint8)
    with open_regular(part.path) as file:
        if part.is_gzip:
            file.seek(part.stream_at)
            return values, _inflate(file, part, values)
        file.seek(part.offset)
        n = file.readinto(values.data)
        if n < part.n_bytes:
            raise truncated(part, part.offset + n)
        after = os.fstat(file.fileno()).st_size - part.offset - part.n_bytes
    return values, _after_values(part, after)


def _after_values(part: Stretch, n_bytes: int) -> tuple[str, ...]:
    if n_bytes <= 0 or part.has_footer:
        return ()
    return (f"{n_bytes} bytes after its values were ignored",)


def truncated(part: Stretch, n_bytes: int) -> UserError:
    """Say that a file ends after `n_bytes`, before its values do."""
    return UserError(
        f"{part.path.name} is truncated: {max(n_bytes - part.offset, 0)} bytes of values, "
        f"{part.n_bytes} expected.",
        COPY_AGAIN,
    )


def _inflate(file: BufferedReader, part: Stretch, values: NDArray[np.uint8]) -> tuple[str, ...]:
    """Fill `values` from a gzip file; the rest is read to verify the checksum."""
    stream = _Stream(file)
    end, at = part.offset + part.n_bytes, 0
    for piece in stream.pieces():
        first, last = max(part.offset - at, 0), min(end - at, len(piece))
        if last > first:
            values[at + first - part.offset : at + last - part.offset] = np.frombuffer(
                piece, np.uint8, last - first, first
            )
        at += len(piece)
        if at > end + MAX_AFTER_VALUES:
            return (f"more than {MAX_AFTER_VALUES} bytes after its values were ignored",)
    if at < end or stream.is_cut:
        raise truncated(part, at) if at < end else _cut(part)
    notes = list(_after_values(part, at - end))
    if stream.has_tail:
        notes.append("bytes after its gzip stream were ignored")
    return tuple(notes)


class _Stream:
    """The members of a gzip file, one by one, in pieces of bounded size.

    Attributes
    ----------
    is_cut : bool
        The file ended within a member; known once all pieces were read.
    has_tail : bool
        Something other than a member or zeros follows the last one.
    """

    def __init__(self, file: BufferedReader, piece: int = 4 * _CHUNK) -> None:
        self._file, self._piece = file, piece
        self.is_cut = self.has_tail = False

    def pieces(self) -> Iterator[bytes]:
        """Decompress; zlib checks each member's checksum and raises."""
        packed = self._file.read(_CHUNK)
        n_bytes = n_members = 0
        while n_members < MAX_SMALL_MEMBERS + n_bytes // 1024:
            member = zlib.decompressobj(wbits=31)
            n_members += 1
            while not member.eof:
                piece = member.decompress(packed, self._piece)
                n_bytes += len(piece)
                yield piece
                packed = member.unconsumed_tail
                if not member.eof and not packed and not (packed := self._file.read(_CHUNK)):
                    self.is_cut = True
                    return
            packed = self._next_member(member.unused_data)
            if not packed:
                return
        raise zlib.error(f"{n_members} gzip streams hold {n_bytes} bytes")

    def _next_member(self, packed: bytes) -> bytes:
        """Begin of the next member, without the zeros that some programs put before it."""
        read = 0
        while not (rest := packed.lstrip(b"\0")):
            packed = self._file.read(_CHUNK)
            read += len(packed)
            if not packed or read > MAX_AFTER_VALUES:
                return b""
        if len(rest) < len(GZIP):
            rest += self._file.read(_CHUNK)
        self.has_tail = not rest.startswith(GZIP)
        return b"" if self.has_tail else rest


def _cut(part: Stretch) -> UserError:
    return UserError(
        f"{part.path.name} is truncated: its gzip stream ends before its checksum.", COPY_AGAIN
    )


def _size(n_bytes: int) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if n_bytes < 1024 or unit == "TiB":
            break
        n_bytes /= 1024  # type: ignore[assignment]
    return f"{n_bytes:.3g} {unit}"
