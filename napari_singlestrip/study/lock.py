"""One worker per study: a lock that a killed worker, here or on another host, does not block."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

import psutil

from napari_singlestrip.errors import InUse, UserError
from napari_singlestrip.files.atomic import read_json, refuse_links, write_text_atomic
from napari_singlestrip.files.portable import lock_descriptor
from napari_singlestrip.study.tables import now

HEARTBEAT_SECONDS = 20.0
STALE_SECONDS = 120.0
TRIES, BETWEEN_TRIES = 8, 0.02  # seconds; a mere check also holds the lock briefly
LOCK_FILE = ".job.lock"
PART_LOCK = ".job_{}.lock"
# Folders that a job changes; a link there would lead it out of the study.
WRITTEN_TO = ("job.log", "masks", "rounds", "rounds/*", "rounds/*/*", "drafts", "applied")


@dataclass(frozen=True)
class Owner:
    """The process that holds a lock.

    Attributes
    ----------
    pid : int
    host : str
    started : str
        Time at which it took the lock.
    boot : str
        The running system, since hosts may share a name.
    namespace : str
        Scope of the process id: containers have ids of their own.
    kernel : bool
        Whether it also holds the kernel's lock on the file.
    token : str
        Distinguishes this lock from later ones of the same process.
    """

    pid: int
    host: str
    started: str = ""
    boot: str = ""
    namespace: str = ""
    kernel: bool = False
    token: str = ""


class FolderLock:
    """A lock file that one process at a time holds, and that names the holder.

    It is locked by the kernel, which releases the lock when the process ends, in whatever way.
    Across hosts, or on disks without locks, the holder's heartbeat counts: a file without one for
    two minutes is free.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._owner: Owner | None = None
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether we hold it."""
        return self._owner is not None

    def take(self) -> bool:
        """Take the lock, unless another process holds it.

        Raises
        ------
        UserError
            If the file cannot be written, or is a link.
        """
        refuse_links(self.path, self.path.parent)
        for attempt in range(TRIES):
            if attempt:
                time.sleep(BETWEEN_TRIES)
            if self._put() or (self._remove_stale() and self._put()):
                self._remove_leftovers()
                return True
        return False

    def holder(self) -> Owner | None:
        """Return the holder, if known."""
        return _read(self.path)

    def seems_held(self) -> bool:
        """Whether the lock seems to be held (without a guarantee)."""
        try:
            age = time.time() - self.path.lstat().st_mtime
        except OSError:
            return False
        descriptor = _open(self.path, os.O_RDONLY)
        try:
            return not _is_gone(self.holder(), _lock(descriptor, shared=True), age)
        finally:
            _close(descriptor)

    def beat(self) -> None:
        """Update the heartbeat."""
        with suppress(OSError):
            os.utime(self.path if self._descriptor is None else self._descriptor)

    def give_back(self) -> None:
        """Release the lock."""
        if self._owner is not None and _read(self.path) == self._owner:
            with suppress(OSError):
                self.path.unlink()
        _close(self._descriptor)
        self._descriptor = self._owner = None

    def _put(self) -> bool:
        # The file must appear with its content: another process may read it at any moment. So it is
        # locked and written under another name and then linked, which fails if the name is taken.
        beside = self._beside()
        try:
            made = _make(beside)
        except OSError as error:
            raise UserError(
                f"Cannot write in {self.path.parent}: {error.strerror}.",
                "Check the folder's permissions, and whether its disk is full.",
            ) from error
        try:
            os.link(beside, self.path)
        except FileExistsError:
            _close(made[1])
            return False
        except OSError:  # a disk without links (FAT, some network disks)
            _close(made[1])
            try:
                made = _make(self.path)
            except FileExistsError:
                return False
        finally:
            with suppress(OSError):
                beside.unlink()
        self._owner, self._descriptor = made
        return True

    def _remove_stale(self) -> bool:
        """Remove a stale lock file; True if there is none now."""
        descriptor = _open(self.path, os.O_RDWR)
        try:
            kernel, owner = _lock(descriptor), self.holder()
            if not _is_gone(owner, kernel, self._age()):
                return False
            # Renaming succeeds for only one of several workers; a worker that finds it removed a
            # new lock instead of the stale one restores it.
            aside = self._beside()
            with suppress(OSError):
                self.path.rename(aside)
                if _read(aside) != owner:
                    with suppress(OSError):
                        os.link(aside, self.path)
                aside.rmdir() if aside.is_dir() else aside.unlink()
            return True
        finally:
            _close(descriptor)

    def _remove_leftovers(self) -> None:
        """Delete leftovers of processes that were killed while taking the lock."""
        for path in self.path.parent.glob(f"{self.path.name}-*"):
            with suppress(OSError):  # another process may do the same
                if self.path.stat().st_mtime - path.lstat().st_mtime > STALE_SECONDS:
                    path.unlink()

    def _age(self) -> float:
        """Seconds since the last heartbeat, by the clock of the disk that holds the lock."""
        probe = self._beside()
        write_text_atomic(probe, "")
        try:
            return probe.stat().st_mtime - self.path.lstat().st_mtime
        except FileNotFoundError:
            return 0.0
        finally:
            probe.unlink(missing_ok=True)

    def _beside(self) -> Path:
        return self.path.with_name(f"{self.path.name}-{uuid4().hex}")


class StudyLock:
    """Context manager held by the worker of a study.

    Parameters
    ----------
    folder : Path
        The study folder.
    part : str
        Part of the scans; several parts may run at once, but no job for all scans beside them.
    """

    def __init__(self, folder: Path, part: str = "") -> None:
        self._folder, self._part = folder, part
        self._lock = FolderLock(folder / (PART_LOCK.format(part) if part else LOCK_FILE))
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="study-lock", daemon=True)

    def __enter__(self) -> Self:
        """Take the lock.

        Raises
        ------
        UserError
            If another worker holds it, the folder is not writable, or it contains links out of the
            study.
        """
        for pattern in WRITTEN_TO:
            for path in self._folder.glob(pattern):
                refuse_links(path, self._folder)
        if not self._lock.take():
            raise self._is_held(self._lock.holder())
        for other in self._others():
            if other.seems_held():
                self._lock.give_back()
                raise self._is_held(other.holder())
        try:
            self._heart.start()
        except BaseException:  # no memory for a thread
            self._lock.give_back()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the lock."""
        self._stop.set()
        self._heart.join()
        self._lock.give_back()

    def _others(self) -> list[FolderLock]:
        """Locks that exclude this one."""
        if self._part:
            return [FolderLock(self._folder / LOCK_FILE)]
        return [FolderLock(path) for path in self._folder.glob(PART_LOCK.format("*"))]

    def _is_held(self, owner: Owner | None) -> InUse:
        who = f" (process {owner.pid} on {owner.host}, since {owner.started})" if owner else ""
        return InUse(
            f"Another job is working on the study {self._folder.name}{who}.",
            "Wait for it or stop it; if it is gone, the study is free again after two minutes.",
        )

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            self._lock.beat()


def is_locked(folder: Path) -> bool:
    """Whether a worker seems to be running on the study in `folder` (without a guarantee)."""
    return FolderLock(folder / LOCK_FILE).seems_held()


def _here(kernel: bool) -> Owner:
    """Return this process, for a new lock."""
    return Owner(
        os.getpid(), socket.gethostname(), now(), _boot(), _namespace(), kernel, uuid4().hex
    )


def _make(path: Path) -> tuple[Owner, int | None]:
    """Make a lock file and lock it; not kept open if the kernel's locks are unavailable."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    locked = _lock(descriptor) is True
    try:
        owner = _here(locked)
        os.write(descriptor, json.dumps(asdict(owner)).encode())
    except BaseException:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    if locked:
        return owner, descriptor
    os.close(descriptor)
    return owner, None


def _is_gone(owner: Owner | None, locked: bool | None, age: float) -> bool:
    """Whether a lock is stale.

    Parameters
    ----------
    owner : Owner or None
        Content of the file; None if unreadable.
    locked : bool or None
        Whether the kernel let us lock the file; None without kernel locks.
    age : float
        Seconds since the last heartbeat. A time far in the future also counts as stale.
    """
    if locked is False:
        return False
    me = _here(kernel=False)
    if owner is not None and (owner.host, owner.boot) == (me.host, me.boot):
        if locked and owner.kernel:
            return True
        if owner.namespace == me.namespace and _is_dead(owner.pid):
            return True
    return abs(age) > STALE_SECONDS


def _is_dead(pid: int) -> bool:
    """Whether a process has ended; zombies have."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def _read(path: Path) -> Owner | None:
    """The owner named in a lock file; None if it names none that is valid."""
    try:
        content = read_json(path, max_bytes=10_000)
    except (OSError, UserError):
        return None
    return _owner_of(content) if isinstance(content, dict) else None


def _owner_of(content: Mapping[str, object]) -> Owner | None:
    with suppress(TypeError):
        owner = Owner(**content)  # type: ignore[arg-type]
        words = (owner.host, owner.started, owner.boot, owner.namespace, owner.token)
        if type(owner.pid) is int and 0 < owner.pid < 2**31 and type(owner.kernel) is bool and all(
            isinstance(word, str) and word.isprintable() for word in words
        ):
            return owner
    return None


def _boot() -> str:
    """Identify the running system; empty if unknown."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _namespace() -> str:
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""


def _open(path: Path, flags: int) -> int | None:
    """Open a lock file, whatever it is; None if it cannot be opened."""
    try:
        return os.open(
            path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
        )
    except OSError:
        return None


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        with suppress(OSError):
            os.close(descriptor)


def _lock(descriptor: int | None, shared: bool = False) -> bool | None:
    """Lock an open file until it is closed; None without locks: only the heartbeat is used then."""
    return None if descriptor is None else lock_descriptor(descriptor, shared)
