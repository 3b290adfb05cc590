"""Headers of a study's scans, read in the background so that a slow disk does not block.

A few at a time: the next ones are asked for when the window took the last ones, so that thousands
of headers do not hold up what a person does meanwhile.

Unusable files are checked again every few seconds: a file may be restored, or a disk connected.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
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
    found(object)
        Files, as a set of Path, whose headers were read.
    repaired(object)
        Files, as a set of Path, that could not be used and now can.
    """

    found = Signal(object)
    repaired = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._facts: dict[Path, ScanFacts] = {}
        self._asked: set[Path] = set()
        self._waiting: deque[Path] = deque()
        self._reading = self._paused = False
        self._broken: dict[Path, State] = {}  # kept up to date: there is no search in thousands
        self._untold: set[Path] = set()
        self._scans: tuple[ScanEntry, ...] | None = None
        self._background = Background("scan-headers", self)
        self._later = single_shot(self, TELL_EVERY_MS, self._tell)
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
        self._waiting.extend(paths)
        self._read_some()

    def pause(self, paused: bool) -> None:
        """Read no more headers for now, or go on."""
        self._paused = paused
        self._read_some()

    def forget(self) -> None:
        """Read everything again at the next request, as files may have been repaired."""
        self._asked.clear()
        self._waiting.clear()
        self._broken.clear()
        self._scans = None
        self._again.stop()

    @property
    def busy(self) -> bool:
        """Whether headers are being read."""
        return self._reading or bool(self._waiting)

    @property
    def broken(self) -> Mapping[Path, State]:
        """Files that cannot be used, with the state in which they were read."""
        return self._broken

    def close_all(self) -> None:
        """End the thread: the window closes."""
        self._later.stop()
        self._again.stop()
        self._background.close_all()

    def _read_some(self) -> None:
        if self._reading or self._paused or not self._waiting:
            return
        n = min(BATCH, len(self._waiting))
        paths = [self._waiting.popleft() for _ in range(n)]
        self._reading = True
        self._background.run(partial(_read, paths), self._take_next)

    def _take_next(self, read: dict[Path, tuple[State, ScanFacts]]) -> None:
        self._reading = False
        self._take(read)
        self._read_some()

    def _take(self, read: dict[Path, tuple[State, ScanFacts]]) -> None:
        repaired = {path for path, (_, facts) in read.items()
                  if not facts.problem and (known := self._facts.get(path)) and known.problem}
        for path, (state, facts) in read.items():
            self._facts[path] = facts
            self._broken.pop(path, None)
            if facts.problem and path in self._asked:
                self._broken[path] = state
        if repaired:
            self.repaired.emit(repaired)
        self._untold |= read.keys()
        if read and not self._later.isActive():
            self._later.start()
        if self._broken and not self._again.isActive():
            self._again.start()

    def _tell(self) -> None:
        files, self._untold = self._untold, set()
        self.found.emit(files)

    def _look_again(self) -> None:
        if not self.busy:  # else what is being read starts it again
            self._background.run(partial(_read_changed, dict(self._broken)), self._take)


def _read(paths: list[Path]) -> dict[Path, tuple[State, ScanFacts]]:
    return {path: (file_stamp(path), scan_facts(path)) for path in paths}


def _read_changed(known: dict[Path, State]) -> dict[Path, tuple[State, ScanFacts]]:
    return _read([path for path, state in known.items() if file_stamp(path) != state])
