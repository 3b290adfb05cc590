"""A stamp changes with the file, however it was written."""

from __future__ import annotations

import os
from pathlib import Path

from napari_singlestrip.files.stamp import file_stamp


def test_a_file_left_alone_keeps_its_stamp(tmp_path: Path) -> None:
    path = tmp_path / "mask.nii"
    path.write_bytes(b"abc")
    assert file_stamp(path) == file_stamp(path) is not None


def test_other_bytes_or_another_time_are_another_stamp(tmp_path: Path) -> None:
    path = tmp_path / "mask.nii"
    path.write_bytes(b"abc")
    before = file_stamp(path)
    assert before is not None
    path.write_bytes(b"abcd")
    os.utime(path, ns=(before.mtime_ns, before.mtime_ns))
    longer = file_stamp(path)
    assert longer is not None and longer != before
    os.utime(path, ns=(before.mtime_ns + 1_000_000_000,) * 2)
    assert file_stamp(path) not in (before, longer)


def test_a_file_put_in_its_place_at_the_same_time_is_another(tmp_path: Path) -> None:
    path, new = tmp_path / "mask.nii", tmp_path / "new.nii"
    path.write_bytes(b"abc")
    before = file_stamp(path)
    assert before is not None
    new.write_bytes(b"xyz")
    os.utime(new, ns=(before.mtime_ns, before.mtime_ns))
    new.replace(path)
    assert file_stamp(path) != before


def test_what_is_missing_or_no_name_has_none(tmp_path: Path) -> None:
    assert file_stamp(tmp_path / "none.nii") is None
    assert file_stamp(Path("a\0b")) is None
