"""Safe reading of torch's archives, which may be damaged or malicious.

Such a file is a zip of uncompressed records: a pickle that describes the content, and the numbers
of each tensor. Sizes are bounded before anything is read, each record is checked against its CRC,
and only the opcodes of our own files are allowed in the pickle. Torch is not needed: its own reader
checks no CRC, trusts the sizes that a record claims, and allocates objects of any claimed size.
"""

from __future__ import annotations

import io
import itertools
import pickletools
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from napari_singlestrip.files.atomic import open_bounded

MAX_BYTES = 4 * 2**30  # hundreds of times the largest network of the efforts
MAX_RECORDS = 20_000  # one per tensor
MAX_DIRECTORY_BYTES = 4 * 2**20
MAX_PICKLE_BYTES = 16 * 2**20  # settings, a card, names of training scans
MAX_OPCODES = 200_000  # about 30 per tensor; parsing them takes 0.2 s

# The opcodes in the pickles of our files. GLOBAL can only name what `checkpoint` allows.
_OPCODES = {
    "PROTO", "STOP", "MARK", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2",
    "TUPLE3", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
    "BINUNICODE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "SETITEM", "SETITEMS", "APPEND",
    "APPENDS", "GLOBAL", "REDUCE", "BINPERSID",
}  # fmt: skip

# What the standard library raises for damaged bytes.
DAMAGE = (
    ValueError, LookupError, TypeError, AttributeError, EOFError, OverflowError, RuntimeError,
    struct.error, zipfile.BadZipFile,
)  # fmt: skip


class WrongChecksum(ValueError):
    """A record does not match its CRC."""


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open an archive whose records need no more memory than the file has on disk.

    Raises
    ------
    FileNotFoundError, UserError
        If the file is missing, no regular file or too large.
    one of `DAMAGE`
        If it is not such an archive; also raised later by its methods.
    """
    with open_bounded(path, MAX_BYTES) as file:
        size = file.seek(0, io.SEEK_END)
        careful = _InSmallPieces(file)
        with zipfile.ZipFile(careful) as content:
            careful.largest = MAX_BYTES
            _check_records(content.infolist(), size)
            yield Archive(content)


class Archive:
    """The records of an archive; all content is checked before use."""

    def __init__(self, content: zipfile.ZipFile) -> None:
        self._content = content
        (self._pickle,) = (n for n in content.namelist() if n.endswith("/data.pkl"))
        if content.getinfo(self._pickle).file_size > MAX_PICKLE_BYTES:
            raise ValueError("too many plain values")

    def read(self, name: str) -> bytes:
        """Read a record, such as "data/0"."""
        try:
            return self._content.read(self._pickle.removesuffix("data.pkl") + name)
        except zipfile.BadZipFile as error:
            if "CRC" in str(error):
                raise WrongChecksum(name) from error
            raise

    def pickle(self) -> bytes:
        """Read the pickle, once its opcodes are checked."""
        content = self.read("data.pkl")
        for _ in _opcodes(content):
            pass
        return content

    def texts(self) -> list[str]:
        """All texts of the pickle, in order."""
        return [text for name, text in _opcodes(self.read("data.pkl")) if name == "BINUNICODE"]


class _InSmallPieces:
    """A file that refuses large reads, since zipfile reads the whole directory at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.largest = MAX_DIRECTORY_BYTES
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, n: int = -1) -> bytes:
        if n > self.largest:
            raise ValueError(f"a directory of {n} bytes")
        return self._file.read(n if n >= 0 else self.largest)


def _check_records(records: list[zipfile.ZipInfo], size: int) -> None:
    if len(records) > MAX_RECORDS or len({r.filename for r in records}) < len(records):
        raise ValueError(f"{len(records)} records")
    if any(r.compress_type != zipfile.ZIP_STORED or r.flag_bits & 1 for r in records):
        raise ValueError("compressed records")
    if sum(r.file_size for r in records) > size:
        raise ValueError("records beyond the end of the file")


def _opcodes(content: bytes) -> Iterator[tuple[str, Any]]:
    found = itertools.islice(pickletools.genops(content), MAX_OPCODES + 1)
    for n, (opcode, argument, _) in enumerate(found):
        if n == MAX_OPCODES or opcode.name not in _OPCODES:
            raise ValueError(f"{opcode.name} in it")
        if opcode.name.endswith("BINPUT") and (argument or 0) > MAX_OPCODES:
            raise ValueError("a table larger than what it holds")  # it would be allocated
        yield opcode.name, argument
