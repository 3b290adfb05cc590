"""One worker per study, and no lock that a dead worker leaves shut."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from napari_singlestrip.errors import UserError
from napari_singlestrip.study import lock as study_lock
from napari_singlestrip.study.lock import LOCK_FILE, FolderLock, StudyLock, is_locked

needs_kernel_locks = pytest.mark.skipif(
    sys.platform == "win32", reason="only the heartbeat tells there"
)
HOLDER = """
import sys, time
from pathlib import Path
from napari_singlestrip.study.lock import StudyLock
with StudyLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def lock_file(folder: Path) -> Path:
    return folder / LOCK_FILE


def write_owner(folder: Path, **changes: object) -> None:
    with StudyLock(folder):
        owner = json.loads(lock_file(folder).read_text())
    lock_file(folder).write_text(json.dumps({**owner, **changes}))


def test_lock_is_held_and_given_back(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    with StudyLock(tmp_path):
        assert is_locked(tmp_path)
        assert [p.name for p in tmp_path.iterdir()] == [LOCK_FILE]
    assert not is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_second_worker_is_told_who_works(tmp_path: Path) -> None:
    with StudyLock(tmp_path), pytest.raises(UserError, match=str(os.getpid())):
        StudyLock(tmp_path).__enter__()


def test_killed_worker_leaves_the_study_free(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=str(holder.pid)):
            StudyLock(tmp_path).__enter__()
        holder.kill()
        holder.wait()
        assert not is_locked(tmp_path)
        with StudyLock(tmp_path):
            assert is_locked(tmp_path)


def test_number_of_a_later_process_does_not_count(tmp_path: Path) -> None:
    write_owner(tmp_path, token="of a process that is gone")  # whose number is ours now
    assert not is_locked(tmp_path)
    with StudyLock(tmp_path):
        pass


def test_other_host_counts_while_its_heart_beats(tmp_path: Path) -> None:
    write_owner(tmp_path, host="gpu-box")
    with pytest.raises(UserError, match="gpu-box"):
        StudyLock(tmp_path).__enter__()
    assert is_locked(tmp_path)
    old = time.time() - study_lock.STALE_SECONDS - 5
    os.utime(lock_file(tmp_path), (old, old))
    assert not is_locked(tmp_path)
    with StudyLock(tmp_path):
        pass


def test_unreadable_lock_counts_for_two_minutes(tmp_path: Path) -> None:
    lock_file(tmp_path).write_text("")
    with pytest.raises(UserError, match="two minutes") as caught:
        StudyLock(tmp_path).__enter__()
    assert "None" not in str(caught.value)
    os.utime(lock_file(tmp_path), (0, 0))
    with StudyLock(tmp_path):
        pass


def test_heart_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_lock, "HEARTBEAT_SECONDS", 0.02)
    with StudyLock(tmp_path):
        os.utime(lock_file(tmp_path), (0, 0))
        deadline = time.monotonic() + 5
        while lock_file(tmp_path).stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert lock_file(tmp_path).stat().st_mtime > 0


def test_leftovers_of_a_worker_killed_while_it_took_the_lock_are_removed(tmp_path: Path) -> None:
    left = [lock_file(tmp_path).with_name(f"{LOCK_FILE}-{token}") for token in ("12ab", "34cd")]
    for path in left:
        path.write_text("{}")
    os.utime(left[0], (0, 0))
    with StudyLock(tmp_path):
        assert not left[0].exists()
        assert left[1].exists()  # its worker may be taking the lock at this moment


def test_disk_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: object, target: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with StudyLock(tmp_path), pytest.raises(UserError, match="Another job"):
        StudyLock(tmp_path).__enter__()
    assert not is_locked(tmp_path)


def test_lock_of_somebody_else_is_not_removed(tmp_path: Path) -> None:
    with StudyLock(tmp_path):
        lock_file(tmp_path).write_text("somebody else's")
    assert lock_file(tmp_path).exists()


# --- what the kernel knows


@contextmanager
def holder(folder: Path, program: str = HOLDER) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    command = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@needs_kernel_locks
def test_a_zombie_holds_nothing(tmp_path: Path) -> None:
    """In a container without an init, nobody asks how a killed worker ended."""
    with holder(tmp_path) as process:
        process.kill()
        deadline = time.monotonic() + 10
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        while is_locked(tmp_path):  # its other threads still end
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with StudyLock(tmp_path):
            pass


@needs_kernel_locks
@pytest.mark.parametrize("changes", [
    {"pid": 2**22 + 1}, {"pid": os.getpid()}, {"namespace": "pid:[1]"}, {"host": "other"},
    {"boot": "other"}, {"started": "1970-01-01"}, {"pid": "x"},
])  # fmt: skip
def test_a_living_worker_keeps_its_lock_whatever_numbers_and_clocks_say(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    """Containers have process numbers of their own; clocks are set; a laptop sleeps."""
    with holder(tmp_path):
        owner = json.loads(lock_file(tmp_path).read_text())
        lock_file(tmp_path).write_text(json.dumps({**owner, **changes}))
        os.utime(lock_file(tmp_path), (0, 0))
        assert is_locked(tmp_path)
        with pytest.raises(UserError, match="Another job"):
            StudyLock(tmp_path).__enter__()
        assert lock_file(tmp_path).exists()


def without_kernel_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_lock, "_lock", lambda descriptor, shared=False: None)


def test_disk_without_kernel_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_kernel_locks(monkeypatch)
    with StudyLock(tmp_path), pytest.raises(UserError, match="Another job"):
        StudyLock(tmp_path).__enter__()
    assert list(tmp_path.iterdir()) == []
    write_owner(tmp_path, pid=2**22 + 1)
    assert not is_locked(tmp_path)
    write_owner(tmp_path, pid=2**22 + 1, namespace="pid:[1]")  # another container's number
    assert is_locked(tmp_path)
    lock_file(tmp_path).unlink()
    write_owner(tmp_path, boot="another computer of the same name")
    assert is_locked(tmp_path)
    os.utime(lock_file(tmp_path), (0, 0))
    with StudyLock(tmp_path):
        pass


@pytest.mark.parametrize("content", [
    b"", b"\0" * 100, b"\xff\xfe", b"[" * 100_000, b"[]", b"7", b"null", b"x" * 1_000_000,
    b'{"pid": "1", "host": "h"}', b'{"pid": -1, "host": "h"}', b'{"pid": 1e99, "host": "h"}',
    b'{"pid": 99999999999999999999, "host": "h"}', b'{"host": "h"}', b'{"pid": true, "host": "h"}',
    b'{"pid": 1, "host": {"a": []}}', b'{"pid": 1, "host": "\\u001b[2J"}', b'{"pid": 0, "host": 1}',
])  # fmt: skip
def test_a_lock_that_says_nothing_counts_for_two_minutes(tmp_path: Path, content: bytes) -> None:
    lock_file(tmp_path).write_bytes(content)
    assert is_locked(tmp_path)
    with pytest.raises(UserError, match="two minutes") as caught:
        StudyLock(tmp_path).__enter__()
    assert str(caught.value).isprintable()
    for time_ in (0, time.time() + 1e6):  # nor does it count for ever when clocks were wrong
        lock_file(tmp_path).write_bytes(content)
        os.utime(lock_file(tmp_path), (time_, time_))
        assert not is_locked(tmp_path)
        with StudyLock(tmp_path):
            pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes in folders")
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(lock_file(tmp_path))
    assert is_locked(tmp_path)
    with pytest.raises(UserError, match="two minutes"):
        StudyLock(tmp_path).__enter__()
    os.utime(lock_file(tmp_path), (0, 0))
    with StudyLock(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_come_at_once_one_gets_a_stale_lock(tmp_path: Path) -> None:
    for _ in range(10):
        write_owner(tmp_path)
        locks = [FolderLock(lock_file(tmp_path)) for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(FolderLock.take, locks))
        assert sum(taken) == 1
        locks[taken.index(True)].give_back()
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["masks", "rounds", "rounds/00", "rounds/00/pseudo_labels",
                                  "rounds/00/metrics.jsonl", "job.log", LOCK_FILE])
def test_no_job_works_through_a_link_out_of_the_study(tmp_path: Path, name: str) -> None:
    outside, study = tmp_path / "outside", tmp_path / "study"
    outside.mkdir()
    (study / name).parent.mkdir(parents=True)
    (study / name).symlink_to(outside)
    with pytest.raises(UserError, match="a study holds its own files"):
        StudyLock(study).__enter__()
    assert list(outside.iterdir()) == []
