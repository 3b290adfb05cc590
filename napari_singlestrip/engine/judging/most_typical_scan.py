"""Which scan is most similar to all others: the best one to paint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.geometry import otsu_threshold
from napari_singlestrip.engine.imaging.scan import open_scan

N_BINS = 12
SIDE = 48  # voxels sampled along each axis


@dataclass(frozen=True, eq=False)
class Portrait:
    """Features of a scan.

    Attributes
    ----------
    spacing_mm : tuple of float
        Smallest first.
    extent_mm : tuple of float
        Smallest first.
    intensities : ndarray, shape (N_BINS,)
        Fraction of the head's voxels in each bin from dark to bright.
    """

    spacing_mm: tuple[float, ...]
    extent_mm: tuple[float, ...]
    intensities: NDArray[np.float64]


def portrait(path: str | Path) -> Portrait:
    """Measure the features of a scan.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    scan = open_scan(path)
    spacing = np.sort(scan.grid.spacing)
    extent = np.sort(np.multiply(scan.grid.shape, scan.grid.spacing))
    data = scan.load().data
    return Portrait(tuple(spacing), tuple(extent), _intensities(data))


def _intensities(data: NDArray[np.floating]) -> NDArray[np.float64]:
    coarse = data[tuple(slice(None, None, max(1, n // SIDE)) for n in data.shape)]
    threshold = otsu_threshold(coarse)
    head = coarse[coarse > threshold]
    if head.size == 0:
        return np.zeros(N_BINS)
    top = max(float(np.percentile(head, 99.5)), threshold + 1e-6)
    counts, _ = np.histogram(np.clip(head, threshold, top), N_BINS, (threshold, top))
    return counts / head.size


def most_typical(portraits: Mapping[str, Portrait]) -> str:
    """Name of the scan with the least total distance to all others; empty for none.

    Voxel size and extent are compared as ratios, intensities by the overlap of their histograms.
    Distances are not squared, so that the result is a scan of the most frequent kind and not one
    between two kinds.
    """
    names = list(portraits)
    totals = {name: sum(_distance(portraits[name], portraits[n]) for n in names) for name in names}
    return min(names, key=totals.__getitem__) if names else ""


def _distance(a: Portrait, b: Portrait) -> float:
    size = np.abs(np.log(np.divide(a.spacing_mm, b.spacing_mm))).mean()
    extent = np.abs(np.log(np.divide(a.extent_mm, b.extent_mm))).mean()
    overlap = np.minimum(a.intensities, b.intensities).sum()
    # Clipped: beyond a limit, scans simply count as different, so that outliers have no pull.
    return float(min(size, 0.5) + min(extent, 0.5) + 2 * (1 - overlap))
