"""One worker per study: a lock file that a killed worker, here or elsewhere, cannot leave shut."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from napari_singlestrip.errors import UserError
from napari_singlestrip.files import write_text_atomic
from napari_singlestrip.study_tables import now

HEARTBEAT_SECONDS = 20.0
STALE_SECONDS = 120.0


@dataclass(frozen=True)
class Owner:
    """The process that works on a study.

    `process_started` tells it from a later process with the same number.
    """

    pid: int
    host: str
    started: str
    process_started: float


class StudyLock:
    """Context manager held by the worker of a study.

    The file ``rounds/.lock`` says who works here. It counts for nothing when its process on this
    host is gone, or when another host has not touched it for two minutes.

    Parameters
    ----------
    folder : Path
        The study folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "rounds" / ".lock"
        self._owner = Owner(os.getpid(), socket.gethostname(), now(), _start_of(os.getpid()) or 0.0)
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="study-lock", daemon=True)

    def __enter__(self) -> Self:
        """Take the lock.

        Raises
        ------
        UserError
            If another worker holds it, or the folder cannot be written.
        """
        if not self._take():
            self._remove_stale()
            if not self._take():
                raise self._held(_read(self.path))
        try:
            self._remove_leftovers()
            self._heart.start()
        except BaseException:  # no memory for a thread
            self._give_back()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the lock back."""
        self._stop.set()
        self._heart.join()
        self._give_back()

    def _give_back(self) -> None:
        if _read(self.path) == self._owner:
            with suppress(OSError):
                self.path.unlink()

    def _take(self) -> bool:
        # The content must be there at once: another worker may look at any moment. So it is
        # written beside, and linked, which fails when the name is taken.
        candidate = self.path.with_name(f".lock-{self._owner.host}-{self._owner.pid}")
        write_text_atomic(candidate, json.dumps(asdict(self._owner)))
        try:
            os.link(candidate, self.path)
        except FileExistsError:
            return False
        except OSError:  # a disk without links (FAT, some network disks)
            return self._take_without_link()
        finally:
            with suppress(OSError):
                candidate.unlink()
        return True

    def _take_without_link(self) -> bool:
        try:
            with self.path.open("x", encoding="utf-8") as file:
                json.dump(asdict(self._owner), file)
        except FileExistsError:
            return False
        return True

    def _remove_stale(self) -> None:
        owner = _read(self.path)
        if not self._is_stale(owner):
            raise self._held(owner)
        # Renaming succeeds for one of several workers that come at once; whoever finds that it
        # took away a new lock instead of the stale one puts it back.
        aside = self.path.with_name(f".lock-stale-{self._owner.host}-{self._owner.pid}")
        with suppress(FileNotFoundError):
            os.replace(self.path, aside)
            if _read(aside) != owner:
                with suppress(OSError):
                    os.link(aside, self.path)
            aside.unlink()

    def _remove_leftovers(self) -> None:
        """Delete what workers left behind that were killed while they took the lock."""
        for path in self.path.parent.glob(f"{self.path.name}-*"):
            with suppress(OSError):  # another worker may be at it, too
                if self.path.stat().st_mtime - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink()

    def _is_stale(self, owner: Owner | None) -> bool:
        if owner is not None and owner.host == self._owner.host:
            return _start_of(owner.pid) != owner.process_started
        return self._age() > STALE_SECONDS

    def _age(self) -> float:
        """Seconds since the last heartbeat, by the clock of the disk that holds the lock."""
        probe = self.path.with_name(f".lock-clock-{self._owner.host}-{self._owner.pid}")
        write_text_atomic(probe, "")
        try:
            return probe.stat().st_mtime - self.path.stat().st_mtime
        except FileNotFoundError:
            return 0.0
        finally:
            probe.unlink(missing_ok=True)

    def _held(self, owner: Owner | None) -> UserError:
        study = self.path.parent.parent
        who = f" (process {owner.pid} on {owner.host}, since {owner.started})" if owner else ""
        return UserError(
            f"Another job is working on the study {study.name}{who}.",
            "Wait for it or stop it; if it is gone, the study is free again after two minutes.",
        )

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            with suppress(OSError):
                os.utime(self.path)


def is_locked(folder: Path) -> bool:
    """Whether a worker seems to be at work on the study in `folder` (a look, no promise)."""
    path = folder / "rounds" / ".lock"
    owner = _read(path)
    if owner is not None and owner.host == socket.gethostname():
        return _start_of(owner.pid) == owner.process_started
    try:
        return time.time() - path.stat().st_mtime < STALE_SECONDS
    except FileNotFoundError:
        return False


def _read(path: Path) -> Owner | None:
    try:
        return Owner(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _start_of(pid: int) -> float | None:
    try:
        return round(psutil.Process(pid).create_time(), 2)
    except psutil.NoSuchProcess:
        return None
