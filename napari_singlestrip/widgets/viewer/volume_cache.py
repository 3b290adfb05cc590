"""Cache of recent scans, with prefetching of the next."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.display_orientation import grey_limits
from napari_singlestrip.engine.imaging.volume import Scan, open_scan

MAX_SCANS = 4


@dataclass(frozen=True, eq=False)
class LoadedScan:
    """A scan with its values, ready for display.

    Attributes
    ----------
    scan : Scan
    data : ndarray, shape (i, j, k), float32
    limits : tuple of float
        Intensities shown as black and as white.
    full_range : tuple of float
        Smallest and largest intensity.
    """

    scan: Scan
    data: NDArray[np.float32]
    limits: tuple[float, float]
    full_range: tuple[float, float]


class VolumeCache:
    """Loads scans, caches the latest few, and prefetches in a thread (reading releases the GIL)."""

    def __init__(self, max_scans: int = MAX_SCANS) -> None:
        self._max = max_scans
        self._scans: OrderedDict[Path, Future[LoadedScan]] = OrderedDict()
        # Not a `Background`: requests for a scan that is being loaded wait for it.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="scans-ahead")

    def get(self, path: Path) -> LoadedScan:
        """Return a loaded scan.

        Raises
        ------
        UserError
            If it cannot be read.
        """
        future = self._scans.get(path)
        if future is None or not (future.running() or future.done()):
            self._forget(path)
            future = Future()
            future.set_result(load(path))
        self._remember(path, future)
        try:
            return future.result()
        except Exception:
            self._forget(path)  # the file may be repaired meanwhile
            raise

    def load_ahead(self, path: Path) -> None:
        """Start loading a scan that will probably be shown next."""
        if path not in self._scans:
            self._remember(path, self._pool.submit(load, path))

    def clear(self) -> None:
        """Forget all scans."""
        for path in list(self._scans):
            self._forget(path)

    def close(self) -> None:
        """Forget all scans and end the thread."""
        self.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _remember(self, path: Path, future: Future[LoadedScan]) -> None:
        self._scans[path] = future
        self._scans.move_to_end(path)
        while len(self._scans) > self._max:
            self._forget(next(iter(self._scans)))

    def _forget(self, path: Path) -> None:
        future = self._scans.pop(path, None)
        if future is not None:
            future.cancel()


def load(path: Path) -> LoadedScan:
    """Read a scan and find how to show it.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    scan = open_scan(path)
    data = scan.load().data
    return LoadedScan(scan, data, *grey_limits(data))
