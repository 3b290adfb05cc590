"""Which files of a folder are scans: names are hints, what is in the file decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.scan_identity import fingerprint
from napari_singlestrip.engine.imaging.scan_search import (
    find_scans,
    has_mask_word,
    made_for,
    search,
)
from napari_singlestrip.engine.imaging.volume import open_scan, save_brain, save_mask
from napari_singlestrip.errors import UserError

SHAPE = (12, 14, 16)


def grey(seed: int = 0) -> NDArray[np.int16]:
    """An image of many values."""
    return np.random.default_rng(seed).integers(0, 900, SHAPE).astype(np.int16)


def ball(*labels: int) -> NDArray[np.uint8]:
    """Labels, a slab each; the rest is 0."""
    values = np.zeros(SHAPE, np.uint8)
    for n, label in enumerate(labels):
        values[3:9, 3 + 3 * n : 6 + 3 * n, 4:12] = label
    return values


def write(path: Path, values: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = nib.MGHImage if path.suffix == ".mgz" else nib.Nifti1Image
    nib.save(kind(values, np.eye(4)), path)
    return path


def found(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_scans([folder])]


@pytest.mark.parametrize(
    ("name", "has_one"),
    [
        ("T1_mask", True), ("sub-01_desc-brain_mask", True), ("a_brainmask", True),
        ("x_dseg", True), ("aparc+aseg", True), ("brain-mask2", True), ("LABEL.01", True),
        ("seg3d_T1w", False), ("sub-Segura_T1w", False), ("T1w_unmasked", False),
        ("sub-maskell_T1w", False), ("labelled", False), ("T1", False),
    ],
)  # fmt: skip
def test_words_are_whole(name: str, has_one: bool) -> None:
    assert has_mask_word(name) is has_one


def test_masks_beside_scans_are_passed_over_and_told(tmp_path: Path) -> None:
    scans = ["seg3d_T1w.nii.gz", "sub-Segura_T1w.nii", "T1w_unmasked.nii.gz", "sub-01_T1w.mgz",
             "seg_T1w.nii.gz", "mask_01/head.nii.gz", "labels.mgz"]  # fmt: skip
    for n, name in enumerate(scans):
        write(tmp_path / name, grey(n))
    for name in ("sub-01_T1w_mask.nii.gz", "sub-01_desc-brain_mask.nii", "a_brainmask.mgz",
                 "masks/sub-01_T1w.nii.gz"):  # fmt: skip
        write(tmp_path / name, ball(1))
    write(tmp_path / "sub-01_dseg.nii.gz", ball(3, 17))
    write(tmp_path / "probability_mask.nii.gz", ball(1).astype(np.float32))
    assert found(tmp_path) == sorted(scans)
    (note,) = search([tmp_path]).notes
    assert "6 files of masks or labels" in note and "\n" not in note


def test_a_grey_scan_of_few_values_is_no_label_image(tmp_path: Path) -> None:
    write(tmp_path / "seg_T1w.nii.gz", (grey() % 200).astype(np.uint8))
    assert found(tmp_path) == ["seg_T1w.nii.gz"]


def test_a_mask_of_any_name_that_is_compressed_to_nothing(tmp_path: Path) -> None:
    values = np.zeros((128, 128, 128), np.uint8)
    values[40:90, 40:90, 40:90] = 1
    write(tmp_path / "T1_bet.nii.gz", values)
    values[0, 0, 0] = 2  # three values: it could be a scan
    write(tmp_path / "odd.nii.gz", values)
    assert found(tmp_path) == ["odd.nii.gz"]


def test_what_this_program_wrote_is_passed_over(tmp_path: Path) -> None:
    scan = open_scan(write(tmp_path / "a.nii.gz", grey()))
    save_mask(tmp_path / "out" / "renamed.nii.gz", ball(1), scan)
    save_brain(tmp_path / "out" / "T1w.nii", ball(1), scan)
    study = tmp_path / "study"
    for inside in ("masks/a", "rounds/00/x/a", "applied/x/a", "rounds_set_aside_01/00/a"):
        write(study / f"{inside}.nii.gz", grey())
    write(study / "scans" / "b.nii.gz", grey())
    (study / "study.json").write_text("{}")
    assert found(tmp_path) == ["a.nii.gz", "study/scans/b.nii.gz"]
    assert "2 files made by this program" in search([tmp_path]).notes[0]


def test_named_files_are_taken_and_told_of(tmp_path: Path) -> None:
    mask, scan = write(tmp_path / "a_mask.nii.gz", ball(1)), write(tmp_path / "a.nii.gz", grey())
    taken = search([mask, scan])
    assert list(taken) == [scan, mask]
    assert "a_mask.nii.gz looks like a mask" in taken.notes[0]
    assert not search([scan]).notes


def test_the_mask_that_a_person_gives_is_no_scan(tmp_path: Path) -> None:
    given, scan = write(tmp_path / "drawn.nii", grey(1)), write(tmp_path / "a.nii.gz", grey())
    (tmp_path / "link.nii").symlink_to(given)
    for paths in ([tmp_path], [given, scan], [tmp_path / "link.nii", scan]):
        assert list(search(paths, [given])) == [scan]


def test_a_folder_of_masks_alone_says_so(tmp_path: Path) -> None:
    write(tmp_path / "a_mask.nii.gz", ball(1))
    with pytest.raises(UserError, match=r"no scan in.*1 file of masks or labels.*a_mask"):
        search([tmp_path])


def test_what_cannot_be_read_is_left_to_be_told(tmp_path: Path) -> None:
    (tmp_path / "broken_mask.nii.gz").write_bytes(b"\x1f\x8b no")
    (tmp_path / "gone.nii.gz").symlink_to("nowhere.nii.gz")
    (tmp_path / "sub-02").symlink_to("nowhere")
    taken = search([tmp_path])
    assert [path.name for path in taken] == ["broken_mask.nii.gz", "gone.nii.gz"]
    assert "sub-02 is a link that leads nowhere" in taken.notes[0]


def test_one_file_by_two_ways_comes_once(tmp_path: Path) -> None:
    scan = write(tmp_path / "real" / "a.nii.gz", grey())
    (tmp_path / "view").symlink_to("real")
    assert list(search([tmp_path / "real", tmp_path / "view"])) == [scan]
    assert list(search([scan, tmp_path / "view"])) == [scan]


# --- who a scan is


def test_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    for end in (".nii.gz", ".nii", ".mgz"):
        first, other = write(tmp_path / f"a{end}", grey(1)), write(tmp_path / f"b{end}", grey(2))
        moved = tmp_path / "moved" / f"c{end}"
        moved.parent.mkdir(exist_ok=True)
        moved.write_bytes(first.read_bytes())
        assert fingerprint(first) == fingerprint(moved) != fingerprint(other)
    assert fingerprint(tmp_path / "gone.nii") == ""


def test_fingerprint_sees_one_voxel_of_a_large_archive(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 900, (80, 80, 80)).astype(np.int16)
    before = fingerprint(write(tmp_path / "a.nii.gz", values))
    values[40, 40, 40] += 1
    assert fingerprint(write(tmp_path / "a.nii.gz", values)) != before


def test_fingerprint_of_a_pair_is_that_of_both_files(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(grey(), np.eye(4)), tmp_path / "a.img")
    before = fingerprint(tmp_path / "a.img")
    assert fingerprint(tmp_path / "a.hdr") == before
    nib.save(nib.Nifti1Pair(grey(), np.diag([2, 2, 2, 1])), tmp_path / "a.img")
    assert fingerprint(tmp_path / "a.img") != before


def test_a_mask_says_whose_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii.gz", grey())
    scan = open_scan(path)
    for end in (".nii", ".nii.gz"):
        save_mask(tmp_path / f"m{end}", ball(1), scan, fingerprint(path))
        assert made_for(tmp_path / f"m{end}") == fingerprint(path)
    save_mask(tmp_path / "n.nii.gz", ball(1), scan)
    assert made_for(tmp_path / "n.nii.gz") == ""
    assert made_for(path) is None
