"""What Windows does differently, pretended: open files, long paths, names, command lines."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_singlestrip.engine.imaging.scan_names import scan_name, usable_name
from napari_singlestrip.errors import NotWritten
from napari_singlestrip.files import portable
from napari_singlestrip.files.atomic import write_text_atomic

Moves = Callable[[int], list[str]]


@pytest.fixture
def on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portable, "is_windows", lambda: True)
    monkeypatch.setattr(portable, "LOOK_AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(portable, "PATIENCE_SECONDS", 0.2)


@pytest.fixture
def in_use(monkeypatch: pytest.MonkeyPatch) -> Moves:
    """Let files and folders be open elsewhere for some tries; returns the tries."""

    def begin(n_tries: int) -> list[str]:
        tried: list[str] = []
        for name in ("replace", "rename"):
            real = getattr(os, name)

            def move(
                source: Path, target: Path, real: Callable[..., None] = real, name: str = name
            ) -> None:
                tried.append(name)
                if len(tried) <= n_tries:
                    raise PermissionError(errno.EACCES, "used by another process", str(target))
                real(source, target)

            monkeypatch.setattr(os, name, move)
        return tried

    return begin


def test_a_file_that_is_open_for_a_moment_is_replaced(
    tmp_path: Path, on_windows: None, in_use: Moves
) -> None:
    path = tmp_path / "study.json"
    path.write_text("old")
    tried = in_use(3)
    write_text_atomic(path, "new")
    assert path.read_text() == "new"
    assert len(tried) == 4


def test_a_file_that_stays_open_is_told_and_stays(
    tmp_path: Path, on_windows: None, in_use: Moves
) -> None:
    path = tmp_path / "masks.csv"
    path.write_text("old")
    in_use(10**9)
    with pytest.raises(NotWritten, match=r"another program has it open.*spreadsheet"):
        write_text_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_with_an_open_file_is_renamed_when_it_is_closed(
    tmp_path: Path, on_windows: None, in_use: Moves
) -> None:
    (tmp_path / "rounds").mkdir()
    tried = in_use(2)
    portable.rename(tmp_path / "rounds", tmp_path / "aside")
    assert (tmp_path / "aside").is_dir()
    assert tried == ["rename"] * 3


def test_elsewhere_nothing_is_tried_again(tmp_path: Path, in_use: Moves) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    tried = in_use(1)
    with pytest.raises(NotWritten, match="you may not write there"):
        write_text_atomic(path, "new")
    assert len(tried) == 1


def test_a_path_too_long_for_windows_says_so(
    tmp_path: Path, on_windows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ("a" * 130) / ("b" * 130) / "study.json"

    def no_such_path(source: Path, target: Path) -> None:
        raise FileNotFoundError(errno.ENOENT, "no such path", str(target))

    monkeypatch.setattr(os, "replace", no_such_path)
    with pytest.raises(NotWritten, match=r"characters, more than Windows takes.*shorter path"):
        write_text_atomic(path, "new")
    with pytest.raises(FileNotFoundError):  # a short one is something else
        write_text_atomic(tmp_path / "study.json", "new")


def test_without_locks_of_the_system_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable, "fcntl", None)
    assert portable.lock_descriptor(0) is None


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this system has no such locks")
    path = tmp_path / "lock"
    path.touch()
    with path.open() as one, path.open() as other:
        assert portable.lock_descriptor(one.fileno()) is True
        assert portable.lock_descriptor(other.fileno()) is False


def test_words_of_a_command(on_windows: None, monkeypatch: pytest.MonkeyPatch) -> None:
    text = r'"C:\Program Files\ssh.exe" -p 22 gpu-box'
    assert portable.split_command(text) == [r"C:\Program Files\ssh.exe", "-p", "22", "gpu-box"]
    with pytest.raises(ValueError):
        portable.split_command('"ssh')
    monkeypatch.setattr(portable, "is_windows", lambda: False)
    assert portable.split_command(r"my\ ssh 'gpu box'") == ["my ssh", "gpu box"]


@pytest.mark.parametrize("name", ["CON", "nul", "com1.T1w", "aux .x"])
def test_names_of_devices_are_no_names_of_scans(name: str) -> None:
    assert usable_name(name) == f"{name}_"


def test_what_some_system_refuses_in_a_name_is_escaped() -> None:
    assert scan_name('a<b>:"c|d?*.nii.gz') == "a%3Cb%3E%3A%22c%7Cd%3F%2A"
    assert usable_name(usable_name("a?b")) == usable_name("a?b")
