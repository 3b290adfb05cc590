"""Sample data for napari, tested without napari: what a viewer would be given."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip import napari_samples, sample_data

AXES = [
    "".join(codes)
    for axes in itertools.permutations(("LR", "PA", "IS"))
    for codes in itertools.product(*axes)
]


@pytest.mark.parametrize("codes", AXES)
def test_upright_for_all_48_orientations(codes: str) -> None:
    canonical = np.zeros((3, 4, 5), np.int16)
    canonical[2, 0, 0] = 1  # right, posterior, inferior
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes)
    )
    stored = nib.orientations.apply_orientation(canonical, turn)
    affine = np.diag([1.0, 2.0, 3.0, 1.0]) @ nib.orientations.inv_ornt_aff(turn, canonical.shape)

    volume, scale = napari_samples.upright(stored, affine)

    assert volume.shape == (5, 4, 3)
    assert scale == pytest.approx((3.0, 2.0, 1.0))
    assert np.argwhere(volume).tolist() == [[4, 3, 0]]


def test_upright_is_a_view() -> None:
    volume = np.zeros((3, 4, 5), np.int16)
    turned, _ = napari_samples.upright(volume, np.eye(4))
    assert np.shares_memory(turned, volume)


def test_sample_head_comes_as_image_and_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(napari_samples, "SAMPLE_SPACING_MM", 6.0)
    (image, image_attributes, image_kind), (mask, mask_attributes, mask_kind) = (
        napari_samples.sample_t1w()
    )
    assert (image_kind, mask_kind) == ("image", "labels")
    assert image.shape == mask.shape and mask.dtype == np.uint8
    assert image_attributes["scale"] == mask_attributes["scale"] == pytest.approx((6, 6, 6))
    low, high = image_attributes["contrast_limits"]
    assert low < high and set(np.unique(mask)) == {0, 1}


def test_sample_is_the_head_of_sample_data() -> None:
    head = sample_data.render_head(napari_samples.SAMPLE_SEED, "T1w", 8.0)
    assert head.data.shape == head.mask.shape
