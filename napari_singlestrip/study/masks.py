"""The part of a study that is made by a person: masks, and what was decided about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_singlestrip.atomic_files import file_digest
from napari_singlestrip.study.changes import Change, change_together
from napari_singlestrip.study.decision_table import DecisionTable
from napari_singlestrip.study.folder import EXTENSION, StudyFolder
from napari_singlestrip.study.mask_standing import standing
from napari_singlestrip.study.tables import (
    Decision,
    MaskRecord,
    Standing,
    now,
    read_records,
    write_records,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_singlestrip.engine.imaging.volume import Scan

MaskKind = Literal["painted", "corrected"]


class StudyMasks(StudyFolder):
    """Masks and decisions of a study, as they are on disk; `Study` adds how they come about."""

    # --- masks

    def mask_path(self, name: str) -> Path:
        """Return where the painted or corrected mask of a scan is, or would be."""
        return self.folder / "masks" / (self.scan(name).name + EXTENSION)

    def masked_scans(self) -> tuple[str, ...]:
        """Names of the scans that have a painted or corrected mask."""
        files = {path.name for path in (self.folder / "masks").glob(f"*{EXTENSION}")}
        return tuple(name for name in self.names if name + EXTENSION in files)

    def mask_records(self) -> dict[str, MaskRecord]:
        """Where each mask in masks/ came from, by scan name."""
        known = self._read(self._records_path, read_records)
        return {name: known.get(name, MaskRecord()) for name in self.masked_scans()}

    def set_mask(
        self,
        name: str,
        mask: NDArray[np.bool_],
        kind: MaskKind,
        *,
        source: str = "",
        note: str = "",
        decision: Decision | None = None,
    ) -> None:
        """Store a mask that a person made, on the grid of its scan, and that it was made.

        Parameters
        ----------
        name : str
            Scan.
        mask : ndarray of bool
            Shape (i, j, k) of the scan.
        kind : {"painted", "corrected"}
            Painted from nothing, or a corrected pseudo-label.
        source : str
            The file it came from; empty when it was drawn in the window.
        note : str
            Goes into decisions.csv.
        decision : Decision, optional
            What goes into decisions.csv, to take others back.

        Raises
        ------
        UserError
            If the scan cannot be read, or the mask not written.
        """
        from napari_singlestrip.engine.imaging.volume import open_scan

        scan = open_scan(self.scan_path(name))
        made = decision or Decision(name, kind, note, now())
        with self._together() as change:
            records = {**read_records(self._records_path), name: MaskRecord(kind, source, now())}
            write_records(change.replace(self._records_path), records)
            digest = self._stage_mask(change, name, mask, scan)
            made = made if decision else replace(made, mask=digest)
            table = DecisionTable.read(self._decisions_path)
            table.put(made)
            table.write(change.replace(self._decisions_path))

    def remove_mask(self, name: str) -> None:
        """Delete the painted or corrected mask of a scan, and what was decided about it."""
        path = self.mask_path(name)
        with self._together() as change:
            records = read_records(self._records_path)
            table = DecisionTable.read(self._decisions_path)
            change.remove(path)
            if records.pop(name, None) is not None:
                write_records(change.replace(self._records_path), records)
            if name in table.rows:
                table.forget(name)
                table.write(change.replace(self._decisions_path))

    # --- decisions

    def decisions(self) -> dict[str, Decision]:
        """What was decided about each scan; one with a mask of a person counts as that."""
        rows = self._rows()
        for name, record in self.mask_records().items():
            rows.setdefault(name, Decision(name, record.kind, "", record.time))
        return {name: rows[name] for name in self.names if name in rows}

    def put_decisions(self, decisions: Mapping[str, Decision | None]) -> None:
        """Write decisions down as they are, or forget them (None): to take others back.

        Raises
        ------
        UserError
            If a scan is unknown, or decisions.csv cannot be written.
        """
        with self._changing():
            table = DecisionTable.read(self._decisions_path)
            for name, decision in decisions.items():
                table.forget(self.scan(name).name)
                if decision is not None:
                    table.put(decision)
            table.write(self._decisions_path)
            self._saw("decisions")
        self.changed.emit("decisions")

    def undecide(self, name: str) -> None:
        """Forget the decision about a scan; a mask in masks/ stays and counts again."""
        if self.scan(name).name in self._rows():
            self.put_decisions({name: None})

    def standing(self, decision: Decision) -> Standing:
        """Whether a decision is about the mask that is there now, or about one before it.

        What a person accepted is learned from only while it is the very mask that was looked at.
        A painted or corrected mask is learned from as it is, by whatever program it was changed.
        """
        path = self._decided_path(decision)
        return standing(
            decision, path, self._digest(path),
            lambda: self.score(decision.round or 0, decision.scan),
        )

    def stale_decisions(self) -> dict[str, Decision]:
        """Decisions about predicted masks that are not there any more, by scan."""
        return {n: d for n, d in self.decisions().items() if self.standing(d) == "older"}

    # --- inside

    @property
    def _decisions_path(self) -> Path:
        return self.folder / "decisions.csv"

    @property
    def _records_path(self) -> Path:
        return self.folder / "masks" / "provenance.json"

    def _rows(self) -> dict[str, Decision]:
        return dict(self._read(self._decisions_path, DecisionTable.read).rows)

    def _stage_mask(
        self, change: Change, name: str, mask: NDArray[np.bool_], like: Scan
    ) -> str:
        from napari_singlestrip.engine.imaging.volume import save_mask

        path = change.replace(self.mask_path(name))
        save_mask(path, mask, like=like)
        return file_digest(path)

    @contextmanager
    def _together(self) -> Iterator[Change]:
        """Change masks with what is known of them."""
        with self._changing():
            with change_together(self.folder) as change:
                yield change
            self._saw("decisions")
            self._saw("masks")
        self.changed.emit("decisions")
        self.changed.emit("masks")

    def _watched(self) -> dict[str, tuple[Path, ...]]:
        more = {"decisions": (self._decisions_path,), "masks": (self._records_path.parent,)}
        return {**super()._watched(), **more}

    def _digest(self, path: Path) -> str:
        try:
            return self._read(path, file_digest)
        except OSError:  # there is none, or none that can be learned from
            return ""

    def _decided_path(self, decision: Decision) -> Path:
        if decision.state in ("accepted", "rejected"):
            return self.pseudo_label_path(decision.round or 0, decision.scan)
        return self.mask_path(decision.scan)
