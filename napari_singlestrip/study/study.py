"""The study: a folder that holds every fact, and the class that reads and writes it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from napari_singlestrip.atomic_files import exclusive
from napari_singlestrip.engine.config import Effort, settings_for
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.changes import (
    change_together,
    drop_change,
    finish_change,
    is_pending,
    remove_if_empty,
)
from napari_singlestrip.study.decision_table import DecisionTable
from napari_singlestrip.study.document import (
    DOCUMENT_NAME,
    StudyDocument,
    add_document,
    find_scan_files,
    json_values,
    new_folder,
    read_document,
    scan_entries,
    stored_references,
)
from napari_singlestrip.study.masks import MaskKind as MaskKind
from napari_singlestrip.study.masks import StudyMasks
from napari_singlestrip.study.tables import (
    Decision,
    MaskRecord,
    State,
    now,
    write_records,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Labelled:
    """Names of the scans of the pool by what a person said of their masks."""

    painted: tuple[str, ...] = ()
    corrected: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()


class Study(StudyMasks):
    """A study folder; make one with `Study.create`, open one with `Study.open`.

    Nothing is kept in memory but the content of study.json: what a worker or another window
    writes is seen at the next question. A change is made to what is on disk then, by one program
    at a time, and whole or not at all. Nothing is ever written outside the folder.
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
        """Make a study folder; when anything is wrong, or it is killed, there is none.

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
        study._make(arrays, {name: os.path.abspath(file) for name, file in given.items()})
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
        if is_pending(folder):  # a program was killed in the middle of a change, or is at it
            with exclusive(folder / DOCUMENT_NAME):
                finish_change(folder)
        return cls(folder, read_document(folder))

    # --- masks

    def import_mask(self, name: str, file: str | Path, kind: MaskKind = "painted") -> None:
        """Store a mask from a file; it must be on the grid of its scan.

        Raises
        ------
        UserError
            If it cannot be read, is empty or on another grid.
        """
        self.set_mask(name, self._load_mask(name, Path(file)), kind, source=os.path.abspath(file))

    # --- decisions

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
        decision = self._about(Decision(name, state, note, now()))
        self.put_decisions({name: decision})
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
        self.put_decisions({name: self._about(Decision(name, state, "", time)) for name in names})

    def labelled(self) -> Labelled:
        """Sort the scans of the pool by their decision.

        A mask file that is gone is left out, and one that was accepted and then replaced by
        another prediction.
        """
        groups: dict[str, list[str]] = {}
        decisions = self.decisions()
        for entry in self.scans:
            decision = decisions.get(entry.name)
            if decision is None or entry.role == "held_out":
                continue
            if decision.state == "rejected" or self._may_be_learned(decision):
                groups.setdefault(decision.state, []).append(entry.name)
        return Labelled(**{state: tuple(names) for state, names in groups.items()})

    def labelled_path(self, name: str) -> Path | None:
        """Return the mask that may be learned from, or None for a rejected or undecided scan."""
        decision = self.decisions().get(name)
        if decision is None or not self._may_be_learned(decision):
            return None
        return self._decided_path(decision)

    # --- inside

    def _make(self, masks: Mapping[str, NDArray[np.bool_]], sources: Mapping[str, str]) -> None:
        """Write a new study with its painted masks, study.json last."""
        from napari_singlestrip.engine.imaging.volume import open_scan

        there = self.folder.exists()
        try:
            with exclusive(self.folder / DOCUMENT_NAME):
                new_folder(self.folder)  # again: another program may have been faster
                drop_change(self.folder)
                with change_together(self.folder) as change:
                    table, records, time = DecisionTable(), {}, now()
                    for name, mask in masks.items():
                        scan = open_scan(self.scan_path(name))
                        digest = self._stage_mask(change, name, mask, scan)
                        records[name] = MaskRecord("painted", sources[name], time)
                        table.put(Decision(name, "painted", "", time, mask=digest))
                    if masks:
                        write_records(change.replace(self._records_path), records)
                        table.write(change.replace(self._decisions_path))
                    add_document(change, self.folder, self._document)
        except BaseException:
            if not there:
                remove_if_empty(self.folder)
            raise

    def _may_be_learned(self, decision: Decision) -> bool:
        if decision.state == "accepted":
            return self.standing(decision) == "current"
        return decision.state != "rejected" and self._decided_path(decision).exists()

    def _load_mask(self, name: str, file: Path) -> NDArray[np.bool_]:
        from napari_singlestrip.engine.imaging.volume import load_mask, open_scan

        return load_mask(file, like=open_scan(self.scan_path(name)))

    def _about(self, decision: Decision) -> Decision:
        """Add which mask was looked at, with its rank and score then."""
        name = decision.scan
        if decision.state in ("corrected", "painted"):
            return replace(decision, mask=self._digest(self.mask_path(name)))
        newest = self.newest_pseudo_label(name)
        if newest is None:
            if decision.state == "rejected":
                return decision
            raise UserError(
                f"{name} has no predicted mask yet.", "Run `singlestrip run STUDY` first."
            )
        round_, path = newest
        score = self.score(round_, name)
        return replace(
            decision, round=round_, rank=score.rank or None,
            autoencoder_error=score.autoencoder_error, mask=self._digest(path),
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
