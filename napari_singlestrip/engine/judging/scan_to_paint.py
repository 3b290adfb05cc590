"""Which scan to paint: one that shows the whole head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.geometry import otsu_threshold
from napari_singlestrip.engine.imaging.scan import open_scan
from napari_singlestrip.engine.masks.cleanup import largest_component

SIDE = 48  # voxels sampled along each axis
AS_WHOLE = 0.15  # more of the head cut off than in the least cut scan is no difference
MOST = 1.8  # times the median volume: more is another animal, or air with ghosts taken for a head


@dataclass(frozen=True)
class HeadInView:
    """What a scan shows of a head.

    Attributes
    ----------
    volume_ml : float
        Of the head, as far as it is in the field of view.
    cut : float
        Area of the head on the faces of the field of view, but the largest, which is the neck's;
        relative to the area of a cube of its volume's side. 0 is a whole head.
    """

    volume_ml: float
    cut: float


def head_in_view(path: str | Path) -> HeadInView:
    """Measure what a scan shows of a head: what is bright (Otsu), without specks of noise.

    Raises
    ------
    UserError
        If the scan cannot be read.
    """
    scan = open_scan(path)
    data = scan.load().data
    steps = np.maximum(1, np.array(data.shape) // SIDE)
    coarse = _sampled(data, steps)
    threshold, spacing = otsu_threshold(coarse), steps * np.array(scan.grid.spacing)
    head = largest_component(scipy.ndimage.binary_opening(coarse > threshold))
    volume = float(np.count_nonzero(head) * spacing.prod())
    areas = []
    for axis in range(3):
        across = np.delete(np.arange(3), axis)
        for end in (0, -1):
            face = _sampled(np.take(data, [end], axis).squeeze(axis), steps[across]) > threshold
            face = scipy.ndimage.binary_opening(face)
            areas.append(np.count_nonzero(face) * spacing[across].prod())
    cut = (sum(areas) - max(areas)) / volume ** (2 / 3) if volume else 0.0
    return HeadInView(volume / 1000, float(cut))


def _sampled(data: NDArray[np.floating], steps: NDArray[np.intp]) -> NDArray[np.floating]:
    return data[tuple(slice(None, None, step) for step in steps)]


def scan_to_paint(views: Mapping[str, HeadInView]) -> str:
    """Name of the scan that shows most of a head, of those that are cut off least; empty for none.

    The network learns from pictures made of the painted scan. What that does not show, such as the
    skull above a brain that is cut off, it meets for the first time in the others, and takes for
    brain.

    Parameters
    ----------
    views : mapping of str to HeadInView
        Of each scan, by name.
    """
    if not views:
        return ""
    most = MOST * float(np.median([view.volume_ml for view in views.values()]))
    usual = {name: view for name, view in views.items() if view.volume_ml <= most}
    least = min(view.cut for view in usual.values())
    whole = {name: view for name, view in usual.items() if view.cut <= least + AS_WHOLE}
    return max(whole, key=lambda name: whole[name].volume_ml)
