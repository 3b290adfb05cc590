from __future__ import annotations

from pathlib import Path

import pytest

from napari_singlestrip.engine.imaging.scan_files import (
    check_file_name,
    check_folder_name,
    check_kind,
    find_files,
    list_folder,
    real_file,
    real_files,
)
from napari_singlestrip.errors import UserError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_folders_are_searched_and_pairs_and_repeats_come_once(tmp_path: Path) -> None:
    scans = [tmp_path / n for n in ("a.nii.gz", "b.mgz", "deep/er/c.nii", "p.img")]
    others = [tmp_path / n for n in (".hidden.nii", ".git/d.nii", "p.hdr", "e.txt", ".~a.1.nii")]
    touch(*scans, *others)
    assert find_files([tmp_path]) == sorted(scans)
    assert find_files([tmp_path / "b.mgz", str(tmp_path), tmp_path / "p.hdr"]) == sorted(scans)


def test_what_is_not_a_scan_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "notes.txt")
    with pytest.raises(UserError, match=r"notes\.txt does not end like a scan.*\.nii\.gz"):
        find_files([tmp_path / "notes.txt"])
    with pytest.raises(UserError, match="no scan in the folder"):
        find_files([tmp_path])
    with pytest.raises(UserError, match=r"no file .*gone\.nii.*spelling"):
        find_files([tmp_path / "gone.nii"])
    with pytest.raises(UserError, match=r"own option: --set training\.steps=5"):
        find_files([tmp_path / "training.steps=5"])
    (tmp_path / "link.nii").symlink_to(tmp_path / "annexed")
    with pytest.raises(UserError, match="link to a file that is not there"):
        find_files([tmp_path / "link.nii"])


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


def test_linked_folders_are_followed_once_and_loops_not(tmp_path: Path) -> None:
    touch(tmp_path / "real/sub-01/a.nii.gz", tmp_path / "in/sub-02/b.nii.gz")
    (tmp_path / "in/sub-01").symlink_to("../real/sub-01")
    (tmp_path / "in/again").symlink_to(tmp_path / "real" / "sub-01")
    (tmp_path / "in/a_link_that_comes_first").symlink_to("sub-02")
    (tmp_path / "in/up").symlink_to("..")
    (tmp_path / "in/sub-02/self").symlink_to(".")
    (tmp_path / "in/sub-02/0.nii.gz").symlink_to("b.nii.gz")
    found = [path.relative_to(tmp_path).as_posix() for path in find_files([tmp_path / "in"])]
    assert found in (["in/again/a.nii.gz", "in/sub-02/b.nii.gz"],
                     ["in/sub-01/a.nii.gz", "in/sub-02/b.nii.gz"])  # fmt: skip


def test_links_that_lead_nowhere_are_told_and_hide_nothing(tmp_path: Path) -> None:
    touch(tmp_path / "a.nii.gz")
    (tmp_path / "sub-02").symlink_to("gone")
    (tmp_path / "b.nii.gz").symlink_to("gone.nii.gz")
    (tmp_path / "round").symlink_to("round")
    listing = list_folder(tmp_path)
    assert [path.name for path in listing.files] == ["a.nii.gz", "b.nii.gz"]  # b is told later
    assert [p.split()[0] for p in listing.problems] == [
        str(tmp_path / "round"), str(tmp_path / "sub-02"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["mask.nii.gz", "out.MGZ", "o.nii", "volumes.csv", "x.nii.bz2"])
def test_a_file_name_is_refused_for_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="name of a file"):
        check_folder_name(tmp_path / name)
    (tmp_path / name).mkdir()
    check_folder_name(tmp_path / name)  # it is one already


def test_folder_names_with_dots_are_folders(tmp_path: Path) -> None:
    for name in ("masks", "v1.2", "sub.01_nii", "2024.01.02"):
        check_folder_name(tmp_path / name)
    touch(tmp_path / "file")
    with pytest.raises(UserError, match="is a file"):
        check_folder_name(tmp_path / "file")


def test_scans_and_folders_are_no_names_for_other_files(tmp_path: Path) -> None:
    for path, words in ((tmp_path, "is a folder"), (tmp_path / "T1.nii.gz", "name of a scan")):
        with pytest.raises(UserError, match=words):
            check_file_name(path)
    check_file_name(tmp_path / "model.pt")


def test_real_files_of_many_are_those_of_each(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.nii").touch()
    (tmp_path / "link.nii").symlink_to(tmp_path / "there" / "a.nii")
    (tmp_path / "way").symlink_to(tmp_path / "there")
    paths = [tmp_path / "there" / "a.nii", tmp_path / "link.nii", tmp_path / "way" / "a.nii",
             tmp_path / "missing.nii", tmp_path / "way" / "c\u0327.nii"]
    assert real_files(paths) == {real_file(path) for path in paths}
    assert len(real_files(paths)) == 3
