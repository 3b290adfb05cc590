"""The masks made by hand: one file for each scan, and a record of its provenance."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_singlestrip.files.atomic import file_digest, file_names
from napari_singlestrip.study.changes import Change
from napari_singlestrip.study.decision_table import DECISIONS, DecisionTable
from napari_singlestrip.study.folder import StudyFolder
from napari_singlestrip.study.rounds import EXTENSION
from napari_singlestrip.study.scans import StudyScans
from napari_singlestrip.study.tables import (
    Decision,
    MaskKind,
    MaskRecord,
    now,
    read_records,
    write_records,
)
from napari_singlestrip.vocabulary import StudyPart

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLDER = "masks"
RECORDS = "provenance.json"


class StudyMasks:
    """The painted and corrected masks of a study.

    Parameters
    ----------
    folder : StudyFolder
    scans : StudyScans
    """

    def __init__(self, folder: StudyFolder, scans: StudyScans) -> None:
        self._folder, self._scans = folder, scans
        self._records_path = folder.path / FOLDER / RECORDS
        folder.watch(StudyPart.MASKS, lambda: (folder.path / FOLDER,))

    def path(self, name: str) -> Path:
        """Return the path of a scan's painted or corrected mask, whether it exists or not."""
        return self._folder.path / FOLDER / (self._scans.entry(name).name + EXTENSION)

    def names(self) -> tuple[str, ...]:
        """Names of the scans that have a painted or corrected mask."""
        files = file_names(self._folder.path / FOLDER)
        if not files:
            return ()
        return tuple(name for name in self._scans.names if name + EXTENSION in files)

    def digest(self, name: str) -> str:
        """Return the digest of a scan's mask, which may be presumed yet; empty without one."""
        return self._folder.probable_digest(self.path(name))

    def records(self) -> dict[str, MaskRecord]:
        """Provenance of each mask, by scan name."""
        known = self._folder.read(self._records_path, read_records)
        return {name: known.get(name, MaskRecord()) for name in self.names()}

    def record(self, name: str) -> MaskRecord | None:
        """Provenance of a scan's mask; None without one. As `records`, for one of thousands."""
        if not self.path(name).exists():
            return None
        return self._folder.read(self._records_path, read_records).get(name, MaskRecord())

    def save(
        self,
        name: str,
        mask: NDArray[np.bool_],
        kind: MaskKind,
        *,
        source: str = "",
        note: str = "",
        decision: Decision | None = None,
    ) -> None:
        """Store a mask made by hand, on the grid of its scan, with its provenance.

        Parameters
        ----------
        name : str
            Scan.
        mask : ndarray of bool
            Shape (i, j, k) of the scan.
        kind : {"painted", "corrected"}
            Painted from scratch, or a corrected pseudo-label.
        source : str
            The file it came from, or the suggestion it started from (`MaskRecord`); empty if it was
            painted in the window from scratch.
        note : str
            Remark for decisions.csv.
        decision : Decision, optional
            Decision to restore in decisions.csv, for undo.

        Raises
        ------
        UserError
            If the scan cannot be read or the mask cannot be written.
        """
        made = decision or Decision(name, kind, note, now())
        with self._changing() as (change, table, records):
            records[name] = MaskRecord(kind, source, now())
            digest = self._stage(change, name, mask)
            table.put(made if decision else replace(made, mask=digest))

    def import_file(
        self, name: str, file: str | Path, kind: MaskKind = "painted", note: str = ""
    ) -> None:
        """Store a mask from a file; it must be on the grid of its scan.

        Raises
        ------
        UserError
            If it cannot be read, is empty or on another grid.
        """
        self.save(name, self.load(name, Path(file)), kind, source=os.path.abspath(file), note=note)

    def remove(self, name: str) -> None:
        """Delete the painted or corrected mask of a scan, and its decision."""
        path = self.path(name)
        with self._changing() as (change, table, records):
            change.remove(path)
            records.pop(name, None)
            table.forget(name)

    def load(self, name: str, file: Path) -> NDArray[np.bool_]:
        """Read a mask of a scan from any file.

        Raises
        ------
        UserError
            If it cannot be read, is empty or on another grid.
        """
        from napari_singlestrip.engine.imaging.volume import load_mask, open_scan

        return load_mask(file, like=open_scan(self._scans.path(name)))

    def stage_first(
        self,
        change: Change,
        masks: Mapping[str, NDArray[np.bool_]],
        sources: Mapping[str, str],
    ) -> None:
        """Make painted masks part of the change that makes a study."""
        table, records, time = DecisionTable(), {}, now()
        for name, mask in masks.items():
            records[name] = MaskRecord("painted", sources[name], time)
            digest = self._stage(change, name, mask)
            table.put(Decision(name, "painted", "", time, mask=digest))
        if masks:
            write_records(change.replace(self._records_path), records)
            table.write(change.replace(self._folder.path / DECISIONS))

    @contextmanager
    def _changing(self) -> Iterator[tuple[Change, DecisionTable, dict[str, MaskRecord]]]:
        """Change masks together with their decisions and records."""
        decisions = self._folder.path / DECISIONS
        with self._folder.changing_together(StudyPart.DECISIONS, StudyPart.MASKS) as change:
            records, table = read_records(self._records_path), DecisionTable.read(decisions)
            known, rows = dict(records), dict(table.rows)
            yield change, table, records
            if records != known:
                write_records(change.replace(self._records_path), records)
            if table.rows != rows:
                table.write(change.replace(decisions))

    def _stage(self, change: Change, name: str, mask: NDArray[np.bool_]) -> str:
        from napari_singlestrip.engine.imaging.volume import open_scan, save_mask

        path = change.replace(self.path(name))
        save_mask(path, mask, like=open_scan(self._scans.path(name)))
        return file_digest(path)
