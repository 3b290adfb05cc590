"""Change of each mask since the previous round, computed in the background."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.engine.masks.mask_change import MaskChange, mask_change
from napari_singlestrip.failures import Failure, attempt
from napari_singlestrip.files.stamp import FileStamp, file_stamp
from napari_singlestrip.study.review import Review
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.common.background_cache import BackgroundCache

Key = tuple[Path, FileStamp, FileStamp]  # a mask, as it is and as it was in the previous round


class RoundChanges(BackgroundCache[Key, MaskChange | None]):
    """Compares the masks of a round with those of the previous round."""

    thread_name = "round-changes"

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
            stamps = file_stamp(now), file_stamp(before)
            if stamps[0] is None or stamps[1] is None:
                continue
            key = (now, stamps[0], stamps[1])
            self.ask(key, partial(_compare, study.scans.path(row.name), now, before))
            known = self.known(key)
            if known is not None:
                found[row.name] = known
        return found


def _compare(scan: Path, now: Path, before: Path) -> MaskChange | None:
    def read() -> MaskChange:
        like = open_scan(scan)
        masks = [load_mask(path, like=like, check=False) for path in (now, before)]
        return mask_change(masks[0], masks[1], like.grid)

    found = attempt(read)
    return None if isinstance(found, Failure) else found  # reported when it is opened
