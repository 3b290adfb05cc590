from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import (
    TEMPORARY_PREFIX,
    atomic_path,
    read_json,
    read_text,
    write_json_atomic,
    write_text_atomic,
)
from napari_singlestrip.files.temporary import remove_leftovers, temporary_folder


def test_the_new_file_takes_the_place_of_the_old(tmp_path: Path) -> None:
    path = tmp_path / "masks" / "scan.nii.gz"
    for content in ("first", "second"):
        with atomic_path(path) as temporary:
            assert temporary.parent == path.parent
            assert temporary.name.startswith(".")
            assert temporary.name.endswith(".nii.gz")
            assert str(os.getpid()) in temporary.name
            temporary.write_text(content)
        assert path.read_text() == content
        assert [p.name for p in path.parent.iterdir()] == ["scan.nii.gz"]


@pytest.mark.skipif(os.name == "nt", reason="Windows refuses to replace a file that is open")
def test_who_is_reading_the_old_file_reads_it_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    path.write_text("old")
    with path.open() as reader:
        write_text_atomic(path, "new and longer")
        assert reader.read() == "old"
    assert path.read_text() == "new and longer"


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "study.json"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_path(path) as temporary:
        temporary.write_text("half of the new one")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "full"), (errno.EACCES, "may not write"), (errno.EROFS, "read-only")],
)
def test_disk_errors_are_told_with_the_folder_and_a_way_out(
    tmp_path: Path, number: int, words: str
) -> None:
    with pytest.raises(UserError) as caught, atomic_path(tmp_path / "a.csv") as temporary:
        temporary.write_text("some")
        raise OSError(number, os.strerror(number))
    assert words in caught.value.what
    assert str(tmp_path) in caught.value.what
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's always full device")
def test_a_really_full_disk(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="full"),
        atomic_path(tmp_path / "a.bin") as temporary,
        open("/dev/full", "wb", buffering=0) as device,
    ):
        temporary.write_bytes(b"some")
        device.write(b"x" * 10)
    assert list(tmp_path.iterdir()) == []


def test_an_error_about_another_file_is_not_blamed_on_this_one(tmp_path: Path) -> None:
    other = PermissionError(errno.EACCES, "denied", "/somewhere/else.nii")
    with pytest.raises(PermissionError), atomic_path(tmp_path / "a.csv"):
        raise other


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("I am a file")
    with pytest.raises(UserError, match="is a file"):
        write_text_atomic(tmp_path / "out" / "a.txt", "hello")


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt" / "inside").mkdir(parents=True)
    with pytest.raises(UserError, match="folder has this name"):
        write_text_atomic(tmp_path / "a.txt", "hello")


@pytest.mark.parametrize(
    "name",
    ["plain", "x" * 240 + ".nii.gz", "a.b.c.d-1.2.3-some.dotted.name.nii.gz", "\u00e9" * 120],
)
def test_any_legal_name_can_be_written(tmp_path: Path, name: str) -> None:
    write_text_atomic(tmp_path / name, "x")
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_text_is_utf8_with_unix_line_ends(tmp_path: Path) -> None:
    write_text_atomic(tmp_path / "a.txt", "Gehirn \u00fc\n")
    assert (tmp_path / "a.txt").read_bytes() == "Gehirn \u00fc\n".encode()


def test_json_is_readable_and_strict(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json_atomic(path, {"b": [1, 2.5], "a": "\u00fc"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"b": [1, 2.5], "a": "\u00fc"}
    assert "\u00fc" in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="JSON"):
        write_json_atomic(path, {"a": float("nan")})
    assert "2.5" in path.read_text(encoding="utf-8")


def test_only_old_leftovers_are_removed(tmp_path: Path) -> None:
    old, young, own = (tmp_path / n for n in (".~a.1-0.csv", ".~b.1-0.csv", "a.csv"))
    other = tmp_path / ".~lock.masks.csv#"  # of LibreOffice, in a folder for people
    for path in (old, young, own, other):
        path.write_text("x")
    folders = [tmp_path / n for n in (".~k3_old4x", ".~young_5x", "own")]
    for folder in folders:
        folder.mkdir()
        (folder / "x.pt").write_text("x")
    for path in (old, own, other, folders[0], folders[2]):
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    assert remove_leftovers(tmp_path) == [old, folders[0]]
    assert sorted(tmp_path.iterdir()) == sorted([young, own, other, *folders[1:]])


def test_a_temporary_folder_is_gone_at_the_end(tmp_path: Path) -> None:
    study = tmp_path / "study"
    with pytest.raises(RuntimeError), temporary_folder(study) as folder:
        assert folder.parent == study
        assert folder.name.startswith(TEMPORARY_PREFIX)
        (folder / "x.pt").write_text("x")
        raise RuntimeError
    assert list(study.iterdir()) == []
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(UserError, match="part of its path is a file"),
        temporary_folder(tmp_path / "file"),
    ):
        pass


def test_readers_never_see_half_a_file_while_a_writer_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_json_atomic(path, [0] * 50_000)
    program = (
        "import sys; from napari_singlestrip.files.atomic import write_json_atomic\n"
        "n = 0\nprint('go', flush=True)\n"
        "while True:\n    n += 1\n    write_json_atomic(sys.argv[1], [n] * 50_000)\n"
    )
    for delay in (0.01, 0.05, 0.12):
        command = [sys.executable, "-c", program, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(delay)
            writer.kill()
        assert len(set(json.loads(path.read_text()))) == 1


def test_reading_is_bounded_and_never_waits(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 2000)
    with pytest.raises(UserError, match="too large"):
        read_text(tmp_path / "large", max_bytes=1000)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="not a regular file"):
        read_text(tmp_path / "pipe")
    (tmp_path / "latin").write_bytes("Müller".encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8 text: byte 1 is 0xfc"):
        read_text(tmp_path / "latin")
    (tmp_path / "deep").write_text("[" * 200_000)
    with pytest.raises(UserError, match="nested too deeply"):
        read_json(tmp_path / "deep")
