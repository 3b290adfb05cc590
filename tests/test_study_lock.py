"""One worker per study, and no lock that a dead worker leaves shut."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_singlestrip import study_lock
from napari_singlestrip.errors import UserError
from napari_singlestrip.study_lock import StudyLock, is_locked

HOLDER = """
import sys, time
from pathlib import Path
from napari_singlestrip.study_lock import StudyLock
with StudyLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def lock_file(folder: Path) -> Path:
    return folder / "rounds" / ".lock"


def write_owner(folder: Path, **changes: object) -> None:
    with StudyLock(folder):
        owner = json.loads(lock_file(folder).read_text())
    lock_file(folder).write_text(json.dumps({**owner, **changes}))


def test_lock_is_held_and_given_back(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    with StudyLock(tmp_path):
        assert is_locked(tmp_path)
        assert [p.name for p in (tmp_path / "rounds").iterdir()] == [".lock"]
    assert not is_locked(tmp_path)
    assert list((tmp_path / "rounds").iterdir()) == []


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
    write_owner(tmp_path, process_started=1.0)
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
    lock_file(tmp_path).parent.mkdir()
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
    left = [lock_file(tmp_path).with_name(f".lock-{name}-123") for name in ("box", "stale-box")]
    lock_file(tmp_path).parent.mkdir()
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
