"""Taking decisions back, step by step: nothing that a person made is lost on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.atomic_files import atomic_path, read_bytes, temporary_folder
from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.study.drafts import draft_path
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.tables import Decision, MaskRecord

MAX_STEPS = 50
MAX_BYTES = 256 * 2**20  # of a mask, as it is stored


@dataclass(frozen=True, eq=False)
class Hand:
    """What a person had made of a mask before a step.

    Attributes
    ----------
    mask : bytes
        File in masks/; empty when there was none.
    record : MaskRecord or None
        Where it came from.
    draft : bytes
        File with the unfinished changes; empty when there were none.
    """

    mask: bytes
    record: MaskRecord | None
    draft: bytes


@dataclass(frozen=True, eq=False)
class Step:
    """One step that can be taken back.

    Attributes
    ----------
    words : str
        What was done, such as "accept sub-01".
    decisions : dict of str to Decision or None
        What stood there before.
    hands : dict of str to Hand
        What a person had made of the masks, where the step touched that.
    """

    words: str
    decisions: dict[str, Decision | None]
    hands: dict[str, Hand]

    @property
    def names(self) -> tuple[str, ...]:
        """Scans that the step was about."""
        return tuple(self.decisions)


class ReviewHistory:
    """Steps of a study in one window; the last one is taken back first.

    Parameters
    ----------
    study : Study
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self._steps: list[Step] = []

    @property
    def last(self) -> Step | None:
        """The step that `undo` takes back."""
        return self._steps[-1] if self._steps else None

    @contextmanager
    def step(self, words: str, names: Sequence[str], by_hand: bool = True) -> Iterator[None]:
        """Remember how things are, and that they can be put back when the block succeeds.

        Parameters
        ----------
        words : str
            What is done.
        names : sequence of str
            Scans.
        by_hand : bool
            Also remember masks and unfinished changes; without for many scans at once.
        """
        rows = self.study.decisions()
        records = self.study.mask_records() if by_hand else {}
        hands = {name: self._hand(name, records) for name in names} if by_hand else {}
        yield
        self._steps.append(Step(words, {name: rows.get(name) for name in names}, hands))
        del self._steps[:-MAX_STEPS]

    def undo(self) -> Step | None:
        """Put back what the last step changed; return it.

        Raises
        ------
        UserError
            If it cannot be written; the step can be tried again then.
        """
        step = self.last
        if step is None:
            return None
        for name, hand in step.hands.items():
            self._put_back(name, hand, step.decisions[name])
        self.study.put_decisions(step.decisions)
        self._steps.pop()
        return step

    def _hand(self, name: str, records: dict[str, MaskRecord]) -> Hand:
        draft = draft_path(self.study.folder, name)
        return Hand(_content(self.study.mask_path(name)), records.get(name), _content(draft))

    def _put_back(self, name: str, hand: Hand, said: Decision | None) -> None:
        draft, path = draft_path(self.study.folder, name), self.study.mask_path(name)
        if hand.draft and not draft.exists():  # never over what was painted since
            with atomic_path(draft) as temporary:
                temporary.write_bytes(hand.draft)
        if hand.mask == _content(path):
            return
        if not hand.mask:
            self.study.remove_mask(name)
            return
        record = hand.record or MaskRecord()
        mask = _mask_from(hand.mask, path, self.study.scan_path(name))
        self.study.set_mask(name, mask, record.kind, source=record.source, decision=said)


def _content(path: Path) -> bytes:
    try:
        return read_bytes(path, MAX_BYTES)
    except FileNotFoundError:
        return b""


def _mask_from(content: bytes, path: Path, scan: Path) -> NDArray[np.bool_]:
    # Beside the other masks: a person's brain is not left in the computer's temporary folder.
    with temporary_folder(path.parent) as folder:
        copy = folder / path.name
        copy.write_bytes(content)
        return load_mask(copy, like=open_scan(scan), check=False)
