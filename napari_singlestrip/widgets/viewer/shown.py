"""The scan on screen and its mask, independent of layers: part of `study_layers`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.display_orientation import Upright
from napari_singlestrip.engine.imaging.head_middle import middle_of_head
from napari_singlestrip.engine.imaging.volume import Scan, load_mask
from napari_singlestrip.study.drafts import load_draft
from napari_singlestrip.study.review import Stamp
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.viewer.viewpoint import Place
from napari_singlestrip.widgets.viewer.volume_cache import LoadedScan

View = Literal["newest", "painted", "pseudo_label"]
KeptDraft = Callable[[Path, str], NDArray[np.bool_] | None]
Source = Literal["draft", "masks", "pseudo_label", "empty"]


@dataclass(frozen=True, eq=False)
class Shown:
    """The scan on screen.

    Attributes
    ----------
    name : str
    study : Study
    loaded : LoadedScan
    upright : Upright
    mask : ndarray of uint8, shape (i, j, k)
        The mask on the scan's grid; the labels layer is a view of it.
    source : {"draft", "masks", "pseudo_label", "empty"}
        Origin of the mask.
    newest : Stamp
        Stamp of the latest predicted mask at that time.
    """

    name: str
    study: Study
    loaded: LoadedScan
    upright: Upright
    mask: NDArray[np.uint8]
    source: Source
    newest: Stamp

    @property
    def scan(self) -> Scan:
        """The scan's header."""
        return self.loaded.scan


def mask_of(
    study: Study, name: str, scan: Scan, view: str, kept: NDArray[np.bool_] | None
) -> tuple[NDArray[np.bool_], Source]:
    """Find the mask to show; `kept` is newer than any draft on disk."""
    if view != "pseudo_label":
        draft = kept
        if draft is None:
            draft = load_draft(study.folder, name, scan.grid.shape)
        if draft is not None and draft.shape == scan.grid.shape:
            return draft, "draft"
    return kept_mask(study, name, scan, view)


def kept_mask(
    study: Study, name: str, scan: Scan, view: str = "newest"
) -> tuple[NDArray[np.bool_], Source]:
    """Find the mask to show, without unsaved changes."""
    if view != "pseudo_label" and study.masks.path(name).exists():
        return load_mask(study.masks.path(name), like=scan, check=False), "masks"
    if view != "painted":
        newest = study.rounds.newest_pseudo_label(name)
        if newest is not None:
            return load_mask(newest[1], like=scan, check=False), "pseudo_label"
    return np.zeros(scan.grid.shape, dtype=bool), "empty"


def middle_of(shown: Shown) -> Place:
    """Return the initial viewpoint: the centre of the mask, else of the head."""
    mask = shown.upright.to_display(shown.mask)
    found = centre_of(mask)
    if found is None:
        return middle_of_head(shown.upright.to_display(shown.loaded.data), shown.upright.scale)
    return found


def centre_of(mask: NDArray[Any]) -> Place | None:
    """Return the centre of mass, moved to non-empty slices; None for an empty mask.

    With outlines on every tenth slice, the centre itself could be on an empty slice.
    """
    # 16 bits hold the length of any axis, and take half the time.
    across, above = (mask.sum(axis=axis, dtype=np.uint16) for axis in (0, 1))  # (P, L), (I, L)
    middle = []
    for counts in (above.sum(axis=1), across.sum(axis=1), across.sum(axis=0)):
        used = np.flatnonzero(counts)
        if not used.size:
            return None
        centre = np.average(np.arange(len(counts)), weights=counts)
        middle.append(int(used[np.abs(used - centre).argmin()]))
    return middle[0], middle[1], middle[2]
