"""A model in a script: the same masks as the command's, of images and arrays in memory."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
import torch

import napari_singlestrip as ss
from napari_singlestrip.errors import UserError
from napari_singlestrip.pipeline.trained_model import export_model, in_doubt, open_model
from napari_singlestrip.study.study import Study
from napari_singlestrip.study.volumes_table import MASK_SUFFIX

if TYPE_CHECKING:
    from conftest import Heads

GRID_FIELDS = (
    "dim", "pixdim", "datatype", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d",
    "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units",
)  # fmt: skip
LAS = np.diag([-6.0, 6.0, 6.0, 1.0])


def load(path: Path) -> Any:
    return nib.load(path)  # nibabel's own types do not know of values


@pytest.fixture(scope="module")
def model(trained_study: Study) -> ss.Stripper:
    return ss.load_model(trained_study.folder, device="cpu")


@pytest.fixture(scope="module")
def head(heads: Heads) -> Any:
    return load(heads.scans[1])


def applied(study: Study, scan: Path, out: Path) -> Any:
    """The mask that the command writes."""
    list(ss.apply(study.folder, [scan], out, device="cpu"))
    (mask,) = out.glob(f"*{MASK_SUFFIX}")
    return load(mask)


def assert_same(found: Any, expected: Any) -> None:
    np.testing.assert_array_equal(found.dataobj, expected.dataobj)
    np.testing.assert_array_equal(found.affine, expected.affine)
    for field in GRID_FIELDS:
        np.testing.assert_array_equal(found.header[field], expected.header[field], field)


# --- the same as the command


def as_it_is(image: Any) -> Any:
    return image


def oblique(image: Any) -> Any:
    a, b = np.cos(0.2), np.sin(0.2)
    turn = np.array([[1, 0, 0, 3], [0, a, -b, 0], [0, b, a, 0], [0, 0, 0, 1]])
    turned = nib.Nifti1Image(np.asarray(image.dataobj), turn @ image.affine)
    turned.set_qform(turned.affine, code=1)
    turned.header.set_xyzt_units("mm", "sec")
    return turned


def turned(image: Any) -> Any:
    codes = nib.orientations.axcodes2ornt("PIL")
    now = nib.orientations.io_orientation(image.affine)
    return image.as_reoriented(nib.orientations.ornt_transform(now, codes))


def frames(image: Any) -> Any:
    values = np.asarray(image.dataobj, np.float32)
    noise = np.random.default_rng(0).normal(0, 5, (*values.shape, 3)).astype(np.float32)
    return nib.Nifti1Image(values[..., None] + noise, image.affine)


def padded(image: Any) -> Any:
    values = np.asarray(image.dataobj, np.float32)
    values[:3] = -2000
    values[10, 10, 10] = np.nan
    return nib.Nifti1Image(values, image.affine)


def nifti_2(image: Any) -> Any:
    return nib.Nifti2Image(np.asarray(image.dataobj), image.affine)


def without_position(image: Any) -> Any:
    header = image.header.copy()
    header["qform_code"] = header["sform_code"] = 0
    return nib.Nifti1Image(np.asarray(image.dataobj), None, header)


def freesurfer(image: Any) -> Any:
    return nib.MGHImage(np.asarray(image.dataobj, np.float32), image.affine.astype(np.float32))


def pair(image: Any) -> Any:
    return nib.Nifti1Pair(np.asarray(image.dataobj), image.affine, image.header)


def analyze(image: Any) -> Any:
    affine = np.diag([-6.0, 6.0, 6.0, 1.0])
    affine[:3, 3] = 90, -126, -72
    return nib.Spm2AnalyzeImage(np.asarray(image.dataobj), affine)


KINDS = (
    as_it_is, oblique, turned, frames, padded, nifti_2, without_position, freesurfer, pair, analyze,
)  # fmt: skip
EXTENSIONS: dict[Callable[[Any], Any], str] = {
    freesurfer: ".mgz", pair: ".img", analyze: ".img",
}


@pytest.mark.parametrize("make", KINDS)
def test_image_gives_the_mask_that_the_command_writes(
    model: ss.Stripper, trained_study: Study, head: Any, tmp_path: Path, make: Callable[[Any], Any]
) -> None:
    image = make(head)
    scan = tmp_path / f"head{EXTENSIONS.get(make, '.nii.gz')}"
    nib.save(image, scan)
    expected = applied(trained_study, scan, tmp_path / "out")
    before = np.asarray(image.dataobj).copy()
    mask = model.strip(image)
    assert_same(mask, expected)
    assert_same(model.strip(load(scan)), expected)
    assert_same(model.strip(str(scan)), expected)
    assert mask.shape == image.shape[:3]
    if image.affine is not None:
        np.testing.assert_allclose(mask.affine, image.affine, atol=1e-4)
    np.testing.assert_array_equal(image.dataobj, before)


def test_scaled_values_are_those_of_the_file(
    model: ss.Stripper, trained_study: Study, head: Any, tmp_path: Path
) -> None:
    image = nib.Nifti1Image(np.asarray(head.dataobj), head.affine)
    image.header.set_slope_inter(0.0371, 11.3)
    scan = tmp_path / "scaled.nii.gz"
    nib.save(image, scan)
    opened = load(scan)
    assert_same(model.strip(opened), applied(trained_study, scan, tmp_path / "out"))


def test_position_that_nibabel_cannot_hold_is_mended(
    model: ss.Stripper, head: Any, tmp_path: Path
) -> None:
    """As its file is read: by its qform."""
    image = nib.Nifti1Image(np.asarray(head.dataobj), None, head.header)
    image.set_qform(head.affine, code=1)
    image.header["srow_x"] = np.nan
    scan = tmp_path / "nan.nii.gz"
    content = image.header.copy()
    content["vox_offset"], content["scl_slope"], content["scl_inter"] = 352, 1, 0
    values = np.asarray(head.dataobj).astype(content.get_data_dtype()).tobytes("F")
    scan.write_bytes(gzip.compress(content.binaryblock + bytes(4) + values))
    expected = model.strip(head)
    for found in (model.strip(scan), model.strip(load(scan))):
        np.testing.assert_array_equal(found.dataobj, expected.dataobj)
        np.testing.assert_allclose(found.affine, head.affine, atol=1e-4)


def test_position_that_was_set_anew_counts(model: ss.Stripper, head: Any) -> None:
    """nibabel writes an image's affine, not what its header said before."""
    moved = nib.Nifti1Image(np.asarray(head.dataobj), head.affine, head.header)
    moved.affine[:3, 3] += 30
    mask = model.strip(moved)
    np.testing.assert_allclose(mask.affine, moved.affine, atol=1e-4)


def test_what_the_model_has_not_seen_is_said(
    model: ss.Stripper, trained_study: Study, head: Any
) -> None:
    opened = open_model(trained_study.folder, torch.device("cpu"))
    card = replace(opened.card, volume_ml=(1.0, 2.0))
    stripper = ss.Stripper(replace(opened, card=card))
    stripper.strip(head)
    assert any("is outside 1 to 2 mL" in note for note in stripper.notes)


@pytest.mark.parametrize(("volume_ml", "range_ml", "words"), [
    (1001.6, (1103.0, 2368.2), "volume 1002 mL is outside 1103 to 2368 mL"),
    (0.38, (0.412, 0.5), "volume 0.38 mL is outside 0.412 to 0.5 mL"),
])
def test_volumes_are_told_without_exponents(
    model: ss.Stripper, volume_ml: float, range_ml: tuple[float, float], words: str
) -> None:
    assert in_doubt(replace(model.card, volume_ml=range_ml), volume_ml) == words


def test_mask_is_as_that_of_its_file_when_saved(
    model: ss.Stripper, head: Any, tmp_path: Path
) -> None:
    mask = model.strip(head)
    nib.save(mask, tmp_path / "mask.nii.gz")
    assert_same(load(tmp_path / "mask.nii.gz"), mask)
    assert mask.get_data_dtype() == np.uint8
    assert set(np.unique(mask.dataobj)) == {0, 1}


@pytest.mark.parametrize("order", ["C", "F"])
def test_array_gives_a_boolean_array(model: ss.Stripper, head: Any, order: Any) -> None:
    values = np.asarray(head.dataobj).copy(order=order)
    mask = model.strip(values, affine=head.affine)
    assert mask.dtype == bool and mask.shape == values.shape
    np.testing.assert_array_equal(mask, model.strip(head).dataobj)
    np.testing.assert_array_equal(values, head.dataobj)


def test_array_may_have_frames_or_any_number_type(model: ss.Stripper, head: Any) -> None:
    values = np.asarray(head.dataobj)
    expected = model.strip(values, affine=head.affine)
    for other in (values.astype(np.int64), values.astype(np.float64), torch.tensor(values)):
        np.testing.assert_array_equal(model.strip(other, affine=head.affine), expected)
    four = np.stack([values, values], axis=-1)
    np.testing.assert_array_equal(model.strip(four, affine=head.affine), expected)
    assert model.notes == ("4D: mean of 2 frames",)


def test_exported_model_does_the_same(
    model: ss.Stripper, trained_study: Study, head: Any, tmp_path: Path
) -> None:
    file = tmp_path / "model.pt"
    export_model(trained_study, file)
    exported = ss.load_model(str(file), device="cpu")
    assert_same(exported.strip(head), model.strip(head))
    assert exported.card.study == model.card.study == trained_study.name
    assert exported.settings == model.settings


def test_round_can_be_chosen(trained_study: Study) -> None:
    assert ss.load_model(trained_study.folder, "cpu", round=0).card.round == 0
    assert ss.load_model(trained_study.folder, "cpu").card.round == 1


# --- mistakes


def values() -> Any:
    return np.random.default_rng(0).random((20, 21, 22), dtype=np.float32)


MISTAKES: dict[str, tuple[Callable[[], Any], Any, str]] = {
    "no affine": (values, None, r"array of shape \(20, 21, 22\) needs an affine"),
    "no array": (lambda: {"a": 1}, None, "'dict' is neither a file, nor an image"),
    "nothing": (lambda: None, LAS, "object values, not plain numbers|single slice"),
    "ragged": (lambda: [[1, 2], [3]], LAS, "is no array"),
    "a slice": (lambda: values()[0], LAS, r"single slice \(21 x 22\)"),
    "a thin one": (lambda: values()[:1], LAS, "single slice"),
    "5D": (lambda: values()[..., None, None] * np.ones(2), LAS, "has 5 dimensions"),
    "empty": (lambda: values()[:0], LAS, "is empty"),
    "constant": (lambda: np.full((20, 21, 22), 7), LAS, "array is empty: all its values are 7"),
    "all NaN": (lambda: values() * np.nan, LAS, "no finite value"),
    "booleans": (lambda: values() > 0.5, LAS, "holds bool values"),
    "complex": (lambda: values() * 1j, LAS, "holds complex64 values"),
    "small affine": (values, np.eye(3), r"shape \(3, 3\), not \(4, 4\)"),
    "affine of words": (values, "RAS", "no matrix of numbers"),
    "transposed affine": (values, (LAS + np.eye(4, k=3)).T, "last row"),
    "NaN in the affine": (values, np.diag([1.0, 1, np.nan, 1]), "NaN or inf"),
    "huge affine": (values, np.diag([1e300, 1, 1, 1]), "NaN or inf"),
    "singular affine": (values, np.diag([1.0, 1, 0, 1]), "voxel size of zero"),
    "affine of an image": (lambda: nib.Nifti1Image(values(), LAS), LAS, "position of its own"),
    "affine of a file": (lambda: "scan.nii.gz", LAS, "position of its own"),
    "constant image": (
        lambda: nib.Nifti1Image(np.zeros((9, 9, 9), np.uint8), LAS), None,
        "the image is empty: all its values are 0",
    ),
    "flat image": (
        lambda: nib.Nifti1Image(np.zeros((9, 9), np.uint8), LAS), None, "the image is a single"
    ),
    "missing file": (lambda: "/nowhere/scan.nii.gz", None, "There is no file"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_told_in_a_sentence(model: ss.Stripper, mistake: str) -> None:
    make, affine, words = MISTAKES[mistake]
    with pytest.raises(UserError, match=words):
        model.strip(make(), affine=affine)


def test_file_that_is_gone_is_told(model: ss.Stripper, head: Any, tmp_path: Path) -> None:
    scan = tmp_path / "gone.nii.gz"
    nib.save(head, scan)
    image = load(scan)
    scan.unlink()
    with pytest.raises(UserError, match=r"There is no file .*gone\.nii\.gz"):
        model.strip(image)


def test_head_without_a_brain_is_told(
    model: ss.Stripper, head: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_singlestrip.pipeline import stripper

    monkeypatch.setattr(stripper, "strip_volume", lambda _, v: np.zeros(v.data.shape, bool))
    with pytest.raises(UserError, match="no brain was found"):
        model.strip(head)


def test_no_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        ss.load_model(tmp_path)
    with pytest.raises(UserError):
        ss.load_model(tmp_path / "model.pt")


# --- the package


def test_every_name_is_there() -> None:
    assert set(ss.__all__) <= set(dir(ss))
    for name in ss.__all__:
        assert getattr(ss, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'strip'"):
        ss.strip  # type: ignore[attr-defined]


def test_one_path_need_not_be_in_a_list(heads: Heads, tmp_path: Path) -> None:
    study = ss.Study.create(tmp_path / "study", str(heads.scans[0].parent))
    assert study.scans.names == heads.names
