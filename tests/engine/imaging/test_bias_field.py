"""The bias field is taken out of a scan."""

from __future__ import annotations

import numpy as np
import pytest

from napari_singlestrip.engine.arrays import FloatArray, Mask
from napari_singlestrip.engine.imaging.bias_field import flatten_bias


def shaded_ball() -> tuple[FloatArray, Mask]:
    """A ball of 100, half as bright at one end as at the other."""
    axes = np.ogrid[:64, :64, :64]
    mask = np.asarray(sum((a - 31.5) ** 2 for a in axes) < 24**2)
    shade = np.linspace(0.6, 1.4, 64, dtype=np.float32)[:, None, None]
    return np.where(mask, 100 * shade, 0).astype(np.float32), mask


@pytest.mark.parametrize("step", [1, 4])
def test_the_field_is_taken_out(step: int) -> None:
    data, mask = shaded_ball()
    data, mask = data[:, :, ::step], mask[:, :, ::step]
    kept = data.copy()
    even = flatten_bias(data, mask, (8, 8, 8 / step))
    assert even[mask].std() / even[mask].mean() < 0.4 * data[mask].std() / data[mask].mean()
    assert even.dtype == np.float32
    np.testing.assert_array_equal(data, kept)


def test_an_even_scan_stays() -> None:
    data, mask = shaded_ball()
    data[mask] = 100
    np.testing.assert_allclose(flatten_bias(data, mask, (9, 9, 9)), data, rtol=0.02)


def test_without_a_mask_nothing_is_known() -> None:
    data, mask = shaded_ball()
    assert flatten_bias(data, np.zeros_like(mask), (9, 9, 9)) is data
