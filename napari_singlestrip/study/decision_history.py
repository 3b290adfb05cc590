"""Undo of decisions, step by step, without losing any mask made by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.files.atomic import atomic_path, read_bytes
from napari_singlestrip.files.temporary import temporary_folder
from napari_singlestrip.study.drafts import draft_path, mark_suggested, suggested_by
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import Decision, MaskRecord

MAX_STEPS = 50
MAX_BYTES = 256 * 2**20  # of a stored mask


@dataclass(frozen=True, eq=False)
class Hand:
    """State of a scan's manual mask before a step.

    Attributes
    ----------
    mask : bytes
        Content of the file in masks/; empty if there was none.
    record : MaskRecord or None
        Its provenance.
    draft : bytes
        Content of the file with unsaved changes; empty if there were none.
    suggested_by : str
        Whose suggestion the unsaved changes started from; empty if nobody's.
    """

    mask: bytes
    record: MaskRecord | None
    draft: bytes
    suggested_by: str


@dataclass(frozen=True, eq=False)
class Step:
    """One step that can be undone.

    Attributes
    ----------
    words : str
        What was done, such as "accept sub-01".
    decisions : dict of str to Decision or None
        The decisions before the step.
    hands : dict of str to Hand
        The manual masks before the step, if it changed them.
    """

    words: str
    decisions: dict[str, Decision | None]
    hands: dict[str, Hand]

    @property
    def names(self) -> tuple[str, ...]:
        """Scans that the step affected."""
        return tuple(self.decisions)


class ReviewHistory:
    """Steps of a study in one window; the last one is undone first.

    Parameters
    ----------
    study : Study
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self._steps: list[Step] = []

    @property
    def last(self) -> Step | None:
        """The step that `undo` reverts."""
        return self._steps[-1] if self._steps else None

    @contextmanager
    def step(self, words: str, names: Sequence[str], by_hand: bool = True) -> Iterator[None]:
        """Record the present state, and make the step undoable if the block succeeds.

        Parameters
        ----------
        words : str
            Description of the step.
        names : sequence of str
            Scans.
        by_hand : bool
            Also record masks and unsaved changes; False for many scans at once.
        """
        of = self.study.decisions.of if len(names) == 1 else self.study.decisions.all().get
        decisions = {name: of(name) for name in names}
        hands = {name: self._hand(name) for name in names} if by_hand else {}
        yield
        self._steps.append(Step(words, decisions, hands))
        del self._steps[:-MAX_STEPS]

    def undo(self) -> Step | None:
        """Revert the last step; return it.

        Raises
        ------
        UserError
            If it cannot be written; undo can then be tried again.
        """
        step = self.last
        if step is None:
            return None
        for name, hand in step.hands.items():
            self._put_back(name, hand, step.decisions[name])
        self.study.decisions.put(step.decisions)
        self._steps.pop()
        return step

    def _hand(self, name: str) -> Hand:
        draft = draft_path(self.study.folder, name)
        return Hand(
            _content(self.study.masks.path(name)), self.study.masks.record(name), _content(draft),
            suggested_by(self.study.folder, name),
        )

    def _put_back(self, name: str, hand: Hand, said: Decision | None) -> None:
        draft, path = draft_path(self.study.folder, name), self.study.masks.path(name)
        if hand.draft and not draft.exists():  # never overwrites what was painted since
            if hand.suggested_by:
                mark_suggested(self.study.folder, name, hand.suggested_by)
            with atomic_path(draft) as temporary:
                temporary.write_bytes(hand.draft)
        if hand.mask == _content(path):
            return
        if not hand.mask:
            self.study.masks.remove(name)
            return
        record = hand.record or MaskRecord()
        mask = _mask_from(hand.mask, path, self.study.scans.path(name))
        self.study.masks.save(name, mask, record.kind, source=record.source, decision=said)


def _content(path: Path) -> bytes:
    try:
        return read_bytes(path, MAX_BYTES)
    except FileNotFoundError:
        return b""


def _mask_from(content: bytes, path: Path, scan: Path) -> NDArray[np.bool_]:
    # Beside the other masks: patient data should not end up in the system's temporary folder.
    with temporary_folder(path.parent) as folder:
        copy = folder / path.name
        copy.write_bytes(content)
        return load_mask(copy, like=open_scan(scan), check=False)
