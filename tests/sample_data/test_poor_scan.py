"""Poor scans among the sample heads: a few of them, named so, and their masks are exact."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip.sample_data import CONTRASTS, SampleHead, render_head, sample_head
from napari_singlestrip.sample_data.heads import fault_of, sample_name
from napari_singlestrip.sample_data.poor_scan import FAULTS, cut_field_of_view, spoil

COARSE_MM = 8.0
FIRST = {fault: next(i for i in range(20) if fault_of(i) == fault) for fault in FAULTS}


def volume_ml(head: SampleHead) -> float:
    return float(head.mask.sum() * abs(np.linalg.det(head.affine[:3, :3])) / 1000)


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_about_a_quarter_are_poor_and_the_painted_one_is_not() -> None:
    for n in (8, 12, 23):
        poor = [fault for fault in map(fault_of, range(n)) if fault]
        assert 0.2 < len(poor) / n < 0.35
    assert not fault_of(0)
    assert {fault_of(index) for index in range(12)} == {"", *FAULTS}


def test_no_contrast_is_always_poor() -> None:
    for n, contrast in enumerate(CONTRASTS):
        faults = [fault_of(index) for index in range(n, 28, len(CONTRASTS))]
        assert any(faults) and not all(faults), contrast


def test_the_name_says_what_is_wrong() -> None:
    assert sample_name(2) == "sample-03_FLAIR"
    assert sample_name(3) == "sample-04_moved_PDw"
    for fault, index in FIRST.items():
        assert sample_name(index).split("_")[1] == fault
        assert sample_head(index, 3, COARSE_MM).name == sample_name(index)


def test_the_seed_draws_how() -> None:
    one, again, other = (sample_head(FIRST["cut"], seed, COARSE_MM) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.data, again.data)
    np.testing.assert_array_equal(one.affine, again.affine)
    assert one.data.shape != other.data.shape


def test_a_cut_field_of_view_cuts_the_brain_and_stays_in_place() -> None:
    head = render_head(4, "T2w", COARSE_MM)
    for seed in range(6):
        part = cut_field_of_view(head.mask, np.random.default_rng(seed))
        left = head.mask[part].sum() / head.mask.sum()
        assert 0.4 < left < 0.9
    cut = sample_head(FIRST["cut"], 0, COARSE_MM)
    assert cut.data.shape == cut.mask.shape == cut.labels.shape
    assert volume_ml(cut) < 1000
    at_a_side = np.pad(np.zeros(np.array(cut.mask.shape) - 2, bool), 1, constant_values=True)
    assert (cut.mask & at_a_side).any()


def test_what_is_left_lies_where_it_lay(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_singlestrip.sample_data import heads

    cut = sample_head(FIRST["cut"], 0, COARSE_MM)
    monkeypatch.setattr(heads, "_POOR", ())
    whole = sample_head(FIRST["cut"], 0, COARSE_MM)
    offset = np.linalg.solve(whole.affine[:3, :3], cut.affine[:3, 3] - whole.affine[:3, 3])
    at = np.rint(offset).astype(int)
    np.testing.assert_allclose(offset, at, atol=1e-6)
    box = tuple(slice(i, i + n) for i, n in zip(at, cut.data.shape, strict=True))
    np.testing.assert_array_equal(whole.data[box], cut.data)
    np.testing.assert_array_equal(whole.mask[box], cut.mask)


@pytest.mark.parametrize("fault", ["moved", "lowfield"])
def test_a_spoiled_scan_is_still_that_head(fault: str) -> None:
    head = render_head(4, "T1w", 4.0, orientation="LIP")
    poor = spoil(head.data, head.affine, fault, np.random.default_rng(1))
    assert poor.dtype == np.int16 and poor.shape == head.data.shape and poor.min() >= 0
    assert 0.25 < likeness(poor, head.data) < 0.97
    shifted = np.roll(head.data, 2, axis=0)
    assert likeness(poor, head.data) > likeness(poor, shifted)


def test_a_low_field_is_noisy() -> None:
    index = FIRST["lowfield"]
    poor, good = sample_head(index, 0, COARSE_MM), sample_head(index - 1, 0, COARSE_MM)
    in_air = [  # of a magnitude, the noise alone
        np.median(h.data[h.labels == 0]) / np.percentile(h.data, 99) for h in (poor, good)
    ]
    assert in_air[0] > 1.5 * in_air[1]
    assert len(nib.aff2axcodes(poor.affine)) == 3
