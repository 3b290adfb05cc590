"""The study: a folder that holds every fact, and the class that reads and writes it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from napari_singlestrip.engine.config import Effort, settings_for
from napari_singlestrip.errors import UserError
from napari_singlestrip.study_document import (
    DOCUMENT_NAME,
    StudyDocument,
    find_scan_files,
    json_values,
    new_folder,
    read_document,
    scan_entries,
    stored_references,
    write_document,
)
from napari_singlestrip.study_folder import EXTENSION, StudyFolder
from napari_singlestrip.study_tables import (
    Decision,
    MaskRecord,
    ScoreRow,
    State,
    now,
    read_decisions,
    read_records,
    write_decisions,
    write_records,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MaskKind = Literal["painted", "corrected"]


@dataclass(frozen=True)
class Labelled:
    """Names of the scans of the pool by what a person said of their masks."""

    painted: tuple[str, ...] = ()
    corrected: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()


class Study(StudyFolder):
    """A study folder; make one with `Study.create`, open one with `Study.open`.

    Nothing is kept in memory but the content of study.json: what a worker or another window
    writes is seen at the next question. Nothing is ever written outside the folder.
    """

    # --- making and opening

    @classmethod
    def create(
        cls,
        folder: str | Path,
        scans: Sequence[str | Path],
        masks: Mapping[str, str | Path] | None = None,
        references: str | Path | None = None,
        effort: str = "quick",
        overrides: Mapping[str, Any] | None = None,
    ) -> Study:
        """Make a study folder; when anything is wrong, nothing is written.

        Parameters
        ----------
        folder : str or Path
            A folder that does not exist or is empty.
        scans : sequence of str or Path
            Scan files, or folders of them.
        masks : mapping of str to path, optional
            Painted masks: scan name to mask file, each on the grid of its scan.
        references : str or Path, optional
            Folder of reference masks; only for evaluation.
        effort : {"quick", "standard", "thorough"}
            The one dial.
        overrides : mapping of str to Any, optional
            Dotted setting names to values.

        Raises
        ------
        UserError
            If the folder is in use, there are no scans, two cannot be told apart by name and
            folders, a mask does not fit its scan, or a setting is wrong.
        """
        folder = new_folder(Path(folder))
        settings_for(cast(Effort, effort), overrides)
        files = find_scan_files(scans, (masks or {}).values())
        document = StudyDocument(
            created=now(),
            scans=scan_entries(files, folder, "pool"),
            effort=effort,
            overrides=json_values(overrides or {}),
            references=stored_references(references, folder),
        )
        study = cls(folder, document)
        given = {study.scan(name).name: Path(file) for name, file in (masks or {}).items()}
        arrays = {name: study._load_mask(name, file) for name, file in given.items()}
        write_document(folder, document)
        for name, array in arrays.items():
            study.set_mask(name, array, "painted", source=os.path.abspath(given[name]))
        return study

    @classmethod
    def open(cls, folder: str | Path) -> Study:
        """Open a study folder.

        Raises
        ------
        UserError
            If it is not a study, study.json is damaged, or a newer version made it.
        """
        folder = Path(os.path.abspath(Path(folder).expanduser()))
        if folder.name == DOCUMENT_NAME:
            folder = folder.parent
        return cls(folder, read_document(folder))

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
    ) -> None:
        """Store a mask that a person made, on the grid of its scan.

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

        Raises
        ------
        UserError
            If the scan cannot be read, or the mask not written.
        """
        from napari_singlestrip.engine.volume import open_scan, save_mask

        save_mask(self.mask_path(name), mask, like=open_scan(self.scan_path(name)))
        records = {**self._read(self._records_path, read_records)}
        records[name] = MaskRecord(kind, source, now())
        write_records(self._records_path, records)
        self._decide(Decision(name, kind, note, now()))
        self.changed.emit("masks")

    def import_mask(self, name: str, file: str | Path, kind: MaskKind = "painted") -> None:
        """Store a mask from a file; it must be on the grid of its scan.

        Raises
        ------
        UserError
            If it cannot be read, is empty or on another grid.
        """
        self.set_mask(name, self._load_mask(name, Path(file)), kind, source=os.path.abspath(file))

    def remove_mask(self, name: str) -> None:
        """Delete the painted or corrected mask of a scan, and what was decided about it."""
        self.mask_path(name).unlink(missing_ok=True)
        records = {**self._read(self._records_path, read_records)}
        if records.pop(name, None) is not None:
            write_records(self._records_path, records)
        self.undecide(name)
        self.changed.emit("masks")

    # --- decisions

    def decisions(self) -> dict[str, Decision]:
        """What was decided about each scan; one with a mask of a person counts as that."""
        rows = self._rows()
        for name, record in self.mask_records().items():
            rows.setdefault(name, Decision(name, record.kind, "", record.time))
        return {name: rows[name] for name in self.names if name in rows}

    def decide(
        self, name: str, state: State, note: str = "", mask: str | Path | None = None
    ) -> Decision:
        """Record a decision about the mask of a scan.

        Parameters
        ----------
        name : str
            Scan.
        state : {"accepted", "rejected", "corrected", "painted"}
            Accepted is the newest pseudo-label; corrected and painted is the mask in masks/.
        note : str
            The person's remark.
        mask : str or Path, optional
            File of the corrected or painted mask; not needed when it is in masks/ already.

        Raises
        ------
        UserError
            If the mask is missing, does not fit, or does not go with the decision.
        """
        self.scan(name)
        self._check_mask(name, state, mask)
        if mask is not None:
            array = self._load_mask(name, Path(mask))
            self.set_mask(
                name, array, cast(MaskKind, state), source=os.path.abspath(mask), note=note
            )
            return self.decisions()[name]
        decision = Decision(name, state, note, now())
        if state in ("accepted", "rejected"):
            decision = self._about_prediction(decision)
        self._decide(decision)
        return decision

    def decide_all(
        self, names: Iterable[str], state: Literal["accepted", "rejected"]
    ) -> None:
        """Record one decision about the pseudo-labels of many scans, as `decide` does for one.

        Raises
        ------
        UserError
            If one of them has no pseudo-label to accept; nothing is recorded then.
        """
        time = now()
        self.put_decisions(
            {name: self._about_prediction(Decision(name, state, "", time)) for name in names}
        )

    def put_decisions(self, decisions: Mapping[str, Decision | None]) -> None:
        """Write decisions down as they are, or forget them (None): to take others back.

        Raises
        ------
        UserError
            If a scan is unknown, or decisions.csv cannot be written.
        """
        rows = self._rows()
        for name, decision in decisions.items():
            if decision is None:
                rows.pop(self.scan(name).name, None)
            else:
                rows[self.scan(name).name] = decision
        write_decisions(self._decisions_path, rows.values())
        self.changed.emit("decisions")

    def undecide(self, name: str) -> None:
        """Forget the decision about a scan; a mask in masks/ stays and counts again."""
        rows = self._rows()
        if rows.pop(self.scan(name).name, None) is not None:
            write_decisions(self._decisions_path, rows.values())
            self.changed.emit("decisions")

    def labelled(self) -> Labelled:
        """Sort the scans of the pool by their decision; a mask file that is gone is left out."""
        groups: dict[str, list[str]] = {}
        decisions = self.decisions()
        for entry in self.scans:
            decision = decisions.get(entry.name)
            if decision is None or entry.role == "held_out":
                continue
            if decision.state == "rejected" or self._decided_path(decision).exists():
                groups.setdefault(decision.state, []).append(entry.name)
        return Labelled(**{state: tuple(names) for state, names in groups.items()})

    def labelled_path(self, name: str) -> Path | None:
        """Return the mask that may be learned from, or None for a rejected or undecided scan."""
        decision = self.decisions().get(name)
        if decision is None or decision.state == "rejected":
            return None
        return self._decided_path(decision)

    # --- inside

    @property
    def _decisions_path(self) -> Path:
        return self.folder / "decisions.csv"

    @property
    def _records_path(self) -> Path:
        return self.folder / "masks" / "provenance.json"

    def _rows(self) -> dict[str, Decision]:
        return {d.scan: d for d in self._read(self._decisions_path, read_decisions)}

    def _decide(self, decision: Decision) -> None:
        rows = {**self._rows(), decision.scan: decision}
        write_decisions(self._decisions_path, rows.values())
        self.changed.emit("decisions")

    def _decided_path(self, decision: Decision) -> Path:
        if decision.state == "accepted":
            return self.pseudo_label_path(decision.round or 0, decision.scan)
        return self.mask_path(decision.scan)

    def _load_mask(self, name: str, file: Path) -> NDArray[np.bool_]:
        from napari_singlestrip.engine.volume import load_mask, open_scan

        return load_mask(file, like=open_scan(self.scan_path(name)))

    def _about_prediction(self, decision: Decision) -> Decision:
        """Add which pseudo-label was looked at, with its rank and score then."""
        name = decision.scan
        newest = self.newest_pseudo_label(name)
        if newest is None:
            if decision.state == "rejected":
                return decision
            raise UserError(
                f"{name} has no predicted mask yet.", "Run `singlestrip run STUDY` first."
            )
        round_ = newest[0]
        score = next((row for row in self.scores(round_) if row.scan == name), ScoreRow(name))
        return replace(
            decision,
            round=round_,
            rank=score.rank or None,
            autoencoder_error=score.autoencoder_error,
        )

    def _check_mask(self, name: str, state: State, mask: str | Path | None) -> None:
        by_hand = state in ("corrected", "painted")
        if mask is not None and not by_hand:
            raise UserError(
                f"A mask file does not go with the decision {state!r}.",
                "Use `correct` to give a mask of your own, or leave the file out.",
            )
        if by_hand and mask is None and not self.mask_path(name).exists():
            raise UserError(
                f"There is no {state} mask of {name}.",
                f"Give its file: `singlestrip decide STUDY {name} correct --mask FILE`.",
            )
