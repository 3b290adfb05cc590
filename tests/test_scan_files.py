from __future__ import annotations

from pathlib import Path

import pytest

from napari_singlestrip.engine.scan_files import check_kind, find_scans
from napari_singlestrip.errors import UserError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_folders_are_searched_and_pairs_and_repeats_come_once(tmp_path: Path) -> None:
    scans = [tmp_path / n for n in ("a.nii.gz", "b.mgz", "deep/er/c.nii", "p.img")]
    others = [tmp_path / n for n in (".hidden.nii", ".git/d.nii", "p.hdr", "e.txt", ".~a.1.nii")]
    touch(*scans, *others)
    assert find_scans([tmp_path]) == sorted(scans)
    assert find_scans([tmp_path / "b.mgz", str(tmp_path), tmp_path / "p.hdr"]) == sorted(scans)


def test_what_is_not_a_scan_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "notes.txt")
    with pytest.raises(UserError, match=r"notes\.txt does not end like a scan.*\.nii\.gz"):
        find_scans([tmp_path / "notes.txt"])
    with pytest.raises(UserError, match="no scan in the folder"):
        find_scans([tmp_path])
    with pytest.raises(UserError, match=r"no file .*gone\.nii"):
        find_scans([tmp_path / "gone.nii"])
    (tmp_path / "link.nii").symlink_to(tmp_path / "annexed")
    with pytest.raises(UserError, match="link to a file that is not there"):
        find_scans([tmp_path / "link.nii"])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.nii", b"", "0 bytes"),
        ("a.nii", b"\x89PNG....", "PNG"),
        ("a.nii.gz", b"\0" * 128 + b"DICM", "DICOM"),
        ("a.nii.gz", b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        ("a.mgz", b"<!DOCTYPE html>", "web page"),
    ],
)
def test_files_that_are_something_else(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        check_kind(path)
    assert name in caught.value.what
    assert caught.value.hint
