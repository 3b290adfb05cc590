"""The masks of a study as files to work with elsewhere, and where each one came from."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from napari_singlestrip.atomic_files import remove_leftovers, temporary_folder, write_text_atomic
from napari_singlestrip.engine.imaging.scan_files import check_folder_name
from napari_singlestrip.engine.imaging.scan_identity import fingerprint
from napari_singlestrip.engine.imaging.scan_search import made_for
from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_brain, save_mask
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Finished, Note, Progress, Started, Wrote
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import Decision, MaskRecord
from napari_singlestrip.study.volumes_table import BRAIN_SUFFIX, MASK_SUFFIX
from napari_singlestrip.texts import path_text, table_cell

TABLE = "masks.csv"


@dataclass(frozen=True)
class ExportedMask:
    """A line of masks.csv.

    Attributes
    ----------
    scan : str
    state : str
        "painted", "corrected", "accepted", "predicted" (nobody looked at it), "rejected" or
        "none"; the last two are not exported.
    round : int or str
        Of the pseudo-label; empty for a mask made by hand.
    volume_ml : float or str
    mask : str
        File name; empty when there is none.
    file : str
        The scan's file.
    note : str
        What a person remarked.
    """

    scan: str
    state: str
    round: int | str = ""
    volume_ml: float | str = ""
    mask: str = ""
    file: str = ""
    note: str = ""


def export_masks(study: Study, out: Path, *, brain: bool = False) -> Iterator[Event]:
    """Write the newest mask of each scan on the scan's own grid, and masks.csv.

    A mask that a person made counts first, then the accepted one, then the newest prediction.
    Rejected masks are not written.

    Parameters
    ----------
    study : Study
    out : Path
        Folder for the files.
    brain : bool
        Also write images in which everything else is zero.

    Raises
    ------
    UserError
        If the study has no mask yet, or `out` has the name of a file.
    """
    started = time.monotonic()
    check_folder_name(out, f"each scan gets <scan>{MASK_SUFFIX} there")
    records, decisions, stale = study.mask_records(), study.decisions(), study.stale_decisions()
    for name, old in stale.items():
        if old.state == "accepted":  # another mask than the one that is there now
            del decisions[name]
    found = [_row(study, name, records.get(name), decisions.get(name)) for name in study.names]
    if not any(_source(study, row) for row in found):
        raise UserError(
            f"The study {study.name} has no masks yet.", "Paint one, or train and predict."
        )
    with temporary_folder(out):  # a folder that cannot be written is told at once
        remove_leftovers(out)
    yield Started("masks", "", f"{len(found)} scans")
    rows: list[ExportedMask] = []
    failed = 0
    for n, row in enumerate(found, 1):
        source = _source(study, row)
        made = row
        if source is not None:
            exported = attempt(_export_one, study, row, source, out, brain)
            if isinstance(exported, Failure):
                failed += 1
                yield exported.note(row.scan)
            else:
                made = exported
                yield Wrote(made.mask, "exported")
        rows.append(made)
        left = (time.monotonic() - started) / n * (len(found) - n)
        yield Progress("masks", n, len(found), {}, left)
    yield from _without_scan(rows, brain)
    _write_table(out / TABLE, rows)
    yield Wrote(TABLE, "table")
    done = sum(bool(row.mask) for row in rows)
    yield Finished(
        time.monotonic() - started, {"masks": done, "without": len(rows) - done}, done, failed
    )


def _row(
    study: Study, name: str, by_hand: MaskRecord | None, said: Decision | None
) -> ExportedMask:
    """What would be exported of a scan; `_source` is the file."""
    about = ExportedMask(
        name, "none", file=str(study.scan_path(name)), note=said.note if said else ""
    )
    state: str = said.state if said else ""
    if by_hand is not None and state != "rejected":
        return replace(about, state=by_hand.kind)
    round_ = _predicted_in(study, name)
    if state in ("accepted", "rejected") and said is not None:
        round_ = round_ if said.round is None else said.round
    elif round_ is not None:
        state = "predicted"
    return replace(about, state=state or "none", round="" if round_ is None else round_)


def _source(study: Study, row: ExportedMask) -> Path | None:
    if row.state in ("none", "rejected"):
        return None
    if isinstance(row.round, int):
        return study.pseudo_label_path(row.round, row.scan)
    return study.mask_path(row.scan)


def _predicted_in(study: Study, name: str) -> int | None:
    rounds = reversed(study.rounds())
    return next((r for r in rounds if study.pseudo_label_path(r, name).exists()), None)


def _export_one(
    study: Study, row: ExportedMask, source: Path, out: Path, brain: bool
) -> ExportedMask:
    """Write the mask, and the brain if its scan is there: a mask carries the grid of its scan."""
    path = study.scan_path(row.scan)
    scan = open_scan(path if path.exists() else source)
    mask = load_mask(source, like=scan, check=False)
    file = row.scan + MASK_SUFFIX
    known = fingerprint(path) if path.exists() else ""
    owner = made_for(out / file)
    if owner and owner != known:
        raise UserError(
            f"{file} in {out} is the mask of another scan of this name, or of what the scan was.",
            "Move it away, or choose another folder.",
        )
    save_mask(out / file, mask, scan, known)
    if brain and path.exists():
        save_brain(out / (row.scan + BRAIN_SUFFIX), mask, scan, known)
    volume = round(float(np.count_nonzero(mask) * scan.grid.voxel_ml), 3)
    return replace(row, volume_ml=volume, mask=file)


def _without_scan(rows: list[ExportedMask], brain: bool) -> Iterator[Event]:
    gone = [row for row in rows if row.mask and not Path(row.file).exists()]
    if gone:
        brains = ", and there is no image of their brains" if brain else ""
        yield Note(
            f"{len(gone)} scans are not where the study says, such as {gone[0].file}: "
            f"their masks are written as they are stored{brains}.",
            "warning",
        )


def _write_table(path: Path, rows: list[ExportedMask]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(ExportedMask)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {
            name: table_cell(value) if isinstance(value, str) else value
            for name, value in {**asdict(row), "file": path_text(row.file)}.items()
        }
        for row in rows
    )
    write_text_atomic(path, text.getvalue())
