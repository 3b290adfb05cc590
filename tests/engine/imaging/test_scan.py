from __future__ import annotations

import gzip
import pickle
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_singlestrip.engine.imaging.scan import open_scan
from napari_singlestrip.engine.imaging.volume import load_mask, save_mask
from napari_singlestrip.errors import UserError

AFFINE = np.array([[-1.0, 0, 0, 30], [0, 0, 2.0, -20], [0, 1.5, 0, 5], [0, 0, 0, 1]])


def values(*shape: int, dtype: Any = np.int16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 100, shape or (6, 7, 8)).astype(dtype)


def read(path: Path) -> Any:
    return nib.load(path)


def write(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE, cls: Any = None) -> Path:
    nib.save((cls or nib.Nifti1Image)(data, affine), path)
    return path


def patch(path: Path, field: str, value: Any) -> Path:
    """Change one field of the header of an uncompressed NIfTI-1 file."""
    content = bytearray(path.read_bytes())
    header = np.frombuffer(content, nib.Nifti1Header.template_dtype, count=1)
    header[0][field] = value
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("a.nii", nib.Nifti1Image),
        ("a.nii.gz", nib.Nifti1Image),
        ("b.nii.gz", nib.Nifti2Image),
        ("a.mgh", nib.MGHImage),
        ("a.mgz", nib.MGHImage),
        ("pair.img", nib.Nifti1Pair),
        ("pair.hdr", nib.Nifti1Pair),
        ("spm.img", nib.Spm2AnalyzeImage),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_formats_and_types(tmp_path: Path, name: str, cls: Any, dtype: Any) -> None:
    data = values(dtype=dtype)
    affine = np.diag([-2.0, 2, 3, 1]) if name == "spm.img" else AFFINE
    path = write(tmp_path / name, data, affine, cls)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    scan = open_scan(path)
    volume = scan.load()
    assert volume.data.dtype == np.float32
    np.testing.assert_array_equal(volume.data, data)
    assert scan.grid.same_as(volume.grid)
    assert scan.name == name.split(".")[0]
    assert scan.dtype.newbyteorder("=") == dtype
    expected = read(path).affine if name == "spm.img" else AFFINE
    np.testing.assert_allclose(scan.grid.affine, expected, atol=1e-5)
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("dtype", [">i2", "<u2", ">f8", "<i8", "<f4"])
def test_byte_orders_and_scaling_agree_with_nibabel(tmp_path: Path, dtype: str) -> None:
    header = nib.Nifti1Header(endianness=dtype[0])
    header.set_data_dtype(np.dtype(dtype))
    image = nib.Nifti1Image(values(dtype=dtype), AFFINE, header)
    image.header.set_slope_inter(0.25, -3)
    nib.save(image, tmp_path / "a.nii.gz")
    expected = read(tmp_path / "a.nii.gz").get_fdata()
    np.testing.assert_allclose(open_scan(tmp_path / "a.nii.gz").load().data, expected, rtol=1e-6)


def test_a_scan_travels_to_another_process(tmp_path: Path) -> None:
    scan = open_scan(write(tmp_path / "a.nii.gz", values()))
    copy = pickle.loads(pickle.dumps(scan))
    np.testing.assert_array_equal(copy.load().data, scan.load().data)


def test_four_dimensions_become_three(tmp_path: Path) -> None:
    data = values(6, 7, 8, 5)
    scan = open_scan(write(tmp_path / "a.nii.gz", data))
    assert (scan.grid.shape, scan.frames) == ((6, 7, 8), 5)
    assert "4D: mean of 5 frames" in scan.notes
    np.testing.assert_allclose(scan.load().data, data.mean(axis=-1), rtol=1e-6)
    for shape in ((6, 7, 8, 1), (6, 7, 8, 1, 1)):
        one = open_scan(write(tmp_path / "b.nii", values(*shape)))
        assert (one.load().data.shape, one.frames, one.notes) == ((6, 7, 8), 1, ())


def test_notes_about_position(tmp_path: Path) -> None:
    turn = nib.affines.from_matvec(nib.eulerangles.euler2mat(z=np.deg2rad(8)))
    scan = open_scan(write(tmp_path / "a.nii", values(), turn @ AFFINE))
    assert scan.notes == ("8 degrees oblique",)
    lost = patch(patch(write(tmp_path / "b.nii", values()), "sform_code", 0), "qform_code", 0)
    assert any("no orientation" in note for note in open_scan(lost).notes)
    analyze = write(tmp_path / "c.img", values(), np.diag([1.0, 1, 1, 1]), nib.AnalyzeImage)
    assert any("left and right" in note for note in open_scan(analyze).notes)


def test_some_nan_and_inf_are_replaced_with_a_note(tmp_path: Path) -> None:
    data = values(dtype=np.float32) + 1
    data[0, 0, :3] = np.nan, np.inf, -np.inf
    volume = open_scan(write(tmp_path / "a.nii", data)).load()
    finite = data[np.isfinite(data)]
    assert volume.data[0, 0, :3].tolist() == [finite.min(), finite.max(), finite.min()]
    assert "3 values were NaN or inf" in volume.notes[0]


def rgb(shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros(shape, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (values(6, 7), "single slice"),
        (values(6, 7, 1), "single slice"),
        (values(1, 7, 6), "single slice"),
        (values(6, 7, 8, 2, 3), "5 dimensions"),
        (values(6, 7, 8, 1, 3), "5 dimensions"),
        (rgb((6, 7, 8)), "colour"),
        (values(dtype=np.complex64), "complex64"),
        (np.zeros((6, 7, 0), np.int16), "empty"),
    ],
)
def test_what_is_not_a_volume_is_refused_at_opening(
    tmp_path: Path, data: np.ndarray, words: str
) -> None:
    path = write(tmp_path / "some.nii", data)
    with pytest.raises(UserError, match=words) as caught:
        open_scan(path)
    assert "some.nii" in caught.value.what
    assert caught.value.hint


@pytest.mark.parametrize(
    ("value", "words"), [(0, "empty.*0"), (7, "empty.*7"), (np.nan, "no finite value")]
)
def test_volumes_without_a_picture_are_refused_at_loading(
    tmp_path: Path, value: float, words: str
) -> None:
    scan = open_scan(write(tmp_path / "some.nii", np.full((6, 7, 8), value, np.float32)))
    with pytest.raises(UserError, match=words):
        scan.load()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("srow_x", 0, "voxel size of zero"),
        ("srow_x", np.nan, "NaN"),
        ("srow_y", np.inf, "NaN or inf"),
    ],
)
def test_unusable_positions(tmp_path: Path, field: str, value: Any, words: str) -> None:
    path = patch(write(tmp_path / "some.nii", values()), field, value)
    with pytest.raises(UserError, match=words):
        open_scan(path)


def test_axes_in_one_plane(tmp_path: Path) -> None:
    path = write(tmp_path / "some.nii", values())
    for field, row in (
        ("srow_x", [1, 1, 1, 0]),
        ("srow_y", [1, 1, 1, 0]),
        ("srow_z", [1, 2, 3, 0]),
    ):
        patch(path, field, row)
    with pytest.raises(UserError, match="singular"):
        open_scan(path)


def test_a_voxel_size_of_zero_or_nan(tmp_path: Path) -> None:
    for size in (0.0, np.nan):
        path = patch(write(tmp_path / "some.nii", values()), "sform_code", 0)
        path = patch(path, "pixdim", [1, 1, size, 1, 0, 0, 0, 0])
        with pytest.raises(UserError, match=r"some\.nii .*(zero|NaN)"):
            open_scan(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mgh", "a.mgz", "a.img"])
@pytest.mark.parametrize("part", [0.3, 0.9, 0.99])
def test_truncated_files(tmp_path: Path, name: str, part: float) -> None:
    cls = {"mg": nib.MGHImage, "im": nib.Nifti1Pair}.get(name[2:4], nib.Nifti1Image)
    path = write(tmp_path / name, values(30, 30, 30, dtype=np.float32), cls=cls)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(UserError, match=rf"a\.{name[2:4]}.* (damaged|truncated)"):
        open_scan(path).load()


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9, 0.9999])
def test_a_flipped_byte_in_the_middle_of_gzip(tmp_path: Path, place: float) -> None:
    path = write(tmp_path / "a.nii.gz", values(30, 30, 30))
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 0x55
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.nii\.gz is damaged"):
        open_scan(path).load()


def test_a_missing_half_of_a_pair(tmp_path: Path) -> None:
    path = write(tmp_path / "a.img", values(), cls=nib.Nifti1Pair)
    path.with_suffix(".hdr").rename(tmp_path / "b.hdr")
    with pytest.raises(UserError, match=r"a\.(img|hdr)"):
        open_scan(path)
    with pytest.raises(UserError, match=r"b\.(img|hdr)"):
        open_scan(tmp_path / "b.hdr")


def test_content_of_another_format(tmp_path: Path) -> None:
    mgh = write(tmp_path / "a.mgh", values(), cls=nib.MGHImage)
    with pytest.raises(UserError, match=r"b\.nii is damaged, or not what"):
        open_scan(mgh.rename(tmp_path / "b.nii"))
    (tmp_path / "c.nii.gz").write_bytes(gzip.compress(b"just some text" * 100))
    with pytest.raises(UserError, match=r"c\.nii\.gz is damaged, or not what"):
        open_scan(tmp_path / "c.nii.gz")


def test_an_unreadable_file_or_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.nii", values())
    with pytest.raises(UserError, match="is a folder"):
        open_scan(tmp_path)

    def deny(*args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "denied", str(path))

    # Root may read everything, so modes cannot test this.
    monkeypatch.setattr("napari_singlestrip.files.atomic.os.open", deny)
    with pytest.raises(UserError, match="may not read"):
        open_scan(path)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(position=st.integers(0, 539), byte=st.integers(0, 255), length=st.integers(1, 4))
@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("a.nii", nib.Nifti1Image),
        ("a2.nii", nib.Nifti2Image),
        ("a.mgh", nib.MGHImage),
        ("a.img", nib.Nifti1Pair),
        ("a3.img", nib.Spm2AnalyzeImage),
    ],
)
def test_any_damage_to_a_header_is_a_user_error_or_harmless(
    tmp_path: Path, name: str, cls: Any, position: int, byte: int, length: int
) -> None:
    path = write(tmp_path / name, values(), np.diag([-2.0, 2, 3, 1]), cls)
    damaged = path.with_suffix(".hdr") if path.suffix == ".img" else path
    content = bytearray(damaged.read_bytes())
    content[position : position + length] = bytes([byte] * length)
    damaged.write_bytes(content)
    try:
        scan = open_scan(path)
        assert np.isfinite(scan.load().data).all()
        mask = np.zeros(scan.grid.shape, bool)
        mask[0, 0, 0] = True
        save_mask(tmp_path / "mask.nii", mask, scan)
        np.testing.assert_array_equal(load_mask(tmp_path / "mask.nii", scan), mask)
        assert np.isfinite(read(tmp_path / "mask.nii").affine).all() or name.endswith(".nii")
    except UserError as error:
        assert path.stem in error.what
