"""Change of each mask since the previous round, computed in the background."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QObject, Signal

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.engine.masks.mask_change import MaskChange, mask_change
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.study.review import Review
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.common.background_thread import Background

Stamp = tuple[Path, int, int]


class RoundChanges(QObject):
    """Compares the masks of a round with those of the previous round, and caches the results.

    Signals
    -------
    changed()
        Another mask was compared.
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.background = Background("round-changes", self)
        self._known: dict[Stamp, MaskChange | None] = {}
        self._asked: set[Stamp] = set()

    def of(self, study: Study, review: Review) -> dict[str, MaskChange]:
        """Return the results so far, and start comparing the rest."""
        if not review.round:  # the first round has no predecessor
            return {}
        found = {}
        for row in review.rows:
            now, before = (
                study.rounds.pseudo_label_path(r, row.name)
                for r in (review.round, review.round - 1)
            )
            stamp = _stamp(now, before)
            if stamp is None:
                continue
            if stamp not in self._asked:
                self._asked.add(stamp)
                self._compare(study.scans.path(row.name), now, before, stamp)
            known = self._known.get(stamp)
            if known is not None:
                found[row.name] = known
        return found

    def forget(self) -> None:
        """Stop comparing: another study is open."""
        self.background.forget()
        self._asked.clear()

    def close_all(self) -> None:
        """End the thread when the window closes."""
        self.background.close_all()

    def _compare(self, scan: Path, now: Path, before: Path, stamp: Stamp) -> None:
        def read() -> MaskChange:
            like = open_scan(scan)
            masks = [load_mask(path, like=like, check=False) for path in (now, before)]
            return mask_change(masks[0], masks[1], like.grid)

        def work() -> MaskChange | None:
            found = attempt(read)
            return None if isinstance(found, Failure) else found  # reported when it is opened

        def take(found: MaskChange | None) -> None:
            self._known[stamp] = found
            self.changed.emit()

        self.background.run(work, take)


def _stamp(now: Path, before: Path) -> Stamp | None:
    """Stamp of a pair of masks; None if one is missing."""
    try:
        return now, now.stat().st_mtime_ns, before.stat().st_mtime_ns
    except OSError:
        return None
