"""volumes.csv, the table of results of applying a model; read without torch.

Rows are appended, in constant time each; the last row of a scan counts. `tidy` reduces the table to
one row for each scan. A killed job leaves at most an incomplete last line.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PureWindowsPath

from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import DIGEST_LENGTH, read_text, write_text_atomic
from napari_singlestrip.files.locks import exclusive
from napari_singlestrip.texts import csv_text, path_text, text_path, without_apostrophe

MASK_SUFFIX = "_desc-brain_mask.nii.gz"
BRAIN_SUFFIX = "_desc-brain.nii.gz"
PROBABILITY_SUFFIX = "_label-brain_probseg.nii.gz"
APPLIED = "applied"  # folder within a study, for results of its own
TABLE = "volumes.csv"
NAMES = f".{TABLE}.names"  # table of the names that jobs have reserved


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
        Why it should be inspected, or what failed; empty if nothing is unusual.
    mask : str
        Path of the mask relative to the output folder; empty if there is none.
    file : str
        The scan's file.
    model : str
        The model that made the mask.
    fingerprint : str
        Of the scan's file when the mask was made (`scan_identity.fingerprint`); empty in tables of
        older versions.
    mask_digest : str
        Digest of the mask's file when the row was written (`file_digest`), to detect later changes;
        empty in tables of older versions.
    brain_mask_digest : str
        Digest of the mask that was used for the skull-stripped image; empty without one.
    """

    scan: str
    volume_ml: float = math.nan
    autoencoder_error: float = math.nan
    flag: str = ""
    mask: str = ""
    file: str = ""
    model: str = ""
    fingerprint: str = ""
    mask_digest: str = ""
    brain_mask_digest: str = ""


_HEADER = [field.name for field in fields(AppliedRow)]
_DIGESTS = ("fingerprint", "mask_digest", "brain_mask_digest")
_NEEDED = {"scan", "volume_ml", "autoencoder_error"}  # all tables have them


def add_row(path: Path, row: AppliedRow) -> None:
    """Add a row to volumes.csv, or replace that of the same scan; other rows are kept.

    Several jobs may do this at once, such as cluster jobs that share a folder.

    Raises
    ------
    UserError
        If the table cannot be read or written.
    """
    with alone(path):
        add_rows(path, [row])


def add_rows(path: Path, rows: Sequence[AppliedRow]) -> None:
    """Add many rows; the caller must be `alone` with the table."""
    if _can_append(path):
        _append(path, "".join(map(_line, rows)))
    else:
        _write_table(path, [*read_table(path), *rows])


def tidy(path: Path) -> None:
    """Reduce the table to one row for each scan, without incomplete lines.

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
    """Lock the table against other jobs; continue without if locks hang or are unavailable.

    Hours of work should not fail because of a broken lock.
    """
    with ExitStack() as stack:
        with suppress(UserError, OSError, NotImplementedError):
            stack.enter_context(exclusive(path))
        yield


def _can_append(path: Path) -> bool:
    """Whether the table has the current columns and ends with a complete line."""
    header = csv_text([_HEADER]).encode()
    try:
        with path.open("rb") as file:
            if file.read(len(header)) != header:
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
    except OSError:
        return False


def _append(path: Path, line: str) -> None:
    """Append a line in one write and flush it; undone if the disk is full."""
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
    return csv_text([_HEADER]) + "".join(map(_line, rows))


def _line(row: AppliedRow) -> str:
    return csv_text([{**asdict(row), "file": path_text(row.file)}.values()])


def read_table(path: Path) -> tuple[AppliedRow, ...]:
    """Read volumes.csv, one row for each scan; empty if there is none.

    An incomplete last line (of a killed job, or one that is writing) is left out.

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


def _is_below(mask: str) -> bool:
    """Whether a path from a table stays inside the table's folder, on every system."""
    path = PureWindowsPath(mask)
    if "\\" in mask or "\0" in mask or ".." in path.parts or path.anchor:
        return False
    return path.as_posix() == mask or not mask


def _row(cells: dict[str, str]) -> AppliedRow:
    words = {
        name: without_apostrophe(cells.get(name, ""))
        for name in ("flag", "mask", "file", "model", *_DIGESTS)
    }
    if not _is_below(words["mask"]):
        raise ValueError("a mask in another folder")
    words["file"] = text_path(words["file"])
    for name in _DIGESTS:
        if len(words[name]) != DIGEST_LENGTH:  # an incomplete line
            words[name] = ""
    return AppliedRow(
        without_apostrophe(cells["scan"]), _number(cells["volume_ml"]),
        _number(cells["autoencoder_error"]), **words,
    )


def _number(cell: str) -> float:
    return float(cell) if cell.strip() else math.nan
