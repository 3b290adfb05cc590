"""What applying a model writes beside the masks: a table, read without torch."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from filelock import FileLock

from napari_singlestrip.errors import UserError
from napari_singlestrip.files import read_text, write_text_atomic

MASK_SUFFIX = "_desc-brain_mask.nii.gz"
BRAIN_SUFFIX = "_desc-brain.nii.gz"
TABLE = "volumes.csv"
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
    """

    scan: str
    volume_ml: float = math.nan
    autoencoder_error: float = math.nan
    flag: str = ""
    mask: str = ""
    file: str = ""
    model: str = ""


def add_row(path: Path, row: AppliedRow) -> None:
    """Add a row to volumes.csv, or replace that of the same scan; rows of other scans stay.

    Several jobs may do so at once, such as those of a cluster that share a folder.

    Raises
    ------
    UserError
        If the table cannot be read or written.
    """
    with _alone(path):
        rows = {each.scan: each for each in read_table(path)}
        rows[row.scan] = row
        _write_table(path, list(rows.values()))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
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


def _write_table(path: Path, rows: Sequence[AppliedRow]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(AppliedRow)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({
            k: f"{v:.6g}" if isinstance(v, float) else v for k, v in asdict(row).items()
        })
    write_text_atomic(path, text.getvalue())


def read_table(path: Path) -> tuple[AppliedRow, ...]:
    """Read volumes.csv; empty when there is none.

    Raises
    ------
    UserError
        If it is not such a table.
    """
    hint = "Move it away, or choose another folder."
    try:
        lines = io.StringIO(read_text(path), newline="")
        return tuple(_row(cells) for cells in csv.DictReader(lines))
    except FileNotFoundError:
        return ()
    except UserError as error:
        raise UserError(error.what, hint) from error
    except (ValueError, LookupError, TypeError, AttributeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as a table of volumes.", hint) from error


def _row(cells: dict[str, str]) -> AppliedRow:
    words = {name: cells.get(name) or "" for name in ("flag", "mask", "file", "model")}
    if Path(words["mask"]).name != words["mask"] or "\0" in words["mask"]:
        raise ValueError("a mask in another folder")
    return AppliedRow(
        cells["scan"], float(cells["volume_ml"]), float(cells["autoencoder_error"]), **words
    )
