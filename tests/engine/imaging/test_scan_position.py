"""Where voxels lie: the right values for headers that programs read differently."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import scipy

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_brain, save_mask
from napari_singlestrip.errors import UserError

SHAPE = (40, 48, 36)
TURN = nib.eulerangles.euler2mat(0.2, -0.1, 0.15)
AFFINE = nib.affines.from_matvec(TURN @ np.diag([5.0, 4.0, 5.5]), [-90, -80.25, -70])
Change = Callable[[Any], None]


def scan_file(
    folder: Path, change: Change, affine: np.ndarray = AFFINE, kind: Any = nib.Nifti1Header
) -> Path:
    """A head-sized scan whose header is changed as told, with no library's opinion of it."""
    header = kind()
    header.set_data_shape(SHAPE)
    header.set_data_dtype(np.int16)
    header.set_qform(affine, 1)
    header.set_sform(affine, 1)
    header.set_xyzt_units("mm")
    header["vox_offset"], header["scl_slope"] = header.sizeof_hdr + 4, 1
    change(header)
    values = np.random.default_rng(0).integers(1, 500, SHAPE).astype(np.int16)
    path = folder / "scan.nii"
    path.write_bytes(header.binaryblock + bytes(4) + values.tobytes("F"))
    return path


def blob() -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[3:9, 10:30, 4:20] = True
    return mask


def notes(path: Path) -> str:
    return " | ".join(open_scan(path).notes)


def scaled(affine: np.ndarray, factor: float) -> np.ndarray:
    return np.diag([factor, factor, factor, 1]) @ affine


def to_unit(factor: float, unit: str) -> Change:
    def change(header: Any) -> None:
        header.set_qform(scaled(AFFINE, factor), 1)
        header.set_sform(scaled(AFFINE, factor), 1)
        header.set_xyzt_units(unit, "sec")

    return change


@pytest.mark.parametrize(
    ("factor", "unit", "words"),
    [
        (1, "mm", ""),
        (1, "unknown", ""),
        (1000, "micron", "micrometres in its header: 5000 x 4000 x 5500 um taken as 5 x 4 x 5.5"),
        (0.001, "meter", "metres in its header: 0.005 x 0.004 x 0.0055 m taken as 5 x 4 x 5.5 mm"),
        (1, "meter", "metres in its header, a field of view of .*cannot be; 5 x 4 x 5.5 mm taken"),
        (1, "micron", "micrometres in its header, a field of view of .*cannot be"),
        (1000, "unknown", "no unit in its header.*cannot be; 5 x 4 x 5.5 mm taken"),
        (1000, "mm", "millimetres in its header.*cannot be"),
        (0.001, "unknown", "no unit in its header.*cannot be"),
    ],
)
@pytest.mark.parametrize("kind", [nib.Nifti1Header, nib.Nifti2Header])
def test_units(tmp_path: Path, factor: float, unit: str, words: str, kind: Any) -> None:
    path = scan_file(tmp_path, to_unit(factor, unit), kind=kind)
    scan = open_scan(path)
    np.testing.assert_allclose(scan.grid.affine, AFFINE, rtol=1e-5, atol=1e-4)
    assert scan.grid.voxel_ml == pytest.approx(0.11, rel=1e-4)
    told = [note for note in scan.notes if "oblique" not in note]
    assert bool(told) == bool(words)
    assert re.search(words, " ".join(told))
    check_results(tmp_path, path)


def check_results(folder: Path, path: Path) -> None:
    """A mask and a brain lie, for nibabel and for us, where the scan lies."""
    scan = open_scan(path)
    stored: Any = nib.load(path)
    save_mask(folder / "mask.nii.gz", blob(), scan)
    save_brain(folder / "brain.nii.gz", blob(), scan)
    for name in ("mask.nii.gz", "brain.nii.gz"):
        image: Any = nib.load(folder / name)
        np.testing.assert_array_equal(image.affine, stored.affine)
        assert image.header["xyzt_units"] == scan.header["xyzt_units"]
        assert open_scan(folder / name).grid.same_as(scan.grid)
    np.testing.assert_array_equal(load_mask(folder / "mask.nii.gz", scan), blob())


def test_masks_that_other_programs_wrote_for_a_scan_in_micrometres(tmp_path: Path) -> None:
    scan = open_scan(scan_file(tmp_path, to_unit(1000, "micron")))
    in_mm = nib.Nifti1Image(blob().astype(np.uint8), AFFINE)  # as ITK and ANTs write
    in_mm.header.set_xyzt_units("mm")
    as_stored = nib.Nifti1Image(blob().astype(np.uint8), scaled(AFFINE, 1000))  # with nibabel
    for image in (in_mm, as_stored):
        nib.save(image, tmp_path / "mask.nii")
        np.testing.assert_array_equal(load_mask(tmp_path / "mask.nii", scan), blob())


def test_a_mouse_in_micrometres_stays_one(tmp_path: Path) -> None:
    path = scan_file(tmp_path, to_unit(100, "micron"))
    assert open_scan(path).grid.spacing == pytest.approx((0.5, 0.4, 0.55))


def sizes(sform: float, qform: float | None) -> Change:
    """Scale what the forms say; None leaves the voxel size alone, without a qform."""

    def change(header: Any) -> None:
        header.set_sform(scaled(AFFINE, sform), 2)
        if qform is None:
            header["qform_code"] = 0
        else:
            header.set_qform(scaled(AFFINE, qform), 1)

    return change


@pytest.mark.parametrize(
    ("sform", "qform", "factor", "taken"),
    [
        (0.5, 1, 1, "qform"),
        (2, 1, 1, "qform"),
        (1, 0.5, 1, "sform"),
        (1, 2, 1, "sform"),
        (0.5, None, 1, "voxel size"),
        (1.1, 1, 1.1, "sform"),  # both may be: as nibabel does
        (0.1, 0.2, 0.1, "sform"),  # neither is a head's: as nibabel does
        (1000, 1, 1, "qform"),
    ],
)
def test_two_voxel_sizes(
    tmp_path: Path, sform: float, qform: float | None, factor: float, taken: str
) -> None:
    path = scan_file(tmp_path, sizes(sform, qform))
    scan = open_scan(path)
    expected = np.array([5, 4, 5.5]) * factor
    np.testing.assert_allclose(scan.grid.spacing, expected, rtol=1e-4)
    assert "two voxel sizes" in notes(path)
    assert f"that of the {taken} taken" in notes(path)
    assert scan.grid.voxel_ml == pytest.approx(0.11 * factor**3, rel=1e-4)
    check_results(tmp_path, path)


def test_a_mask_on_the_other_of_two_voxel_sizes(tmp_path: Path) -> None:
    scan = open_scan(scan_file(tmp_path, sizes(0.5, 1)))
    nib.save(nib.Nifti1Image(blob().astype(np.uint8), scaled(AFFINE, 0.5)), tmp_path / "m.nii")
    np.testing.assert_array_equal(load_mask(tmp_path / "m.nii", scan), blob())
    nib.save(nib.Nifti1Image(blob().astype(np.uint8), scaled(AFFINE, 0.7)), tmp_path / "m.nii")
    with pytest.raises(UserError, match="another grid"):
        load_mask(tmp_path / "m.nii", scan)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (AFFINE @ np.diag([-1, 1, 1, 1]), "contradict in handedness: sform taken"),
        (nib.affines.from_matvec(nib.eulerangles.euler2mat(0.3)) @ AFFINE, "turned by 17 degrees"),
        (AFFINE @ np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "two voxel"),
        (AFFINE + 12 * np.eye(4, k=3), "lie 12 mm apart: sform taken"),
        (AFFINE + 1e-4, ""),
        (AFFINE @ np.diag([1.0005, 1, 1, 1]), ""),
    ],
)
def test_forms_that_disagree_otherwise(tmp_path: Path, other: np.ndarray, words: str) -> None:
    path = scan_file(tmp_path, lambda header: header.set_qform(other, 1))
    np.testing.assert_allclose(open_scan(path).grid.affine, AFFINE, rtol=1e-5)
    assert words in notes(path)
    assert words or notes(path).endswith("degrees oblique")
    check_results(tmp_path, path)


def set_fields(**fields: Any) -> Change:
    def change(header: Any) -> None:
        for name, value in fields.items():
            header[name] = value

    return change


NO_SFORM = {"srow_x": 0, "srow_y": 0, "srow_z": 0}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (NO_SFORM, "its sform is no position.*qform taken"),
        ({"srow_y": np.nan}, "its sform is no position.*qform taken"),
        ({"srow_x": [1, 1, 1, 0], "srow_y": [2, 2, 2, 0]}, "its sform is no position"),
        ({"pixdim": [1, 0, 4, 5.5, 0, 0, 0, 0]}, "no voxel size in its header.*sform"),
        ({"pixdim": [1, np.nan, 4, 5.5, 0, 0, 0, 0]}, "no voxel size in its header.*sform"),
        ({"qform_code": 0, "quatern_b": np.nan, "qoffset_x": np.inf}, ""),
        ({"quatern_b": np.nan}, ""),
        ({"sform_code": 9}, "sform_code 9 is unknown: sform not ignored"),
        ({"sform_code": 0, "qform_code": 9}, "qform_code 9 is unknown: qform not ignored"),
        ({"sform_code": -2}, ""),
        ({"pixdim": [1, -5, -4, -5.5, 0, 0, 0, 0]}, ""),
        ({"pixdim": [0, 5, 4, 5.5, 0, 0, 0, 0]}, ""),
        ({"pixdim": [np.nan, 5, 4, 5.5, 0, 0, 0, 0]}, ""),
    ],
)
def test_fields_that_cannot_be_used(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    path = scan_file(tmp_path, set_fields(**fields))
    scan = open_scan(path)
    np.testing.assert_allclose(scan.grid.affine, AFFINE, rtol=1e-4, atol=1e-4)
    assert re.search(words, notes(path))
    save_mask(tmp_path / "mask.nii.gz", blob(), scan)
    np.testing.assert_array_equal(load_mask(tmp_path / "mask.nii.gz", scan), blob())


@pytest.mark.parametrize("length", [1 + 2e-7, 1.000001, 1.001, 1.5])
def test_a_quaternion_longer_than_1_is_shortened_as_fsl_and_itk_do(
    tmp_path: Path, length: float
) -> None:
    affine = np.diag([-5.0, -4, 5.5, 1])  # turned by 180 degrees about z: d is 1

    def change(header: Any) -> None:
        header["sform_code"], header["quatern_d"] = 0, length
        header["quatern_b"], header["quatern_c"] = 3e-4 * length, 6e-4 * length

    path = scan_file(tmp_path, change, affine)
    scan = open_scan(path)
    np.testing.assert_allclose(scan.grid.affine, affine, atol=0.01)
    np.testing.assert_allclose(scan.grid.spacing, (5, 4, 5.5), rtol=1e-6)
    assert ("shortened to 1" in notes(path)) == (length > 1.0001)
    save_mask(tmp_path / "mask.nii", blob(), scan)
    image: Any = nib.load(tmp_path / "mask.nii")  # refuses the scan itself
    np.testing.assert_allclose(image.affine, scan.grid.affine, atol=1e-5)


def test_qfac_0_is_1_and_below_is_mirrored(tmp_path: Path) -> None:
    for qfac, sign in ((0, 1), (1, 1), (-1, -1), (-3, -1)):
        pixdim = [qfac, 5, 4, 5.5, 0, 0, 0, 0]
        path = scan_file(tmp_path, set_fields(sform_code=0, pixdim=pixdim))
        determinant = np.linalg.det(open_scan(path).grid.affine[:3, :3])
        assert np.sign(determinant) == sign


def test_without_codes_nibabels_position_is_taken_and_said(tmp_path: Path) -> None:
    path = scan_file(tmp_path, set_fields(sform_code=0, qform_code=0))
    scan = open_scan(path)
    stored: Any = nib.load(path)
    np.testing.assert_allclose(scan.grid.affine, stored.affine)
    assert "no orientation in its header" in notes(path)
    check_results(tmp_path, path)
    # As ITK writes a mask for it: not mirrored, from the first voxel on.
    nib.save(nib.Nifti1Image(blob().astype(np.uint8), np.diag([5, 4, 5.5, 1])), tmp_path / "m.nii")
    np.testing.assert_array_equal(load_mask(tmp_path / "m.nii", scan), blob())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"qform_code": 0, **NO_SFORM}, "voxel size of zero"),
        ({"qform_code": 0, "srow_x": np.nan}, "NaN or inf in its position"),
        ({"sform_code": 0, "quatern_c": np.nan}, "NaN or inf in its position"),
        ({"sform_code": 0, "pixdim": [1, 5, 0, 5, 0, 0, 0, 0]}, "voxel size of zero or NaN"),
        ({"sform_code": 0, "pixdim": [1, 5, 1e30, 5, 0, 0, 0, 0]}, "voxel size of no scan"),
    ],
)
def test_without_any_position_a_scan_is_refused(
    tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=rf"scan\.nii .*{words}"):
        open_scan(scan_file(tmp_path, set_fields(**fields)))


def test_a_scan_far_away_is_brought_near(tmp_path: Path) -> None:
    path = scan_file(tmp_path, set_fields(sform_code=0, qoffset_x=1e30))
    scan = open_scan(path)
    assert np.abs(scan.grid.corners()).max() < 300
    assert "from the origin" in notes(path)
    check_results(tmp_path, path)


def test_the_mat_file_of_spm(tmp_path: Path) -> None:
    path = tmp_path / "scan.img"
    nib.save(nib.Spm99AnalyzeImage(blob().astype(np.int16), AFFINE), path)
    np.testing.assert_allclose(open_scan(path).grid.affine, AFFINE, atol=1e-4)
    shifted = AFFINE.copy()
    shifted[:3, 3] -= AFFINE[:3, :3].sum(1)  # its first voxel is (1, 1, 1)
    scipy.io.savemat(path.with_suffix(".mat"), {"M": np.diag([-1, 1, 1, 1]) @ shifted})
    np.testing.assert_allclose(open_scan(path).grid.affine, AFFINE, atol=1e-4)
    path.with_suffix(".mat").write_bytes(b"no such thing")
    with pytest.raises(UserError, match=r"scan\.mat, the position of scan\.img, cannot be read"):
        open_scan(path)
