"""Decisions about the masks of a study, and which masks may be used for training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from napari_singlestrip.errors import UserError
from napari_singlestrip.study.decision_table import DECISIONS, DecisionTable
from napari_singlestrip.study.folder import StudyFolder
from napari_singlestrip.study.mask_standing import standing
from napari_singlestrip.study.masks import StudyMasks
from napari_singlestrip.study.rounds import StudyRounds
from napari_singlestrip.study.scans import StudyScans
from napari_singlestrip.study.tables import Decision, MaskKind, Standing, State, now
from napari_singlestrip.vocabulary import StudyPart


@dataclass(frozen=True)
class Labelled:
    """Names of the pool's scans by the decision about their masks."""

    painted: tuple[str, ...] = ()
    corrected: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()


class StudyDecisions:
    """The decisions of a study, as stored on disk.

    Parameters
    ----------
    folder : StudyFolder
    scans : StudyScans
    masks : StudyMasks
    rounds : StudyRounds
    """

    def __init__(
        self, folder: StudyFolder, scans: StudyScans, masks: StudyMasks, rounds: StudyRounds
    ) -> None:
        self._folder, self._scans, self._masks, self._rounds = folder, scans, masks, rounds
        self._path = folder.path / DECISIONS
        folder.watch(StudyPart.DECISIONS, lambda: (self._path,))

    def all(self) -> dict[str, Decision]:
        """The decision about each scan; a mask made by hand counts as one."""
        rows = self._rows()
        for name, record in self._masks.records().items():
            rows.setdefault(name, Decision(name, record.kind, "", record.time))
        return {name: rows[name] for name in self._scans.names if name in rows}

    def of(self, name: str) -> Decision | None:
        """Return the decision about a scan; None without one. As `all`, for one of thousands."""
        said = self._folder.read(self._path, DecisionTable.read).rows.get(name)
        record = None if said is not None else self._masks.record(name)
        return said if record is None else Decision(name, record.kind, "", record.time)

    def decide(
        self, name: str, state: State, note: str = "", mask: str | Path | None = None
    ) -> Decision:
        """Record a decision about the mask of a scan.

        Parameters
        ----------
        name : str
            Scan.
        state : {"accepted", "rejected", "corrected", "painted"}
            "accepted" is about the latest pseudo-label, "corrected" and "painted" about the mask in
            masks/.
        note : str
            The person's remark.
        mask : str or Path, optional
            File of the corrected or painted mask; not needed if it is already in masks/.

        Raises
        ------
        UserError
            If the mask is missing, does not fit, or is not allowed for this decision.
        """
        self._scans.entry(name)
        self._check_mask(name, state, mask)
        if mask is not None:
            self._masks.import_file(name, mask, cast(MaskKind, state), note)
            return self.all()[name]
        decision = self._about(Decision(name, state, note, now()))
        self.put({name: decision})
        return decision

    def decide_all(self, names: Iterable[str], state: Literal["accepted", "rejected"]) -> None:
        """Record a decision about the pseudo-labels of many scans, as `decide` does for one.

        Raises
        ------
        UserError
            If one of them has no pseudo-label to accept; nothing is then recorded.
        """
        time = now()
        self.put({name: self._about(Decision(name, state, "", time)) for name in names})

    def put(self, decisions: Mapping[str, Decision | None]) -> None:
        """Store given decisions, or remove them (None), for undo.

        Raises
        ------
        UserError
            If a scan is unknown, or decisions.csv cannot be written.
        """
        with self._folder.changing():
            table = DecisionTable.read(self._path)
            for name, decision in decisions.items():
                table.forget(self._scans.entry(name).name)
                if decision is not None:
                    table.put(decision)
            table.write(self._path)
            self._folder.keep(self._path, DecisionTable.read, table)
            self._folder.saw(StudyPart.DECISIONS)
        self._folder.changed.emit(StudyPart.DECISIONS)

    def forget(self, name: str) -> None:
        """Remove the decision about a scan; a mask in masks/ is kept and counts again."""
        if self._scans.entry(name).name in self._rows():
            self.put({name: None})

    def standing(self, decision: Decision) -> Standing:
        """Whether a decision is about the present mask, or about an earlier one.

        An accepted mask is used for training only while it is exactly the mask that was reviewed. A
        painted or corrected mask is used as it is, even if another program changed it.
        """
        return standing(
            decision, self._folder.probable_digest(self._decided_path(decision)),
            lambda: self._rounds.score(decision.round or 0, decision.scan),
        )

    def unread(self) -> list[Decision]:
        """Decisions whose mask `standing` reads, to compare it; those it read before are left out.

        A study that was just opened has thousands of masks to read.
        """
        return [
            decision for decision in self.all().values()
            if not self._folder.knows_digest(self._decided_path(decision))
        ]

    def presume(self, decisions: Iterable[Decision]) -> None:
        """Take their masks for those that were reviewed, which they nearly always are, until read.

        Of decisions of versions without digests, nothing is presumed. Without any, it ends.
        """
        self._folder.presume({self._decided_path(d): d.mask for d in decisions if d.mask})

    def is_about_its_file(self, decision: Decision) -> bool:
        """Read the mask of a decision; return whether it is the one that was reviewed.

        May run in a thread. A decision that does not tell which mask it was counts as right.
        """
        digest = self._folder.digest(self._decided_path(decision))
        return decision.mask in ("", digest)

    def stale(self) -> dict[str, Decision]:
        """Decisions about predicted masks that were replaced or removed, by scan."""
        return {n: d for n, d in self.all().items() if self.standing(d) == "older"}

    def labelled(self) -> Labelled:
        """Sort the scans of the pool by their decision.

        Missing mask files are left out, and accepted masks that were replaced by another
        prediction.
        """
        groups: dict[str, list[str]] = {}
        decisions = self.all()
        for entry in self._scans:
            decision = decisions.get(entry.name)
            if decision is None or entry.role == "held_out":
                continue
            if decision.state == "rejected" or self._may_be_learned(decision):
                groups.setdefault(decision.state, []).append(entry.name)
        return Labelled(**{state: tuple(names) for state, names in groups.items()})

    def labelled_path(self, name: str) -> Path | None:
        """Return the mask to train on, or None for a rejected or undecided scan."""
        decision = self.all().get(name)
        if decision is None or not self._may_be_learned(decision):
            return None
        return self._decided_path(decision)

    # --- inside

    def _rows(self) -> dict[str, Decision]:
        return dict(self._folder.read(self._path, DecisionTable.read).rows)

    def _may_be_learned(self, decision: Decision) -> bool:
        if decision.state == "accepted":
            return self.standing(decision) == "current"
        return decision.state != "rejected" and self._decided_path(decision).exists()

    def _about(self, decision: Decision) -> Decision:
        """Add which mask was reviewed, with its rank and score at the time."""
        name = decision.scan
        if decision.state in ("corrected", "painted"):
            return replace(decision, mask=self._folder.digest(self._masks.path(name)))
        newest = self._rounds.newest_pseudo_label(name)
        if newest is None:
            if decision.state == "rejected":
                return decision
            raise UserError(
                f"{name} has no predicted mask yet.", "Run `singlestrip run STUDY` first."
            )
        round_, path = newest
        score = self._rounds.score(round_, name)
        return replace(
            decision, round=round_, rank=score.rank or None,
            autoencoder_error=score.autoencoder_error, mask=self._folder.digest(path),
        )

    def _check_mask(self, name: str, state: State, mask: str | Path | None) -> None:
        by_hand = state in ("corrected", "painted")
        if mask is not None and not by_hand:
            raise UserError(
                f"A mask file does not go with the decision {state!r}.",
                "Use `correct` to give a mask of your own, or leave the file out.",
            )
        if by_hand and mask is None and not self._masks.path(name).exists():
            raise UserError(
                f"There is no {state} mask of {name}.",
                f"Give its file: `singlestrip decide STUDY {name} correct --mask FILE`.",
            )

    def _decided_path(self, decision: Decision) -> Path:
        if decision.state in ("accepted", "rejected"):
            return self._rounds.pseudo_label_path(decision.round or 0, decision.scan)
        return self._masks.path(decision.scan)
