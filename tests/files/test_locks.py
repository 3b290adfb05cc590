"""Changes of one file by many: each after the other, and none lost."""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock

from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import read_json, write_json_atomic, write_text_atomic
from napari_singlestrip.files.locks import exclusive


def test_changes_of_many_threads_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "count.json"
    write_json_atomic(path, 0)

    def add(_: int) -> None:
        with exclusive(path), exclusive(path):  # a thread that holds it may enter again
            write_json_atomic(path, read_json(path) + 1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(200)))
    assert read_json(path) == 200


def test_a_lock_that_stays_shut_is_told(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with exclusive(path), ThreadPoolExecutor(1) as pool:
        def enter() -> None:
            with exclusive(path, longest_wait=0.1):
                pass

        with pytest.raises(UserError, match="Another program has been changing"):
            pool.submit(enter).result()


def test_a_disk_without_locks_is_used_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, **_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with exclusive(tmp_path / "table.csv"):
        write_text_atomic(tmp_path / "table.csv", "x")
    assert (tmp_path / "table.csv").read_text() == "x"
