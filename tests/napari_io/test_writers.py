"""Masks written by napari's File > Save: the scan's own grid, affine and header codes."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip.errors import UserError
from napari_singlestrip.napari_io.readers import read_scan
from napari_singlestrip.napari_io.writers import write_mask
from napari_singlestrip.study.study import Study

pytest_plugins = ("gui_fixtures",)

AXES = [
    "".join(codes)
    for axes in itertools.permutations(("LR", "PA", "IS"))
    for codes in itertools.product(*axes)
]


def load(path: str | Path) -> Any:
    """Open a file as nibabel does."""
    return nib.load(path)


def oblique(codes: str) -> np.ndarray[Any, Any]:
    """An affine 7 degrees off the axes, with voxels of 1 x 2 x 3 mm."""
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes)
    )
    c, s = np.cos(np.radians(7)), np.sin(np.radians(7))
    tilt = np.array([[c, -s, 0, 10], [s, c, 0, -20], [0, 0, 1, 30], [0, 0, 0, 1]])
    straight = np.diag([1.0, 2.0, 3.0, 1.0]) @ nib.orientations.inv_ornt_aff(turn, (4, 5, 6))
    return tilt @ straight


def make_scan(path: Path, codes: str) -> Path:
    shape = nib.orientations.apply_orientation(
        np.zeros((4, 5, 6)),
        nib.orientations.ornt_transform(
            nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes)
        ),
    ).shape
    values = np.random.default_rng(1).integers(0, 100, shape).astype(np.int16)
    image = nib.Nifti1Image(values, oblique(codes))
    image.set_sform(oblique(codes), code=2)
    image.set_qform(oblique(codes), code=1)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("codes", AXES)
def test_round_trip_keeps_grid_and_header(codes: str, tmp_path: Path) -> None:
    scan = make_scan(tmp_path / "head.nii.gz", codes)
    data, attributes, _ = read_scan(scan)
    labels = (np.asarray(data) > 50).astype(np.int32) * 3  # any label is brain
    (written,) = write_mask(str(tmp_path / "mask.nii.gz"), labels, attributes)

    source, mask = load(scan), load(written)
    assert mask.shape == source.shape and np.array_equal(mask.affine, source.affine)
    for code in ("sform_code", "qform_code", "xyzt_units"):
        assert mask.header[code] == source.header[code]
    expected = np.asarray(source.dataobj) > 50
    assert np.array_equal(np.asarray(mask.dataobj), expected.astype(np.uint8))
    assert mask.get_data_dtype() == np.uint8


def test_extension_is_added(tmp_path: Path) -> None:
    data, attributes, _ = read_scan(make_scan(tmp_path / "head.nii.gz", "LPS"))
    assert write_mask(str(tmp_path / "mask"), np.asarray(data) > 50, attributes) == [
        str(tmp_path / "mask.nii.gz")
    ]


def test_the_scan_itself_is_never_written(tmp_path: Path) -> None:
    scan = make_scan(tmp_path / "head.nii.gz", "LPS")
    before = scan.read_bytes()
    data, attributes, _ = read_scan(scan)
    with pytest.raises(UserError, match="is the scan itself"):
        write_mask(str(scan), np.asarray(data) > 50, attributes)
    assert scan.read_bytes() == before


def test_another_shape_is_told(tmp_path: Path) -> None:
    _, attributes, _ = read_scan(make_scan(tmp_path / "head.nii.gz", "LPS"))
    with pytest.raises(UserError, match=r"3 x 3 x 3 voxels, which no scan on screen has"):
        write_mask(str(tmp_path / "mask.nii.gz"), np.ones((3, 3, 3), int), attributes)


def test_a_mask_of_no_known_scan_is_told(viewer: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not known which scan"):
        write_mask(str(tmp_path / "mask.nii.gz"), np.ones((3, 3, 3), int), {"name": "Labels"})
    assert not (tmp_path / "mask.nii.gz").exists()


def test_labels_painted_on_an_opened_scan(viewer: Any, tmp_path: Path) -> None:
    """napari's own "new labels" know nothing of the scan: it is found on screen."""
    scan = make_scan(tmp_path / "head.nii.gz", "PIR")
    (image,) = viewer.open(scan, plugin="napari-singlestrip")
    labels = viewer.add_labels((np.asarray(image.data) > 50).astype(np.uint8))
    written = labels.save(str(tmp_path / "mask.nii.gz"), plugin="napari-singlestrip")
    assert [Path(path).name for path in written] == ["mask.nii.gz"]
    expected = np.asarray(load(scan).dataobj) > 50
    assert np.array_equal(np.asarray(load(written[0]).dataobj) > 0, expected)


def test_the_mask_of_the_study_on_screen(window: Any, study: Study, tmp_path: Path) -> None:
    window.session.take_study(study)
    name = study.scans.names[1]
    window.session.show_scan(name)
    layer = window.session.layers.editing.layer
    layer.data[4:6, 5:8, 6:9] = 1
    layer.save(str(tmp_path / "mask.nii"), plugin="napari-singlestrip")
    source, mask = load(study.scans.path(name)), load(tmp_path / "mask.nii")
    assert mask.shape == source.shape and np.array_equal(mask.affine, source.affine)
    assert np.asarray(mask.dataobj).sum() == 2 * 3 * 3


def twins(folder: Path) -> tuple[Path, Path]:
    """Two scans of one size, 30 mm apart."""
    values = np.random.default_rng(1).integers(0, 100, (6, 7, 8)).astype(np.int16)
    paths = folder / "first.nii.gz", folder / "second.nii.gz"
    for path, x in zip(paths, (0.0, 30.0), strict=True):
        affine = np.diag([2.0, 2.0, 2.0, 1.0])
        affine[0, 3] = x
        nib.save(nib.Nifti1Image(values, affine), path)
    return paths


@pytest.mark.parametrize("looked_at", [0, 1])
@pytest.mark.parametrize("by", ["eye", "choice"])
def test_of_two_scans_of_one_size_the_one_that_is_looked_at(
    viewer: Any, tmp_path: Path, looked_at: int, by: str
) -> None:
    paths = twins(tmp_path)
    for path in paths:
        viewer.open(path, plugin="napari-singlestrip")
    viewer._new_labels()
    labels = viewer.layers[-1]
    labels.data[1:3, 1:3, 1:3] = 1
    if by == "eye":
        viewer.layers[1 - looked_at].visible = False
    else:
        viewer.layers.selection = {labels, viewer.layers[looked_at]}
    (written,) = labels.save(str(tmp_path / "mask.nii.gz"), plugin="napari-singlestrip")
    assert np.array_equal(load(written).affine, load(paths[looked_at]).affine)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("hidden", [False, True])
def test_where_two_scans_could_be_meant_nothing_is_written(
    viewer: Any, tmp_path: Path, order: tuple[int, int], hidden: bool
) -> None:
    paths = twins(tmp_path)
    for n in order:
        viewer.open(paths[n], plugin="napari-singlestrip")
    viewer._new_labels()
    labels = viewer.layers[-1]
    if hidden:  # one is chosen, the other one is seen
        viewer.layers[0].visible = False
        viewer.layers.selection = {labels, viewer.layers[0]}
    with pytest.raises(UserError, match=r"could belong to .*first.* or .*|.*second.* or .*first"):
        labels.save(str(tmp_path / "mask.nii.gz"), plugin="napari-singlestrip")
    assert not (tmp_path / "mask.nii.gz").exists()


def test_two_scans_on_one_grid_are_no_question(viewer: Any, tmp_path: Path) -> None:
    first, _ = twins(tmp_path)
    other = tmp_path / "t2.nii.gz"
    other.write_bytes(first.read_bytes())
    for path in (first, other):
        viewer.open(path, plugin="napari-singlestrip")
    viewer._new_labels()
    viewer.layers[-1].data[1:3, 1:3, 1:3] = 1
    (written,) = viewer.layers[-1].save(
        str(tmp_path / "mask.nii.gz"), plugin="napari-singlestrip"
    )
    assert np.array_equal(load(written).affine, load(first).affine)
