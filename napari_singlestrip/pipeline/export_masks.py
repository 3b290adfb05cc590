"""Export of a study's masks for other programs, with the provenance of each."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_singlestrip.engine.imaging.scan_files import check_folder_name
from napari_singlestrip.engine.imaging.scan_identity import fingerprint
from napari_singlestrip.engine.imaging.scan_search import made_for
from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_brain, save_mask
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Finished, Note, Progress, Started, Wrote
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.files.atomic import read_text, write_text_atomic
from napari_singlestrip.files.locks import exclusive
from napari_singlestrip.files.temporary import remove_leftovers, temporary_folder
from napari_singlestrip.study import derivative
from napari_singlestrip.study.derivative import known_links
from napari_singlestrip.study.layout import Kind, Place, choose_layout
from napari_singlestrip.study.other_masks import UNKNOWN, maker_of_good, origins_of
from napari_singlestrip.study.parts import ALL, Part
from napari_singlestrip.study.round_facts import newest_trained_round
from napari_singlestrip.study.round_folder import first_round
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import Decision, MaskRecord
from napari_singlestrip.study.volumes_table import MASK_SUFFIX
from napari_singlestrip.texts import csv_text, path_text, without_apostrophe

if TYPE_CHECKING:
    from napari_singlestrip.pipeline.export_dicom import SegWriter

TABLE = "masks.csv"
BY_HAND = ("painted", "corrected")


@dataclass(frozen=True)
class ExportedMask:
    """A line of masks.csv.

    Attributes
    ----------
    scan : str
    state : str
        "painted", "corrected", "accepted", "predicted" (not reviewed), "imported" (made by
        another program, not reviewed), "rejected" or "none"; the last two are not exported.
    round : int or str
        Of the pseudo-label; empty for a mask made by hand.
    program : str
        The program that made the mask, where it was imported: the name of its folder.
    volume_ml : float or str
    mask : str
        Path relative to the output folder; empty if there is none.
    file : str
        The scan's file.
    note : str
        The person's remark.
    """

    scan: str
    state: str
    round: int | str = ""
    program: str = ""
    volume_ml: float | str = ""
    mask: str = ""
    file: str = ""
    note: str = ""


def export_masks(
    study: Study,
    out: Path,
    *,
    brain: bool = False,
    layout: Kind | None = None,
    part: Part = ALL,
    seg: SegWriter | None = None,
) -> Iterator[Event]:
    """Write the latest mask of each scan on the scan's own grid, and masks.csv.

    A mask made by hand has priority, then an accepted one, then the latest prediction.
    Rejected masks are not written.

    Parameters
    ----------
    study : Study
    out : Path
        Folder for the files.
    brain : bool
        Also write images in which everything else is zero.
    layout : {"flat", "bids"}, optional
        How `out` is arranged; where not given, as it is, else as the scans are.
    part : Part
        The share of the scans to do; other processes do the others, in the same folder.
    seg : SegWriter, optional
        Writes masks as DICOM SEG instead, in a flat folder.

    Raises
    ------
    UserError
        If the study has no mask yet, or `out` has the name of a file.
    """
    started = time.monotonic()
    check_folder_name(out, f"each scan gets <scan>{MASK_SUFFIX} there")
    records, decisions = study.masks.records(), study.decisions.all()
    for name, old in study.decisions.stale().items():
        if old.state == "accepted":  # the accepted mask was replaced since
            del decisions[name]
    maker = _Maker(study)
    found = [
        _row(study, name, records.get(name), decisions.get(name), maker)
        for name in study.scans.names
    ]
    if not any(_source(study, row) for row in found):
        raise UserError(
            f"The study {study.name} has no masks yet.", "Paint one, or train and predict."
        )
    with temporary_folder(out):  # an unwritable folder is reported at once
        remove_leftovers(out)
    if seg is not None:
        layout = "flat"
    elif layout is None and any(out.glob(f"*{MASK_SUFFIX}")):
        layout = "flat"  # like the existing files
    arranged = choose_layout(layout, [Path(row.file) for row in found])
    arranged.links = known_links(out)
    given = {row.scan: attempt(arranged.places, Path(row.file), row.scan) for row in found}
    places = _places(given)
    n_by_hand = sum(row.state in BY_HAND for row in found)
    derivative.begin(
        out, arranged, _model(study), n_by_hand,
        sorted({row.program for row in found if _source(study, row)} - {""}),
    )  # fmt: skip
    found = part.of(found)
    yield Started("masks", "", f"{len(found)} scans")
    rows: list[ExportedMask] = []
    failed = 0
    for n, row in enumerate(found, 1):
        source = _source(study, row)
        made = row
        if source is not None:
            place = places.get(row.scan) or given[row.scan]
            exported = (
                attempt(_export_one, study, row, source, out, place, brain, seg)
                if isinstance(place, Place) else _no_place(place)
            )
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
    _write_table(out / TABLE, rows, study.scans.names, part)
    yield Wrote(TABLE, "table")
    done = sum(bool(row.mask) for row in rows)
    yield Finished(
        time.monotonic() - started, {"masks": done, "without": len(rows) - done}, done, failed
    )


def _places(given: Mapping[str, tuple[Place, ...] | Failure]) -> dict[str, Place]:
    """A unique path for each scan: the first option that no other scan has."""
    places: dict[str, Place] = {}
    taken: set[str] = set()
    for name, options in given.items():
        free = [p for p in options if p.mask not in taken] if isinstance(options, tuple) else []
        if free:
            places[name] = free[0]
            taken.add(free[0].mask)
    return places


def _no_place(why: tuple[Place, ...] | Failure) -> Failure:
    if isinstance(why, Failure):
        return why
    return Failure("mistake", f"{why[0].mask} would be the mask of another scan, too")


def _model(study: Study) -> str:
    round_ = newest_trained_round(study)
    return "" if round_ is None else f"round {round_} of the study {study.name}"


class _Maker:
    """The program that made a mask, where it was imported; empty for our own."""

    def __init__(self, study: Study) -> None:
        self._imported = first_round(study) > 0  # round 0
        self._origins = origins_of(study)

    def of(self, name: str, round_: int | None) -> str:
        """Of the mask of a round."""
        if not self._imported or round_ != 0:
            return ""
        return self._origins[name].program if name in self._origins else UNKNOWN

    def of_good(self, name: str, record: MaskRecord) -> str:
        """Of a mask that was declared good."""
        return maker_of_good(record, self._origins.get(name))


def _row(
    study: Study, name: str, by_hand: MaskRecord | None, said: Decision | None,
    maker: _Maker,
) -> ExportedMask:
    """The row of a scan's export; `_source` is the file."""
    about = ExportedMask(
        name, "none", file=str(study.scans.path(name)), note=said.note if said else ""
    )
    state: str = said.state if said else ""
    if by_hand is not None and state != "rejected":
        program = maker.of_good(name, by_hand)
        return replace(about, state="accepted" if program else by_hand.kind, program=program)
    round_ = _predicted_in(study, name)
    if state in ("accepted", "rejected") and said is not None:
        round_ = round_ if said.round is None else said.round
    elif round_ is not None:
        state = "imported" if maker.of(name, round_) else "predicted"
    number = "" if round_ is None else round_
    return replace(about, state=state or "none", round=number, program=maker.of(name, round_))


def _source(study: Study, row: ExportedMask) -> Path | None:
    if row.state in ("none", "rejected"):
        return None
    if isinstance(row.round, int):
        return study.rounds.pseudo_label_path(row.round, row.scan)
    return study.masks.path(row.scan)


def _predicted_in(study: Study, name: str) -> int | None:
    rounds = reversed(study.rounds.numbers())
    return next((r for r in rounds if study.rounds.pseudo_label_path(r, name).exists()), None)


def _export_one(
    study: Study, row: ExportedMask, source: Path, out: Path, place: Place, brain: bool,
    seg: SegWriter | None = None,
) -> ExportedMask:
    """Write the mask, and the brain if the scan exists (the mask alone does not need it)."""
    path = study.scans.path(row.scan)
    scan = open_scan(path if path.exists() else source)
    mask = load_mask(source, like=scan, check=False)
    volume = round(float(np.count_nonzero(mask) * scan.grid.voxel_ml), 3)
    if seg is not None:
        written = seg.write(row.scan, row.state, source, out, row.program)
        return replace(row, volume_ml=volume, mask=written)
    file = place.mask
    known = fingerprint(path) if path.exists() else ""
    owner = made_for(out / file)
    if owner and owner != known:
        raise UserError(
            f"{file} in {out} is the mask of another scan of this name, or of what the scan was.",
            "Move it away, or choose another folder.",
        )
    said = derivative.of_mask(place, manual=row.state in BY_HAND, program=row.program)
    derivative.write_sidecar(out, file, place, said)
    save_mask(out / file, mask, scan, known)
    if brain and path.exists():
        derivative.write_sidecar(out, place.brain, place, derivative.of_brain(place))
        save_brain(out / place.brain, mask, scan, known)
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


def _write_table(
    path: Path, rows: list[ExportedMask], names: Sequence[str], part: Part
) -> None:
    """Write the rows of all scans; a part keeps the rows that other parts wrote."""
    header = [field.name for field in fields(ExportedMask)]
    made = {row.scan: [*{**asdict(row), "file": path_text(row.file)}.values()] for row in rows}
    if part.is_all:
        write_text_atomic(path, csv_text([header, *made.values()]))
        return
    with exclusive(path):
        known: dict[str, list[Any]] = {**_rows_of(path, header), **made}
        write_text_atomic(path, csv_text([header, *(known[n] for n in names if n in known)]))


def _rows_of(path: Path, header: list[str]) -> dict[str, list[Any]]:
    """Existing rows by scan; empty for a table with other columns."""
    try:
        found = list(csv.reader(io.StringIO(read_text(path), newline="")))
    except (FileNotFoundError, csv.Error):
        return {}
    if found[:1] != [header]:
        return {}
    rows = [list(map(without_apostrophe, row)) for row in found[1:] if len(row) == len(header)]
    return {row[0]: row for row in rows}
