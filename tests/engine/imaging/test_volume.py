from __future__ import annotations

import errno
import gzip
import itertools
import tracemalloc
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip.engine.imaging.volume import (
    load_marks,
    load_mask,
    open_scan,
    save_brain,
    save_map,
    save_marks,
    save_mask,
)
from napari_singlestrip.errors import UserError

SHAPE = (6, 7, 8)
TURN = nib.eulerangles.euler2mat(0.2, -0.1, 0.15)
OBLIQUE = nib.affines.from_matvec(TURN @ np.diag([0.9, 0.9, 5.5]), [-50, 20.25, 7])


def values(*shape: int, dtype: Any = np.int16) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 100, shape or SHAPE).astype(dtype)


def blob(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[1:4, 2:5, 3:7] = True
    mask[1, 2, 3] = False  # no symmetry: any flip or swap shows
    return mask


def read(path: Path) -> Any:
    return nib.load(path)


def write(path: Path, data: np.ndarray, affine: np.ndarray = OBLIQUE, cls: Any = None) -> Path:
    nib.save((cls or nib.Nifti1Image)(data, affine), path)
    return path


@pytest.fixture
def scan_path(tmp_path: Path) -> Path:
    return write(tmp_path / "scan.nii.gz", values())


def test_a_mask_goes_out_and_comes_back(tmp_path: Path, scan_path: Path) -> None:
    scan = open_scan(scan_path)
    for name in ("m.nii", "m.nii.gz"):
        save_mask(tmp_path / name, blob(), scan)
        np.testing.assert_array_equal(load_mask(tmp_path / name, scan), blob())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.nii", "m.nii.gz", "scan.nii.gz"]


@pytest.mark.parametrize(("sform", "qform"), [(1, 1), (4, 1), (0, 3), (2, 0), (0, 0)])
@pytest.mark.parametrize("cls", [nib.Nifti1Image, nib.Nifti2Image, nib.Nifti1Pair])
def test_a_mask_has_the_scans_header(tmp_path: Path, sform: int, qform: int, cls: Any) -> None:
    image = cls(values(), None)
    image.header.set_sform(OBLIQUE + np.eye(4, k=3), sform)
    image.header.set_qform(OBLIQUE, qform)
    image.header.set_xyzt_units("mm", "sec")
    path = tmp_path / ("scan.img" if cls is nib.Nifti1Pair else "scan.nii")
    nib.save(image, path)
    save_mask(tmp_path / "mask.nii.gz", blob(), open_scan(path))
    mask, scan = read(tmp_path / "mask.nii.gz"), read(path)
    np.testing.assert_array_equal(mask.affine, scan.affine)
    for name in ("sform_code", "qform_code", "xyzt_units", "srow_x", "quatern_b", "qoffset_z"):
        assert mask.header[name] == pytest.approx(scan.header[name], abs=0), name
    np.testing.assert_array_equal(mask.header["pixdim"][:4], scan.header["pixdim"][:4])
    assert mask.get_data_dtype() == np.uint8
    assert mask.header.get_slope_inter() in ((1, 0), (None, None))
    assert type(mask) is (nib.Nifti2Image if cls is nib.Nifti2Image else nib.Nifti1Image)
    np.testing.assert_array_equal(np.asarray(mask.dataobj), blob())


@pytest.mark.parametrize(
    ("name", "orientation"),
    [
        ("scan.img", "LAS"),  # Analyze stores no other
        *itertools.product(
            ["scan.mgz", "scan.nii"], map("".join, itertools.product("RL", "AP", "SI"))
        ),
    ],
)
def test_masks_of_every_format_lie_where_the_scan_lies(
    tmp_path: Path, name: str, orientation: str
) -> None:
    signs = [1 if c in "RAS" else -1 for c in orientation]
    affine = np.diag([*np.multiply(signs, (1.0, 2.0, 3.0)), 1.0])
    classes = {"scan.mgz": nib.MGHImage, "scan.img": nib.Spm99AnalyzeImage}
    scan = open_scan(write(tmp_path / name, values(), affine, classes.get(name)))
    save_mask(tmp_path / "mask.nii.gz", blob(), scan)
    mask = read(tmp_path / "mask.nii.gz")
    np.testing.assert_allclose(mask.affine, scan.grid.affine, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(mask.dataobj), blob())


def test_private_header_fields_stay_behind(tmp_path: Path) -> None:
    image = nib.Nifti1Image(values(), OBLIQUE)
    for name in ("descrip", "aux_file", "db_name", "intent_name"):
        image.header[name] = b"Jane Doe"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Jane Doe, 1970"))
    nib.save(image, tmp_path / "scan.nii")
    scan = open_scan(tmp_path / "scan.nii")
    save_mask(tmp_path / "mask.nii", blob(), scan)
    save_brain(tmp_path / "brain.nii", blob(), scan)
    for name in ("mask.nii", "brain.nii"):
        assert b"Jane" not in (tmp_path / name).read_bytes()


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)))
def test_a_mask_with_other_axes_is_turned(
    tmp_path: Path, scan_path: Path, axes: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    image = nib.Nifti1Image(blob().astype(np.uint8), OBLIQUE)
    turned = image.as_reoriented(np.array(list(zip(axes, signs, strict=True))))
    nib.save(turned, tmp_path / "mask.nii")
    np.testing.assert_array_equal(load_mask(tmp_path / "mask.nii", open_scan(scan_path)), blob())


@pytest.mark.parametrize(
    ("data", "affine", "words"),
    [
        (blob((6, 7, 9)), OBLIQUE, "another grid"),
        (blob(), OBLIQUE + np.eye(4, k=3), "another grid.*first voxel at"),
        (blob(), OBLIQUE @ np.diag([2, 1, 1, 1]), "another grid"),
        (blob(), np.diag([0.9, 0.9, 5.5, 1]), "another grid"),
        (blob() * 0, OBLIQUE, "empty"),
        (blob() * 0.4, OBLIQUE, "empty"),
        (blob() * 0 + 1, OBLIQUE, "every voxel"),
        (np.where(blob(), 1, np.nan), OBLIQUE, "NaN"),
        (np.where(blob(), np.inf, 0), OBLIQUE, "NaN or inf"),
        (np.stack([blob()] * 3, axis=-1), OBLIQUE, "3 frames"),
        (blob()[..., 0], OBLIQUE, "single slice"),
    ],
)
def test_masks_that_do_not_fit_are_refused(
    tmp_path: Path, scan_path: Path, data: np.ndarray, affine: np.ndarray, words: str
) -> None:
    path = write(tmp_path / "mine.nii.gz", data.astype(np.float32), affine)
    with pytest.raises(UserError, match=words) as caught:
        load_mask(path, open_scan(scan_path))
    assert "mine.nii.gz" in caught.value.what
    assert caught.value.hint


def test_a_mask_of_whole_numbers_is_read_without_a_copy_as_floats(tmp_path: Path) -> None:
    mask = np.zeros((96, 96, 96), bool)
    mask[20:60, 30:70, 10:50] = True
    scan = open_scan(write(tmp_path / "scan.nii", values(*mask.shape)))
    save_mask(tmp_path / "mask.nii", mask, like=scan)
    tracemalloc.start()
    found = load_mask(tmp_path / "mask.nii", like=scan)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.array_equal(found, mask)
    assert peak < 3 * mask.size


def test_labels_and_soft_masks_count_above_a_half(tmp_path: Path, scan_path: Path) -> None:
    labels = np.where(blob(), 41, 0.5).astype(np.float32)
    mask = load_mask(write(tmp_path / "labels.nii", labels), open_scan(scan_path))
    np.testing.assert_array_equal(mask, blob())


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "u1", "<u2", "<f4", "<f8", "<i4"])
@pytest.mark.parametrize("scaling", [(1, 0), (0.25, 0), (2, -6), (0.5, 0.3)])
def test_a_brain_keeps_type_and_values(
    tmp_path: Path, dtype: str, scaling: tuple[float, float]
) -> None:
    header = nib.Nifti1Header(endianness=">" if dtype[0] == ">" else "<")
    header.set_data_dtype(np.dtype(dtype))
    image = nib.Nifti1Image(values(dtype=dtype), OBLIQUE, header)
    image.header.set_slope_inter(*scaling)
    nib.save(image, tmp_path / "scan.nii.gz")
    scan = open_scan(tmp_path / "scan.nii.gz")
    save_brain(tmp_path / "brain.nii.gz", blob(), scan)
    brain, original = read(tmp_path / "brain.nii.gz"), read(tmp_path / "scan.nii.gz")
    assert (np.asarray(brain.dataobj)[~blob()] == 0).all()
    np.testing.assert_allclose(
        np.asarray(brain.dataobj)[blob()], np.asarray(original.dataobj)[blob()], rtol=1e-6
    )
    np.testing.assert_array_equal(brain.affine, original.affine)
    if scaling != (0.5, 0.3):  # an offset that integers cannot undo exactly
        assert brain.get_data_dtype().newbyteorder("=") == np.dtype(dtype).newbyteorder("=")
        np.testing.assert_array_equal(
            np.asarray(brain.dataobj)[blob()], np.asarray(original.dataobj)[blob()]
        )


@pytest.mark.parametrize("extra", [(5,), (1,), (1, 1)])
def test_all_frames_of_a_4d_scan_are_stripped(tmp_path: Path, extra: tuple[int, ...]) -> None:
    data = values(*SHAPE, *extra)
    image = nib.Nifti1Image(data, OBLIQUE)
    image.header["pixdim"][4] = 2.5
    nib.save(image, tmp_path / "scan.nii")
    save_brain(tmp_path / "brain.nii.gz", blob(), open_scan(tmp_path / "scan.nii"))
    brain = read(tmp_path / "brain.nii.gz")
    expected = data * blob().reshape(*SHAPE, *[1] * len(extra))
    np.testing.assert_array_equal(np.asarray(brain.dataobj), expected)
    assert brain.header["pixdim"][4] == 2.5


def test_a_map_keeps_its_values(tmp_path: Path, scan_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    save_map(tmp_path / "map.nii.gz", numbers, open_scan(scan_path))
    image = read(tmp_path / "map.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), numbers)
    assert image.get_data_dtype() == np.float32


def test_nothing_writes_over_the_scan_or_another_format(tmp_path: Path, scan_path: Path) -> None:
    scan = open_scan(scan_path)
    before = scan_path.read_bytes()
    for save in (save_mask, save_brain, save_map):
        with pytest.raises(UserError, match="the scan itself"):
            save(tmp_path / "sub" / ".." / "scan.nii.gz", blob(), scan)
        with pytest.raises(UserError, match=r"ends in \.nii\.gz"):
            save(tmp_path / "mask.png", blob(), scan)
        with pytest.raises(ValueError, match="shape"):
            save(tmp_path / "mask.nii", blob((6, 7, 9)), scan)
    assert scan_path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [scan_path]


def test_a_full_disk_leaves_the_old_mask(
    tmp_path: Path, scan_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = open_scan(scan_path)
    save_mask(tmp_path / "mask.nii.gz", blob(), scan)
    before = (tmp_path / "mask.nii.gz").read_bytes()

    def full(self: Path, content: bytes) -> None:
        with self.open("wb") as file:
            file.write(content[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"mask\.nii\.gz .*disk is full"):
        save_mask(tmp_path / "mask.nii.gz", ~blob(), scan)
    assert (tmp_path / "mask.nii.gz").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_equal_masks_are_equal_files(tmp_path: Path, scan_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        save_mask(tmp_path / name, blob(), open_scan(scan_path))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.nii.gz").read_bytes())[344:347] == b"n+1"


def test_marks_come_back_as_they_were(tmp_path: Path) -> None:
    ones = np.ones((5, 6, 7), np.float32)
    nib.save(nib.Nifti1Image(ones, np.eye(4)), tmp_path / "scan.nii.gz")
    scan = open_scan(tmp_path / "scan.nii.gz")
    marks = np.random.default_rng(0).integers(0, 3, (5, 6, 7)).astype(np.uint8)
    save_marks(tmp_path / "marks.nii.gz", marks, like=scan)
    assert np.array_equal(load_marks(tmp_path / "marks.nii.gz", like=scan), marks)
    save_map(tmp_path / "map.nii.gz", marks, like=scan)
    with pytest.raises(UserError, match="damaged"):
        load_marks(tmp_path / "map.nii.gz", like=scan)
