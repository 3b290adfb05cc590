"""Headers of a study's scans, read in the background so that a slow disk does not block.

Unusable files are checked again every few seconds: a file may be restored, or a disk connected.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtCore import QObject, Signal

from napari_singlestrip.engine.imaging.scan_facts import ScanFacts, scan_facts
from napari_singlestrip.files.stamp import FileStamp, file_stamp
from napari_singlestrip.study.document import ScanEntry
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.common.background_thread import Background
from napari_singlestrip.widgets.common.single_shot import single_shot

BATCH = 16
TELL_EVERY_MS = 200  # limits how often a large table is sorted
LOOK_AGAIN_MS = 3000

State = FileStamp | None  # None if the file is missing


class ScanChecks(QObject):
    """Facts from headers, by file.

    Signals
    -------
    found()
        More headers were read.
    repaired(object)
        Files, as a set of Path, that could not be used and now can.
    """

    found = Signal()
    repaired = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._facts: dict[Path, ScanFacts] = {}
        self._states: dict[Path, State] = {}
        self._asked: set[Path] = set()
        self._scans: tuple[ScanEntry, ...] | None = None
        self._background = Background("scan-headers", self)
        self._later = single_shot(self, TELL_EVERY_MS, self.found)
        # One shot, started anew by each answer: a slow disk is not asked while it is answering.
        self._again = single_shot(self, LOOK_AGAIN_MS, self._look_again)

    def facts(self, path: Path) -> ScanFacts | None:
        """Return the facts of a header; None until it is read."""
        return self._facts.get(path)

    def read(self, study: Study) -> None:
        """Read the headers that were not read yet."""
        if study.scans.entries is self._scans:  # replaced when scans are added or removed
            return
        self._scans = study.scans.entries
        files = map(study.scans.path, study.scans.names)
        paths = [path for path in files if path not in self._asked]
        self._asked.update(paths)
        for start in range(0, len(paths), BATCH):
            self._background.run(partial(_read, paths[start : start + BATCH]), self._take)

    def forget(self) -> None:
        """Read everything again at the next request, as files may have been repaired."""
        self._asked.clear()
        self._scans = None
        self._again.stop()

    @property
    def busy(self) -> bool:
        """Whether headers are being read."""
        return len(self._facts.keys() & self._asked) < len(self._asked)

    def close_all(self) -> None:
        """End the thread: the window closes."""
        self._later.stop()
        self._again.stop()
        self._background.close_all()

    def _take(self, read: dict[Path, tuple[State, ScanFacts]]) -> None:
        repaired = {path for path, (_, facts) in read.items()
                  if not facts.problem and (known := self._facts.get(path)) and known.problem}
        for path, (state, facts) in read.items():
            self._states[path], self._facts[path] = state, facts
        if repaired:
            self.repaired.emit(repaired)
        if read and not self._later.isActive():
            self._later.start()
        if self._broken() and not self._again.isActive():
            self._again.start()

    def _broken(self) -> dict[Path, State]:
        return {path: self._states[path] for path in self._asked & self._facts.keys()
                if self._facts[path].problem}

    def _look_again(self) -> None:
        if not self.busy:  # else what is being read starts it again
            self._background.run(partial(_read_changed, self._broken()), self._take)


def _read(paths: list[Path]) -> dict[Path, tuple[State, ScanFacts]]:
    return {path: (file_stamp(path), scan_facts(path)) for path in paths}


def _read_changed(known: dict[Path, State]) -> dict[Path, tuple[State, ScanFacts]]:
    return _read([path for path, state in known.items() if file_stamp(path) != state])
