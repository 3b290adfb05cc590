"""Making sample heads as a job, with progress, keeping existing ones."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from napari_singlestrip.engine.imaging.scan_files import check_folder_name
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Finished, Progress, Started, Wrote, seconds_left
from napari_singlestrip.sample_data import sample_head, sample_name, write_sample_head
from napari_singlestrip.sample_data.finished_study import heads_of, unfold, unfold_tuned


def make_samples(
    folder: Path, n: int, *, seed: int = 0, spacing_mm: float = 2.0
) -> Iterator[Event]:
    """Write sample heads to ``folder/scans`` and their exact masks to ``folder/masks``.

    Parameters
    ----------
    folder : Path
        Created if missing.
    n, seed, spacing_mm
        As `sample_data.sample_heads`.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    check_folder_name(folder)
    began = time.monotonic()
    yield from make_heads([folder] * n, seed, spacing_mm)
    yield Finished(time.monotonic() - began)


def make_finished(folder: Path) -> Iterator[Event]:
    """Make the finished sample study, ``folder/finished``, and its heads.

    Beside it ``folder/finetuned``, the same study after a round of fine-tuning.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    check_folder_name(folder)
    began, heads = time.monotonic(), heads_of()
    yield from make_heads([folder] * heads.n, heads.seed, heads.spacing_mm)
    unfold_tuned(folder)
    yield Wrote(str(unfold(folder)), "study")
    yield Finished(time.monotonic() - began)


def make_heads(folders: Sequence[Path], seed: int, spacing_mm: float) -> Iterator[Event]:
    """Write the sample head of each index to its folder, unless it exists."""
    missing = [
        (index, folder) for index, folder in enumerate(folders)
        if not (folder / "scans" / f"{sample_name(index)}.nii.gz").is_file()
    ]
    n = len(folders)
    if missing:
        yield Started("heads", detail=f"{n} simulated heads")
    began = time.monotonic()
    for done, (index, folder) in enumerate(missing, 1):
        scan = _write(folder, index, seed, spacing_mm)
        left = seconds_left(time.monotonic() - began, done, len(missing))
        yield Wrote(str(scan), "scan")
        yield Progress("heads", n - len(missing) + done, n, {}, left)


def _write(folder: Path, index: int, seed: int, spacing_mm: float) -> Path:
    try:
        scan, _ = write_sample_head(folder, sample_head(index, seed, spacing_mm))
    except OSError as error:
        raise UserError(
            f"Cannot write sample heads in {folder}: {error.strerror}.", "Choose another folder."
        ) from error
    return scan
