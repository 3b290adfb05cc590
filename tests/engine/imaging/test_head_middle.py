"""Where a scan that nobody painted is opened: in the brain, not in the jaw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_singlestrip.engine.imaging.head_middle import level_of_ventricles, middle_of_head


def head(scale: tuple[float, float, float], nose: bool = False) -> NDArray[np.float32]:
    """A ball of 75 mm around (100, 120, 90) mm above a neck, in noise."""
    shape = tuple(round(mm / size) for mm, size in zip((240, 220, 180), scale, strict=True))
    i, p, l = np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, scale, strict=True)),  # noqa: E741
                          indexing="ij")
    inside = (i - 100) ** 2 + (p - 120) ** 2 + (l - 90) ** 2 < 75**2
    inside |= (i > 100) & ((p - 120) ** 2 + (l - 90) ** 2 < 50**2)
    if nose:
        inside |= (abs(i - 160) < 20) & (p < 120) & (abs(l - 90) < 20)
    noise = np.random.default_rng(0).uniform(0, 0.04, shape)
    made: NDArray[np.float32] = np.where(inside, 1, noise).astype(np.float32)
    return made


@pytest.mark.parametrize("scale", [(1.5, 1.5, 1.5), (5.0, 1.0, 1.0), (1.0, 1.0, 6.0)])
@pytest.mark.parametrize("nose", [False, True])
def test_middle_is_that_of_the_cranium(scale: tuple[float, float, float], nose: bool) -> None:
    found = np.multiply(middle_of_head(head(scale, nose), scale), scale)
    assert np.abs(found - (100, 120, 90)).max() < 4 * max(scale) + 4


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_do_not_matter(bad: float) -> None:
    scale = (2.0, 2.0, 2.0)
    data: Any = head(scale)
    expected = middle_of_head(data, scale)
    data[0, 0, 0] = bad
    assert middle_of_head(data, scale) == expected


def test_where_there_is_no_head_the_middle_of_the_picture() -> None:
    assert middle_of_head(np.zeros((30, 40, 50), np.float32), (1.0, 1.0, 1.0)) == (15, 20, 25)


def test_of_a_slab_the_middle_slice() -> None:
    assert level_of_ventricles(head((5.0, 2.0, 2.0))[12:22], 5.0) == 5
