"""Sample heads: reproducible, plausible, and the same person however the scan is stored."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from napari_singlestrip.sample_data import (
    CONTRASTS,
    TISSUES,
    SampleHead,
    render_head,
    sample_heads,
    write_sample_heads,
)

COARSE_MM = 6.0


@cache
def coarse_head(seed: int, contrast: str = "T1w") -> SampleHead:
    return render_head(seed, contrast, COARSE_MM)


@cache
def fine_head(contrast: str) -> SampleHead:
    """Fine enough for a voxel of cortex to be mostly cortex."""
    return render_head(1, contrast, 3.0, noise=0.01)


def volume_ml(head: SampleHead) -> float:
    return float(head.mask.sum() * abs(np.linalg.det(head.affine[:3, :3])) / 1000)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def random_state() -> np.ndarray:
    return np.array(np.random.get_state(legacy=False)["state"]["key"])  # noqa: NPY002


def test_the_same_arguments_give_the_same_bits() -> None:
    first, second = (render_head(5, "T2w", COARSE_MM, "LPS") for _ in range(2))
    np.testing.assert_array_equal(first.data, second.data)
    np.testing.assert_array_equal(first.mask, second.mask)
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.affine, second.affine)


def test_global_random_state_is_neither_read_nor_touched() -> None:
    np.random.seed(1)  # noqa: NPY002
    before = random_state()
    head = render_head(5, "T1w", 8.0)
    np.testing.assert_array_equal(before, random_state())
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(head.data, render_head(5, "T1w", 8.0).data)


def test_types_and_shapes() -> None:
    head = coarse_head(0)
    assert head.data.dtype == np.int16
    assert head.mask.dtype == bool
    assert head.labels.dtype == np.uint8
    assert head.data.shape == head.mask.shape == head.labels.shape == (32, 40, 40)
    assert head.data.min() >= 0
    assert head.name == "sample-0_T1w"


def test_two_people_differ() -> None:
    masks = [coarse_head(seed).mask for seed in range(5)]
    overlaps = [dice(masks[0], other) for other in masks[1:]]
    assert max(overlaps) < 0.97
    assert min(overlaps) > 0.6


def test_contrasts_of_one_person_share_the_anatomy() -> None:
    heads = [coarse_head(2, contrast) for contrast in CONTRASTS]
    for other in heads[1:]:
        np.testing.assert_array_equal(heads[0].labels, other.labels)
        np.testing.assert_array_equal(heads[0].mask, other.mask)
        assert (heads[0].data != other.data).any()


@pytest.mark.parametrize("seed", range(6))
def test_brain_is_one_body_without_holes_of_adult_volume(seed: int) -> None:
    head = coarse_head(seed)
    assert ndimage.label(head.mask)[1] == 1
    np.testing.assert_array_equal(head.mask, ndimage.binary_fill_holes(head.mask))
    assert 1000 < volume_ml(head) < 1700


@pytest.mark.parametrize("seed", range(6))
def test_the_head_fits_into_the_picture(seed: int) -> None:
    """The brain keeps clear of every side; only the neck leaves, through the bottom."""
    head = coarse_head(seed)
    inside = np.pad(np.zeros(np.array(head.mask.shape) - 4, bool), 2, constant_values=True)
    assert not (head.mask & inside).any()
    skin_and_more = head.labels > 0
    assert not skin_and_more[:, :, -1].any()
    assert not skin_and_more[:, -1].any()
    assert skin_and_more[:, :, 0].any()


def test_volumes_vary_between_people() -> None:
    volumes = [volume_ml(coarse_head(seed)) for seed in range(6)]
    assert np.std(volumes) > 30


def test_mask_holds_the_brain_and_nothing_else() -> None:
    head = fine_head("T1w")
    brain = ["cortex", "white_matter", "deep_grey", "ventricles", "brainstem", "cerebellar_cortex"]
    for name in brain:
        tissue = head.labels == TISSUES[name]
        assert (tissue & head.mask).sum() > 0.97 * tissue.sum(), name
    for name in ("bone", "fat", "marrow", "skin", "vitreous", "spinal_cord", "air"):
        tissue = head.labels == TISSUES[name]
        assert tissue.any(), name
        assert (tissue & head.mask).sum() < 0.01 * max(tissue.sum(), 100), name
    fluid = head.mask & (head.labels == TISSUES["csf"])
    assert 0.02 < fluid.sum() / head.mask.sum() < 0.3


def test_cortex_is_folded() -> None:
    """Fluid reaches far below the hull: sulci, not only a rim."""
    head = fine_head("T1w")
    depth = ndimage.distance_transform_edt(head.mask, sampling=3.0)
    fluid = head.labels == TISSUES["csf"]
    assert (fluid & (depth > 9)).sum() > 0.01 * head.mask.sum()


@pytest.mark.parametrize("orientation", ["LPS", "PIR", "RSA", "LIP"])
def test_orientation_changes_only_the_storage(orientation: str) -> None:
    reference = coarse_head(3)
    stored = render_head(3, "T1w", COARSE_MM, orientation)
    assert nib.aff2axcodes(stored.affine) == tuple(orientation)
    for name in ("data", "mask", "labels"):
        volume = getattr(stored, name).astype(np.int16)
        canonical = nib.as_closest_canonical(nib.Nifti1Image(volume, stored.affine))
        np.testing.assert_array_equal(np.asarray(canonical.dataobj), getattr(reference, name))
        np.testing.assert_allclose(canonical.affine, reference.affine, atol=1e-6)


def test_voxel_sizes_are_along_the_stored_axes() -> None:
    head = render_head(3, "FLAIR", (6.0, 9.0, 5.0), "PIR")
    np.testing.assert_allclose(nib.affines.voxel_sizes(head.affine), (6, 9, 5))
    assert head.data.shape == (40, 27, 39)


def test_thick_slices_show_the_same_brain() -> None:
    thick = render_head(3, "T1w", (4.0, 4.0, 8.0))
    assert volume_ml(thick) == pytest.approx(volume_ml(coarse_head(3)), rel=0.03)


def test_an_oblique_grid_shows_the_same_brain_in_the_same_place() -> None:
    straight = coarse_head(3)
    oblique = render_head(3, "T1w", COARSE_MM, oblique_deg=8.0)
    np.testing.assert_allclose(nib.affines.voxel_sizes(oblique.affine), COARSE_MM)
    assert np.abs(nib.affines.obliquity(oblique.affine)).max() > np.radians(5)
    places = [
        nib.affines.apply_affine(h.affine, np.argwhere(h.mask)).mean(axis=0)
        for h in (straight, oblique)
    ]
    np.testing.assert_allclose(places[0], places[1], atol=1.0)


ORDER = {
    "T1w": ["fat", "white_matter", "deep_grey", "cortex", "ventricles"],
    "T2w": ["ventricles", "cortex", "white_matter", "bone"],
    "FLAIR": ["fat", "cortex", "white_matter", "ventricles"],
    "PDw": ["cortex", "white_matter", "muscle", "bone"],
}


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_tissues_are_ordered_as_in_the_clinic(contrast: str) -> None:
    head = fine_head(contrast)
    medians = [np.median(head.data[head.labels == TISSUES[name]]) for name in ORDER[contrast]]
    assert medians == sorted(medians, reverse=True)


def test_noise_is_what_was_asked_for() -> None:
    quiet, loud = (render_head(3, "T1w", COARSE_MM, noise=n) for n in (0.0, 0.1))
    air = (slice(0, 4), slice(0, 4), slice(-4, None))
    assert quiet.data[air].max() == 0
    # Rician noise in air has a mean of 1.25 standard deviations, relative to white matter.
    white = np.median(quiet.data[quiet.labels == TISSUES["white_matter"]])
    assert loud.data[air].mean() / white == pytest.approx(0.125, rel=0.3)


def test_a_hospital_of_heads() -> None:
    heads = list(sample_heads(6, seed=1, spacing_mm=8.0))
    assert heads[0].name == "sample-01_T1w"
    assert nib.aff2axcodes(heads[0].affine) == ("R", "A", "S")
    assert len({h.name for h in heads}) == 6
    assert {h.name.split("_")[-1] for h in heads} == set(CONTRASTS)
    assert len({nib.aff2axcodes(h.affine) for h in heads}) > 2
    thick = [np.ptp(nib.affines.voxel_sizes(h.affine)) > 2 for h in heads]
    assert 0 < sum(thick) < 6
    assert all(1000 < volume_ml(h) < 1700 for h in heads)


def test_another_seed_brings_other_people() -> None:
    one, two = (next(sample_heads(1, seed, 8.0)) for seed in (0, 1))
    assert (one.mask != two.mask).any()


def test_written_files_say_the_same(tmp_path: Path) -> None:
    scans, masks = write_sample_heads(tmp_path / "new", 3, seed=4, spacing_mm=8.0)
    heads = list(sample_heads(3, seed=4, spacing_mm=8.0))
    for scan, mask, head in zip(scans, masks, heads, strict=True):
        assert scan == tmp_path / "new" / "scans" / f"{head.name}.nii.gz"
        assert mask == tmp_path / "new" / "masks" / f"{head.name}.nii.gz"
        image, reference = (nib.nifti1.load(path) for path in (scan, mask))
        np.testing.assert_array_equal(np.asarray(image.dataobj), head.data)
        np.testing.assert_array_equal(np.asarray(reference.dataobj), head.mask)
        assert reference.get_data_dtype() == np.uint8
        for loaded in (image, reference):
            np.testing.assert_allclose(loaded.affine, head.affine, atol=1e-4)
            np.testing.assert_allclose(loaded.get_qform(), head.affine, atol=1e-3)
            assert loaded.header["sform_code"] == loaded.header["qform_code"] == 1
            assert loaded.header.get_xyzt_units()[0] == "mm"
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p not in scans + masks]


@pytest.mark.parametrize(
    "arguments", [{"contrast": "CT"}, {"orientation": "XYZ"}, {"orientation": "RLS"},
                  {"spacing_mm": 0.0}, {"spacing_mm": (2.0, -1.0, 2.0)}]
)  # fmt: skip
def test_impossible_wishes_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(arguments)))):
        render_head(0, **arguments)


def test_import_is_light() -> None:
    code = (
        "import sys, napari_singlestrip.sample_data;"
        "assert not {'torch', 'napari', 'qtpy', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
