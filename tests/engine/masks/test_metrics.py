from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_singlestrip.engine.masks.metrics import (
    compare,
    dice,
    hd95_mm,
    mean_surface_distance_mm,
    volume_difference_percent,
)

SPACING = (1.0, 1.5, 3.0)


def ball(radius: float, shift: int = 0) -> np.ndarray:
    x = np.indices((40, 30, 24)) - np.reshape([18 + shift, 15, 12], (3, 1, 1, 1))
    return np.asarray((x**2).sum(axis=0) < radius**2)


def random_mask(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return ball(rng.uniform(4, 10), int(rng.integers(-4, 5))) ^ (rng.random((40, 30, 24)) < 0.002)


def test_identical_masks() -> None:
    scores = compare(ball(8), ball(8), SPACING)
    assert (scores.dice, scores.hd95_mm, scores.mean_surface_distance_mm) == (1, 0, 0)
    assert scores.volume_difference_percent == 0


def test_a_shifted_slab_in_numbers() -> None:
    a, b = np.zeros((20, 20, 20), bool), np.zeros((20, 20, 20), bool)
    a[4:10], b[6:12] = True, True
    assert dice(a, b) == pytest.approx(2 * 4 / 12)
    assert hd95_mm(a, b, (1.5, 1, 1)) == pytest.approx(3.0)
    assert volume_difference_percent(a, b[:, :, :10].repeat(2, axis=2)) == 0
    b[8:12] = False
    assert volume_difference_percent(a, b) == pytest.approx(200)
    assert volume_difference_percent(b, a) == pytest.approx(-100 * 2 / 3)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 1000))
def test_scores_are_symmetric_and_agree_with_their_own_functions(one: int, two: int) -> None:
    a, b = random_mask(one), random_mask(two)
    there, back = compare(a, b, SPACING), compare(b, a, SPACING)
    assert there.dice == back.dice == dice(a, b)
    assert there.hd95_mm == pytest.approx(back.hd95_mm)
    assert there.hd95_mm == hd95_mm(a, b, SPACING)
    assert there.mean_surface_distance_mm == pytest.approx(back.mean_surface_distance_mm)
    assert there.mean_surface_distance_mm == mean_surface_distance_mm(a, b, SPACING)


def test_empty_masks_follow_the_stated_rule() -> None:
    empty = ball(8) & False
    one = compare(empty, ball(8), SPACING)
    assert one.dice == 0
    assert np.isnan([one.hd95_mm, one.mean_surface_distance_mm]).all()
    assert one.volume_difference_percent == -100
    both = compare(empty, empty, SPACING)
    assert np.isnan([both.dice, both.hd95_mm, both.volume_difference_percent]).all()


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shapes"):
        compare(np.ones((2, 2, 2), bool), np.ones((2, 2, 3), bool), SPACING)


def test_monai_measures_the_same() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # monai's and its dependencies' own deprecations
        import torch
        from monai import metrics

        monai: Any = metrics
        for seeds in ((1, 2), (3, 4), (5, 6)):
            a, b = (random_mask(seed) for seed in seeds)
            pair = [torch.from_numpy(m)[None, None].float() for m in (a, b)]
            ours = compare(a, b, SPACING)
            assert ours.dice == pytest.approx(float(monai.compute_dice(*pair)), rel=1e-5)
            hd95 = monai.compute_hausdorff_distance(
                *pair, include_background=True, percentile=95, spacing=SPACING
            )
            assert ours.hd95_mm == pytest.approx(float(hd95), rel=1e-4)
            means = [
                monai.compute_average_surface_distance(*p, include_background=True, spacing=SPACING)
                for p in (pair, pair[::-1])
            ]
            expected = float(sum(means)) / 2
            assert ours.mean_surface_distance_mm == pytest.approx(expected, rel=1e-4)
