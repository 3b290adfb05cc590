"""What applying a model writes beside the masks: a table, read without torch.

Rows are appended, so that a thousand take no longer each than one; the last row of a scan counts.
`tidy` leaves one row for each. A killed job leaves a table that is whole but for its last line.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from filelock import FileLock

from napari_singlestrip.atomic_files import read_text, write_text_atomic
from napari_singlestrip.engine.imaging.scan_identity import LENGTH as FINGERPRINT_LENGTH
from napari_singlestrip.errors import UserError
from napari_singlestrip.texts import path_text, table_cell, text_path, without_apostrophe

MASK_SUFFIX = "_desc-brain_mask.nii.gz"
BRAIN_SUFFIX = "_desc-brain.nii.gz"
TABLE = "volumes.csv"
NAMES = f".{TABLE}.names"  # a table of the names that jobs have begun with
LONGEST_WAIT = 30.0  # seconds: a row takes milliseconds


@dataclass(frozen=True)
class AppliedRow:
    """A line of volumes.csv.

    Attributes
    ----------
    scan : str
        Name of the scan.
    volume_ml : float
        Volume of its mask.
    autoencoder_error : float
        NaN without an autoencoder.
    flag : str
        Why a person should look at it, or what went wrong; empty when nothing is unusual.
    mask : str
        File name of the mask; empty when there is none.
    file : str
        The scan's file.
    model : str
        What made the mask.
    fingerprint : str
        Of the scan's file when the mask was made (`scan_identity.fingerprint`); empty in tables of
        older versions.
    """

    scan: str
    volume_ml: float = math.nan
    autoencoder_error: float = math.nan
    flag: str = ""
    mask: str = ""
    file: str = ""
    model: str = ""
    fingerprint: str = ""


_HEADER = [field.name for field in fields(AppliedRow)]
_NEEDED = {"scan", "volume_ml", "autoencoder_error"}  # all tables have them


def add_row(path: Path, row: AppliedRow) -> None:
    """Add a row to volumes.csv, or replace that of the same scan; rows of other scans stay.

    Several jobs may do so at once, such as those of a cluster that share a folder.

    Raises
    ------
    UserError
        If the table cannot be read or written.
    """
    with alone(path):
        add_rows(path, [row])


def add_rows(path: Path, rows: Sequence[AppliedRow]) -> None:
    """`add_row` of many, for who is `alone` with the table."""
    if _can_append(path):
        _append(path, "".join(map(_line, rows)))
    else:
        _write_table(path, [*read_table(path), *rows])


def tidy(path: Path) -> None:
    """Leave one row for each scan, and no half line of a job that was killed.

    Raises
    ------
    UserError
        As `add_row`.
    """
    if not path.is_file():
        return
    with alone(path):
        rows = _table_text(read_table(path))
        if rows != _read(path):
            write_text_atomic(path, rows)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep other jobs waiting; where a disk has no locks, or one hangs, go on without."""
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=LONGEST_WAIT)
    try:
        lock.acquire()
    except (OSError, NotImplementedError):  # a timeout is an OSError, too
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _can_append(path: Path) -> bool:
    """Whether the table has today's columns and ends in a whole line."""
    header = _text([_HEADER]).encode()
    try:
        with path.open("rb") as file:
            if file.read(len(header)) != header:
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
    except OSError:
        return False


def _append(path: Path, line: str) -> None:
    """Write a line at once and have it on disk; what is there of it, if the disk is full, goes."""
    content = line.encode("utf-8", "backslashreplace")
    try:
        with path.open("ab", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if file.write(content) != len(content):
                file.truncate(size)
                raise UserError(f"Cannot write {path}: the disk is full.", "Free some space.")
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(
            f"Cannot write {path}: {error.strerror or error}.",
            "Free some space, or check the disk.",
        ) from error


def _write_table(path: Path, rows: Iterable[AppliedRow]) -> None:
    write_text_atomic(path, _table_text({row.scan: row for row in rows}.values()))


def _table_text(rows: Iterable[AppliedRow]) -> str:
    return _text([_HEADER]) + "".join(map(_line, rows))


def _line(row: AppliedRow) -> str:
    cells = {**asdict(row), "file": path_text(row.file)}
    return _text([[
        f"{value:.6g}" if isinstance(value, float) else table_cell(value)
        for value in cells.values()
    ]])


def _text(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def read_table(path: Path) -> tuple[AppliedRow, ...]:
    """Read volumes.csv, one row for each scan; empty when there is none.

    A half last line, of a job that was killed or that is just writing, is left out.

    Raises
    ------
    UserError
        If it is not such a table.
    """
    hint = "Move it away, or choose another folder."
    try:
        lines = list(csv.reader(io.StringIO(read_text(path), newline="")))
        if lines and len(lines[-1]) < len(lines[0]):
            lines.pop()
        rows = [_row(dict(zip(lines[0], cells, strict=False))) for cells in lines[1:] if cells]
        if not lines or not set(lines[0]) >= _NEEDED:
            raise ValueError("no such columns")
    except FileNotFoundError:
        return ()
    except UserError as error:
        raise UserError(error.what, hint) from error
    except (ValueError, LookupError, TypeError, AttributeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a table of volumes.", hint) from error
    return tuple({row.scan: row for row in rows}.values())


def _read(path: Path) -> str:
    try:
        return read_text(path)
    except FileNotFoundError:
        return ""


def _row(cells: dict[str, str]) -> AppliedRow:
    words = {
        name: without_apostrophe(cells.get(name, ""))
        for name in ("flag", "mask", "file", "model", "fingerprint")
    }
    if Path(words["mask"]).name != words["mask"] or "\0" in words["mask"]:
        raise ValueError("a mask in another folder")
    words["file"] = text_path(words["file"])
    if len(words["fingerprint"]) != FINGERPRINT_LENGTH:  # the end of a half line
        words["fingerprint"] = ""
    return AppliedRow(
        without_apostrophe(cells["scan"]), float(cells["volume_ml"]),
        float(cells["autoencoder_error"]), **words,
    )
