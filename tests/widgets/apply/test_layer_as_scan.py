"""Layers as scan files: the same voxels in any order are the file, all others are written."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from conftest import Heads
from napari.layers import Image

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan
from napari_singlestrip.errors import UserError
from napari_singlestrip.napari_io.readers import read_scan
from napari_singlestrip.widgets.apply.layer_as_scan import file_name, picture_of, scan_of


def image_of(scan: Path, **more: Any) -> Image:
    """A layer as our reader makes it."""
    data, attributes, _ = read_scan(scan)
    return Image(data, **{**attributes, **more})


def test_layer_of_our_reader_is_its_file(heads: Heads, tmp_path: Path) -> None:
    for scan, truth in zip(heads.scans, heads.masks, strict=True):
        layer = image_of(scan)
        found = scan_of(picture_of(layer), tmp_path)
        assert (found.path, found.upright, found.written) == (scan, True, False)
        assert np.array_equal(found.mask(truth), read_scan(truth)[0] != 0)
    assert list(tmp_path.iterdir()) == []


def test_layer_of_another_reader_is_its_file_in_any_order(heads: Heads, tmp_path: Path) -> None:
    scan, truth = heads.scans[1], heads.masks[1]
    volume = open_scan(scan).load().data
    mask = load_mask(truth, like=open_scan(scan))
    for axes in itertools.permutations(range(3)):
        for flips in ((), (0,), (1, 2)):
            turned = np.flip(volume.transpose(axes), flips)
            layer = Image(turned.astype(np.float64), metadata={"path": str(scan)})
            found = scan_of(picture_of(layer), tmp_path)
            assert found.path == scan
            assert np.array_equal(found.mask(truth), np.flip(mask.transpose(axes), flips))
    assert list(tmp_path.iterdir()) == []


def test_one_changed_voxel_makes_it_another_scan(heads: Heads, tmp_path: Path) -> None:
    scan = heads.scans[0]
    layer = image_of(scan, name="T1w / brighter")
    layer.data = np.array(layer.data)
    layer.data[3, 5, 7] += 100
    picture = picture_of(layer)
    found = scan_of(picture, tmp_path)
    assert found.written and found.path == tmp_path / "T1w_brighter.nii"
    written, own = open_scan(found.path), open_scan(scan)
    assert np.array_equal(written.load().data, layer.data)
    # Where each voxel is in the head is as in the file.
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(written.grid.affine),
        nib.orientations.io_orientation(own.grid.affine),
    )
    back = nib.Nifti1Image(written.load().data, written.grid.affine).as_reoriented(turn)
    assert np.allclose(back.affine, own.grid.affine)
    assert np.count_nonzero(back.get_fdata() != own.load().data) == 1
    assert picture.knows_up


def test_layer_without_file_lies_as_it_is_displayed(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(6, 7, 8))
    layer = Image(data, scale=(3, 1, 2), translate=(5, 0, 0), name="made up")
    picture = picture_of(layer)
    assert not picture.knows_up
    written = open_scan(scan_of(picture, tmp_path).path)
    assert nib.aff2axcodes(written.grid.affine) == ("I", "P", "L")
    assert np.allclose(written.grid.spacing, (3, 1, 2))
    assert np.allclose(written.grid.affine[:3, 3], (0, 0, -5))


def test_units_are_heeded_where_napari_has_them(tmp_path: Path) -> None:
    layer = Image(np.eye(12).reshape(3, 4, 12), scale=(500, 500, 500))
    if not hasattr(layer, "units"):
        pytest.skip("this napari has no units")
    layer.units = ("micrometer",) * 3
    written = open_scan(scan_of(picture_of(layer), tmp_path).path)
    assert np.allclose(written.grid.spacing, 0.5)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (Image(np.zeros((4, 5))), "2 axes"),
        (Image(np.zeros((2, 4, 5, 6))), "4 axes"),
        (Image(np.zeros((4, 5, 6, 3), np.uint8), rgb=True), "colour"),
    ],
)
def test_what_is_no_scan_is_told(layer: Image, words: str) -> None:
    with pytest.raises(UserError, match=words):
        picture_of(layer)


def test_file_that_is_gone_is_no_trouble(heads: Heads, tmp_path: Path) -> None:
    layer = image_of(heads.scans[0])
    layer.metadata["path"] = str(tmp_path / "gone.nii.gz")
    assert scan_of(picture_of(layer), tmp_path).written


def test_names_of_files_are_plain() -> None:
    assert file_name("sub-01 / T1w [1]") == "sub-01_T1w_1"
    assert file_name("??") == "layer"
