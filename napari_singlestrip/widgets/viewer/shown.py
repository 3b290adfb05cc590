"""The scan on screen and its mask, before they are layers: part of `layers`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.display_orientation import Upright
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
        What is painted, on the scan's grid; the labels layer is a view of it.
    source : {"draft", "masks", "pseudo_label", "empty"}
        Where the mask came from.
    newest : Stamp
        Which predicted mask was the newest then.
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
    """Find the mask to show without unfinished changes."""
    if view != "pseudo_label" and study.mask_path(name).exists():
        return load_mask(study.mask_path(name), like=scan, check=False), "masks"
    if view != "painted":
        newest = study.newest_pseudo_label(name)
        if newest is not None:
            return load_mask(newest[1], like=scan, check=False), "pseudo_label"
    return np.zeros(scan.grid.shape, dtype=bool), "empty"


def centre_of(mask: NDArray[Any]) -> Place:
    """Return the middle of what is painted, or of the picture."""
    middle = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        used = np.flatnonzero(mask.any(axis=others))
        middle.append(int(used[len(used) // 2]) if used.size else mask.shape[axis] // 2)
    return middle[0], middle[1], middle[2]
