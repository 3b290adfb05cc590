"""Headers of the scans of a study, read in the background: a slow disk does not hold the window."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from qtpy.QtCore import QObject, QTimer, Signal

from napari_singlestrip.engine.imaging.scan_facts import ScanFacts, scan_facts
from napari_singlestrip.study.document import ScanEntry
from napari_singlestrip.study.study import Study

BATCH = 16
TELL_EVERY_MS = 200  # a table of a thousand scans is sorted anew each time


class ScanChecks(QObject):
    """What headers say, by file.

    Signals
    -------
    found()
        More is known: ask again.
    """

    found = Signal()
    _read = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._facts: dict[Path, ScanFacts] = {}
        self._asked: set[Path] = set()
        self._scans: tuple[ScanEntry, ...] | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._closed = False
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(TELL_EVERY_MS)
        self._later.timeout.connect(self.found)
        self._read.connect(self._take)  # from the thread: queued to the one of this object

    def facts(self, path: Path) -> ScanFacts | None:
        """Return what the header says; None while it is not read."""
        return self._facts.get(path)

    def read(self, study: Study) -> None:
        """Read the headers that are not known yet."""
        if study.scans is self._scans:  # a tuple: another one when scans come or go
            return
        self._scans = study.scans
        paths = [path for name in study.names if (path := study.scan_path(name)) not in self._asked]
        self._asked.update(paths)
        if paths and not self._closed:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="scan-headers")
            for start in range(0, len(paths), BATCH):
                self._pool.submit(self._look, paths[start : start + BATCH])

    def forget(self) -> None:
        """Read everything anew when asked next: files may have been mended."""
        self._asked.clear()
        self._scans = None

    @property
    def busy(self) -> bool:
        """Whether headers are being read."""
        return len(self._facts.keys() & self._asked) < len(self._asked)

    def close_all(self) -> None:
        """End the thread: the window closes."""
        self._closed = True
        self._later.stop()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _look(self, paths: list[Path]) -> None:
        facts = {path: scan_facts(path) for path in paths}
        if not self._closed:
            self._read.emit(facts)

    def _take(self, facts: dict[Path, ScanFacts]) -> None:
        self._facts.update(facts)
        if not self._later.isActive():
            self._later.start()
