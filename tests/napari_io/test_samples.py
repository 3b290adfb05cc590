"""Sample data for napari, tested without napari: what a viewer would be given."""

from __future__ import annotations

import numpy as np
import pytest

from napari_singlestrip.napari_io import samples as napari_samples


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


def test_sample_head_is_upright(monkeypatch: pytest.MonkeyPatch) -> None:
    """Axes (I, P, L): the brain lies above the middle of a field of view that has a neck."""
    monkeypatch.setattr(napari_samples, "SAMPLE_SPACING_MM", 6.0)
    (_, _, _), (mask, _, _) = napari_samples.sample_t1w()
    middle = np.argwhere(mask).mean(axis=0) / mask.shape
    assert middle[0] < 0.45
    assert middle[2] == pytest.approx(0.5, abs=0.05)
