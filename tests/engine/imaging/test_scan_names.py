from __future__ import annotations

import random
from pathlib import Path

import pytest

from napari_singlestrip.engine.imaging.scan_names import (
    MAX_NAME_BYTES,
    find_masks,
    match,
    name_scans,
    scan_name,
    usable_name,
)
from napari_singlestrip.errors import UserError

DATA = Path("/data")


def names(*files: str, known: dict[str, str] | None = None) -> dict[str, str]:
    """Names of files below /data."""
    taken = {name: DATA / file for name, file in (known or {}).items()}
    given = name_scans([DATA / file for file in files], taken).checked()
    return {path.relative_to(DATA).as_posix(): name for path, name in given.items()}


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a/sub-01_T1w.nii.gz", "sub-01_T1w"),
        ("UPPER.NII.GZ", "UPPER"),
        ("v1.2.nii", "v1.2"),
        ("brain.mgz", "brain"),
        ("pair.img", "pair"),
        ("pair.hdr", "pair"),
        ("no_extension", "no_extension"),
    ],
)
def test_scan_name(file: str, name: str) -> None:
    assert scan_name(file) == name


def test_names_that_differ_stay_as_the_files_are_called() -> None:
    assert names("p1/a.nii", "p2/b.nii.gz", "p2/c.mgz") == {
        "p1/a.nii": "a", "p2/b.nii.gz": "b", "p2/c.mgz": "c",
    }  # fmt: skip


def test_folders_tell_one_file_name_apart() -> None:
    assert names("p1/T1.nii.gz", "p2/T1.nii.gz", "p2/T2.nii.gz") == {
        "p1/T1.nii.gz": "p1_T1", "p2/T1.nii.gz": "p2_T1", "p2/T2.nii.gz": "T2",
    }  # fmt: skip


def test_as_many_folders_as_it_takes_for_all_of_one_name() -> None:
    assert list(names("p1/anat/T1.nii", "p2/anat/T1.nii", "p2/late/T1.nii").values()) == [
        "p1_anat_T1", "p2_anat_T1", "p2_late_T1",
    ]  # fmt: skip


def test_a_file_in_no_folder_has_fewer_in_front() -> None:
    assert list(names("T1.nii", "p1/T1.nii").values()) == ["data_T1", "p1_T1"]


def test_upper_and_lower_case_are_one_name() -> None:
    assert list(names("p1/t1.nii", "p2/T1.nii").values()) == ["p1_t1", "p2_T1"]
    known = {"T1": "p1/T1.nii"}
    assert names("p2/t1.nii.gz", known=known) == {"p2/t1.nii.gz": "p2_t1"}


def test_a_longer_name_is_not_taken_by_a_short_one_with_its_folder() -> None:
    assert names("p1_T1.nii", "p1/T1.nii", "p2/T1.nii") == {
        "p1_T1.nii": "p1_T1", "p1/T1.nii": "data_p1_T1", "p2/T1.nii": "data_p2_T1",
    }  # fmt: skip


def test_known_names_stay_and_the_new_ones_look_like_them() -> None:
    known = {"p1_anat_T1": "p1/anat/T1.nii", "T2": "p1/anat/T2.nii"}
    found = names("p3/anat/T1.nii", "p3/anat/T2.nii", "p3/anat/T3.nii", known=known)
    assert list(found.values()) == ["p3_anat_T1", "p3_anat_T2", "T3"]


def test_the_order_of_the_files_does_not_matter() -> None:
    files = ["p1/T1.nii", "p2/T1.nii", "p1_T1.nii", "q/p1/T1.nii", "p2/t1.mgz", "x/y.nii", "y.nii"]
    rng = random.Random(3)
    named = [name_scans([DATA / f for f in rng.sample(files, len(files))]) for _ in range(20)]
    assert all(one.names == named[0].names for one in named)
    assert len({one.clashes for one in named}) == 1
    assert len({n.casefold() for n in named[0].names.values()}) == len(named[0].names)


@pytest.mark.parametrize(
    "files",
    [
        ("p1/T1.nii", "p1/T1.nii.gz"),
        ("p1/T1.nii", "p1/t1.mgz", "p2/T1.nii"),
        ("P1/T1.nii", "p1/T1.nii"),
        ("a_b/T1.nii", "a/b/T1.nii"),
    ],
)
def test_what_no_folder_tells_apart_is_refused_and_named(files: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="Two scans have the name") as caught:
        names(*files)
    assert str(DATA / files[0]) in caught.value.what
    assert str(DATA / files[1]) in caught.value.what
    naming = name_scans([DATA / f for f in files])
    assert len(naming.clashes) == 1
    assert len(naming.names) == len(files) - 1  # the others have theirs


def test_a_file_beside_a_known_one_of_its_name_is_refused() -> None:
    with pytest.raises(UserError, match="T1"):
        names("p1/T1.nii.gz", known={"T1": "p1/T1.nii"})


def touch(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"x")


def test_masks_are_found_beside_their_scans(tmp_path: Path) -> None:
    touch(tmp_path, "p1/T1.nii", "p1/T1_mask.nii.gz", "p2/T1_desc-brain_mask.nii.gz", "T2.mgz")
    found = find_masks(tmp_path)
    assert {path.relative_to(tmp_path).as_posix(): names for path, names in found.items()} == {
        "p1/T1_mask.nii.gz": ("p1_T1", "T1"),
        "p2/T1_desc-brain_mask.nii.gz": ("p2_T1", "T1"),
        "T2.mgz": ("T2",),
    }


def test_a_segmentation_of_slicer_is_named_like_its_scan(tmp_path: Path) -> None:
    touch(tmp_path, "p1/T1.seg.nrrd", "T2_mask.seg.nrrd")
    assert sorted(find_masks(tmp_path).values()) == [("T2",), ("p1_T1", "T1")]


def test_match_takes_the_longest_name_and_only_what_is_clear() -> None:
    right = {1: ("p1_T1", "T1"), 2: ("p2_T1", "T1"), 3: ("T2",)}
    assert match({"a": ("p1_T1", "T1"), "b": ("p2_T1",), "c": ("x_T2", "T2")}, right) == (
        {"a": 1, "b": 2, "c": 3}, {},
    )  # fmt: skip
    assert match({"a": ("T1",)}, right) == ({}, {"a": [1, 2]})
    assert match({"a": ("p9_T1", "T1"), "b": ("p8_T1", "T1")}, {1: ("T1",)}) == (
        {}, {"a": [1], "b": [1]},
    )  # fmt: skip
    # The one that goes better with it has it; nothing is left for the other.
    assert match({"a": ("p9_T1", "T1"), "b": ("p1_T1", "T1")}, {1: ("p1_T1", "T1")}) == (
        {"b": 1}, {},
    )  # fmt: skip


def test_spellings_of_a_letter_are_one_name() -> None:
    assert scan_name("Zoe\u0308.nii") == "Zo\u00eb"
    assert list(names("p1/Zoe\u0308.nii", "p2/Zo\u00eb.nii").values()) == [
        "p1_Zo\u00eb", "p2_Zo\u00eb",
    ]  # fmt: skip
    assert match({1: ("Zo\u00eb",)}, {2: (scan_name("Zoe\u0308.nii"),)})[0] == {1: 2}


def test_a_name_that_is_too_long_is_cut_and_stays_distinct() -> None:
    long = "ü" * 100 + "x" * 40
    first, second = usable_name(f"{long}1"), usable_name(f"{long}2")
    assert first != second and usable_name(first) == first
    assert all(len(name.encode()) <= MAX_NAME_BYTES for name in (first, second))
    assert scan_name(f"{long}1.nii.gz") == first
    (name,) = names(f"{'d' * 150}/{'e' * 150}/T1.nii", known={"T1": "other/T1.nii"}).values()
    assert len(name.encode()) <= MAX_NAME_BYTES


@pytest.mark.parametrize(
    ("text", "name"),
    [("CON", "CON_"), ("aux.1", "aux.1_"), ("console", "console"), ("..", "%2E%2E"),
     ("", "unnamed"), ("end. ", "end. "), ("M\udcfcller", "M%FCller")],
)
def test_what_disks_refuse_is_named_otherwise(text: str, name: str) -> None:
    assert usable_name(text) == name


def test_masks_of_long_names_are_found(tmp_path: Path) -> None:
    long = "x" * 230
    touch(tmp_path, f"{scan_name(f'{long}.nii.gz')}_desc-brain_mask.nii.gz")
    (found,) = find_masks(tmp_path).values()
    assert found == (scan_name(f"{long}.nii.gz"),)


def test_naming_many_scans_asks_for_each_name_a_few_times_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari_singlestrip.engine.imaging import scan_names

    asked: list[Path] = []
    real = scan_names.stem_of

    def stem_of(path: Path) -> str:
        asked.append(path)
        return real(path)

    monkeypatch.setattr(scan_names, "stem_of", stem_of)
    files = [DATA / f"p{n}/T1.nii.gz" for n in range(1000)]
    assert len(set(name_scans(files[500:], {f"k{n}": f for n, f in enumerate(files[:500])})
                   .checked().values())) == 500  # fmt: skip
    assert len(asked) < 20 * len(files)
