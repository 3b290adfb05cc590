"""Scans of any geometry go through everything; only a `UserError` stops one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_singlestrip.engine.config import Effort, Settings
from napari_singlestrip.engine.imaging.grid import Volume
from napari_singlestrip.engine.imaging.scan_facts import scan_facts
from napari_singlestrip.engine.imaging.volume import (
    Scan,
    load_mask,
    open_scan,
    save_brain,
    save_map,
    save_mask,
)
from napari_singlestrip.engine.judging.consistency import consistency
from napari_singlestrip.engine.judging.ranking import appearance
from napari_singlestrip.engine.learning.autoencoder import Autoencoder, Frame, MaskAutoencoder
from napari_singlestrip.engine.learning.networks import build_segmenter
from napari_singlestrip.engine.learning.prediction import to_mask
from napari_singlestrip.engine.learning.reconstruction_error import autoencoder_error, best_views
from napari_singlestrip.engine.learning.segmenter import Segmenter, predict
from napari_singlestrip.engine.masks.cleanup import mask_report
from napari_singlestrip.engine.overrides import override, settings_for
from napari_singlestrip.errors import UserError
from napari_singlestrip.widgets.common.thumbnail_image import scan_picture

SIDES = st.tuples(*[st.integers(1, 40)] * 3)
SPACINGS = st.tuples(*[st.sampled_from([0.01, 0.05, 0.3, 1.0, 1.1, 3.0, 8.0, 20.0])] * 3)
DTYPES = ["u1", "i1", "<i2", ">i2", "<u2", ">f4", "<f8", "<i4", "<u8", "<c8"]


@pytest.fixture(scope="module")
def segmenter(tiny_settings: Settings) -> Segmenter:
    torch.manual_seed(0)
    net = build_segmenter(tiny_settings.network).eval()
    return Segmenter(net, tiny_settings, 8.0, (24, 24, 24))


@pytest.fixture(scope="module")
def autoencoder(tiny_settings: Settings) -> Autoencoder:
    torch.manual_seed(0)
    net = MaskAutoencoder((24, 24, 24), tiny_settings.autoencoder.channels, 8).eval()
    return Autoencoder(net, Frame(8.0, (24, 24, 24)))


@pytest.mark.parametrize("effort", ["quick", "standard", "thorough"])
@pytest.mark.parametrize("shape", [(24, 24, 24), (2, 2, 2), (3, 3, 40)])
def test_a_tiny_field_of_view_is_predicted(effort: Effort, shape: tuple[int, int, int]) -> None:
    config = override(settings_for(effort), {"conform.max_voxels": 32**3})
    net = build_segmenter(config.network).eval()
    segmenter = Segmenter(net, config, config.conform.spacing_mm, (64, 64, 64))
    values = np.random.default_rng(0).random(shape, np.float32)
    volume = Volume(values, np.eye(4))
    prediction = predict(segmenter, volume)
    assert np.isfinite(prediction.probability).all()
    assert to_mask(prediction, volume, config).shape == shape


def odd_file(folder: Path, draw: Any) -> Path:
    """A NIfTI file of any shape, spacing, turn, type, unit and codes."""
    shape, spacing = draw(SIDES), draw(SPACINGS)
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    header = nib.Nifti1Header(endianness=dtype.byteorder if dtype.byteorder in "<>" else "<")
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    turn = nib.eulerangles.euler2mat(*draw(st.tuples(*[st.floats(-3.2, 3.2)] * 3)))
    place = draw(st.tuples(*[st.floats(-500, 500)] * 3))
    affine = nib.affines.from_matvec(turn @ np.diag(spacing), place)
    header.set_qform(affine, draw(st.integers(0, 2)))
    header.set_sform(affine, draw(st.integers(0, 2)))
    header["xyzt_units"] = draw(st.sampled_from([0, 1, 2, 3, 10, 7]))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    values = rng.integers(0, 120, shape).astype(dtype)
    fill = draw(st.sampled_from([None, 0, 127]))
    if fill is not None:
        values[: shape[0] // 3] = fill
    header["vox_offset"], header["scl_slope"] = 352, draw(st.sampled_from([0, 1, 0.5, np.nan]))
    path = folder / "odd.nii"
    path.write_bytes(header.binaryblock + bytes(4) + values.tobytes("F"))
    return path


@settings(max_examples=40)
@given(data=st.data())
def test_only_user_errors_come_out(
    tmp_path: Path, segmenter: Segmenter, autoencoder: Autoencoder, data: st.DataObject
) -> None:
    path = odd_file(tmp_path, data.draw)
    scan_facts(path)
    try:
        scan = open_scan(path)
        volume = scan.load()
        scan_picture(path)
    except UserError as error:
        assert "odd.nii" in error.what
        return
    mask = to_mask(predict(segmenter, volume), volume, segmenter.settings)
    if not mask.any():
        mask = np.zeros(scan.grid.shape, bool)
        mask[0, -1, 0] = True
    assert not consistency(segmenter, volume, mask, 1, np.random.default_rng(0)) > 1
    ranking = segmenter.settings.ranking
    assert autoencoder_error(best_views(autoencoder, mask, scan.grid, ranking), "dice") <= 1
    assert np.isfinite(appearance(volume.data, mask)).all()
    mask_report(mask, scan.grid)
    check_results(tmp_path, mask, scan)


def check_results(folder: Path, mask: np.ndarray, scan: Scan) -> None:
    """What is written lies where the scan lies, by nibabel and by us, field by field."""
    save_mask(folder / "mask.nii.gz", mask, scan)
    save_brain(folder / "brain.nii.gz", mask, scan)
    save_map(folder / "map.nii.gz", mask, scan)
    np.testing.assert_array_equal(load_mask(folder / "mask.nii.gz", scan, check=False), mask)
    expected: Any = nib.load(scan.path)
    for name in ("mask.nii.gz", "brain.nii.gz", "map.nii.gz"):
        image: Any = nib.load(folder / name)
        assert image.shape[:3] == scan.grid.shape
        np.testing.assert_array_equal(image.affine, expected.affine)
        np.testing.assert_array_equal(
            image.header["pixdim"][:4], expected.header["pixdim"][:4]
        )
        for field in ("qform_code", "sform_code", "xyzt_units", "srow_x", "quatern_d"):
            np.testing.assert_array_equal(image.header[field], expected.header[field])
        assert open_scan(folder / name).grid.same_as(scan.grid)
        assert np.isfinite(np.asarray(image.dataobj)).all()
