"""NRRD files lie where 3D Slicer shows them, and what cannot be read is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip.engine.imaging.scan_search import find_scans
from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_mask
from napari_singlestrip.errors import UserError

nrrd = pytest.importorskip("nrrd", reason="pynrrd is not installed")
VALUES = np.random.default_rng(0).integers(-5, 900, (7, 8, 9)).astype(np.int16)
AFFINE = np.array([[0.0, 0, 2, -10], [-1.5, 0, 0, 20], [0, 1, 0, -5], [0, 0, 0, 1]])


def header(**changes: Any) -> dict[str, Any]:
    """As 3D Slicer writes it: LPS, a row for each axis."""
    to_lps = np.diag([-1.0, -1.0, 1.0])
    return {
        "space": "left-posterior-superior", "kinds": ["domain"] * 3, "encoding": "gzip",
        "space directions": (to_lps @ AFFINE[:3, :3]).T, "space origin": to_lps @ AFFINE[:3, 3],
        **changes,
    }  # fmt: skip


def write(path: Path, values: Any = VALUES, **changes: Any) -> Path:
    nrrd.write(str(path), values, header(**changes))
    return path


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize("dtype", ["int16", "uint8", "float32", ">i2"])
def test_values_and_place_are_those_of_the_same_nifti(
    tmp_path: Path, encoding: str, dtype: str
) -> None:
    values = np.abs(VALUES).astype(dtype)
    scan = open_scan(write(tmp_path / "a.nrrd", values, encoding=encoding))
    nib.save(nib.Nifti1Image(values, AFFINE), tmp_path / "a.nii.gz")
    same = open_scan(tmp_path / "a.nii.gz")
    assert scan.name == "a"
    assert scan.grid.same_as(same.grid)
    assert np.array_equal(scan.read_float(), same.read_float())


def test_other_spaces_are_turned(tmp_path: Path) -> None:
    ras = {"space": "RAS", "space directions": AFFINE[:3, :3].T, "space origin": AFFINE[:3, 3]}
    one, other = write(tmp_path / "a.nrrd", **ras), write(tmp_path / "b.nrrd")
    assert open_scan(one).grid.same_as(open_scan(other).grid)


def test_masks_are_read_and_results_are_nifti(tmp_path: Path) -> None:
    scan = open_scan(write(tmp_path / "a.nrrd"))
    marked = np.zeros(VALUES.shape, np.uint8)
    marked[2:5, 2:6, 3:7] = 1
    mask = load_mask(write(tmp_path / "mask.nrrd", marked), like=scan)
    assert np.array_equal(mask, marked > 0)
    save_mask(tmp_path / "out.nii.gz", mask, scan)
    assert np.allclose(nib.load(tmp_path / "out.nii.gz").affine, AFFINE)  # type: ignore[attr-defined]


def segments(*names: str) -> dict[str, str]:
    """Fields that 3D Slicer adds for segments."""
    fields = {"Segmentation_MasterRepresentation": "Binary labelmap"}
    for n, name in enumerate(names):
        fields |= {f"Segment{n}_ID": f"Segment_{n + 1}", f"Segment{n}_Name": name}
    return fields


def test_a_segmentation_is_a_mask_as_long_as_it_has_one_segment(tmp_path: Path) -> None:
    scan = open_scan(write(tmp_path / "a.nrrd"))
    marked = np.zeros(VALUES.shape, np.uint8)
    marked[2:5, 2:6, 3:7] = 1
    one = write(tmp_path / "a.seg.nrrd", marked, **segments("brain"))
    assert np.array_equal(load_mask(one, like=scan), marked > 0)
    marked[0] = 2
    two = write(tmp_path / "two.seg.nrrd", marked, **segments("brain", "skull"))
    with pytest.raises(UserError, match=r"two\.seg\.nrrd has 2 segments: brain, skull"):
        load_mask(two, like=scan)


def test_segmentations_beside_scans_are_no_scans(tmp_path: Path) -> None:
    scan = write(tmp_path / "a.nrrd")
    write(tmp_path / "Segmentation.seg.nrrd", **segments("brain", "skull"))
    assert find_scans([tmp_path]) == [scan]


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_cut_file_is_told(tmp_path: Path, share: float) -> None:
    path = write(tmp_path / "a.nrrd")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UserError, match=r"a\.nrrd"):
        open_scan(path).load()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"encoding: gzip", b"encoding: bz2", "encoding bz2"),
        (b"type: int16", b"type: block", "type block"),
        (b"space: left-posterior-superior\n", b"", "no position in space"),
        (b"sizes: 7 8 9", b"sizes: 7 8 x", "cannot be read"),
        (b"sizes: 7 8 9", b"sizes: 70000 80000 9", "too large"),
        (b"encoding: gzip", b"data file: ../x.raw\nencoding: gzip", "another file"),
        (b"NRRD000", b"NOTHING", "NRRD"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told(tmp_path: Path, old: bytes, new: bytes, words: str) -> None:
    path = write(tmp_path / "a.nrrd")
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    with pytest.raises(UserError, match=words):
        open_scan(path).load()
