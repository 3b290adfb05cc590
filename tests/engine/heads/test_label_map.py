"""Label maps: what belongs together looks similar, whatever the scanner did to it."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_singlestrip.engine.config import LabelMapConfig
from napari_singlestrip.engine.heads.binning import bin_intensities, supervoxel_means
from napari_singlestrip.engine.heads.label_map import (
    DISTANCE_UNIT,
    OUTSIDE,
    LabelMaps,
    find_head,
    make_label_maps,
    signed_distance_units,
    tiled,
    untiled,
)

Array = np.ndarray[Any, Any]
Method = Literal["kmeans", "quantiles", "gmm"]
METHODS = get_args(Method)
SIDE = 40
PAIRS = ((3, 3), (4, 6))


def ball(radius: float) -> Array:
    """A ball in the middle of the grid."""
    axes = np.indices((SIDE,) * 3) - (SIDE - 1) / 2
    inside: Array = np.sqrt((axes**2).sum(0)) < radius
    return inside


def onion(noise: float = 0.02, bias: float = 0.0) -> tuple[Array, Array, Array]:
    """A head of shells: fat, skull, fluid, grey and white matter; its brain mask; all seen."""
    data = np.zeros((SIDE,) * 3, np.float32)
    for radius, value in ((18, 0.9), (16, 0.1), (14, 0.2), (13, 0.5), (9, 0.8)):
        data[ball(radius)] = value
    data += noise * np.random.default_rng(1).standard_normal(data.shape).astype(np.float32)
    x, y, _ = np.indices(data.shape) / (SIDE - 1) - 0.5
    data = np.clip(data, 0, None) * np.exp(bias * (x + y)).astype(np.float32)
    return data, ball(14), np.ones(data.shape, bool)


def maps_of(data: Array, mask: Array, seen: Array, seed: int = 0, **config: Any) -> LabelMaps:
    settings = LabelMapConfig(n_bins=PAIRS, **config)
    return make_label_maps(data, mask, seen, settings, np.random.default_rng(seed))


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> Method:
    chosen: Method = request.param
    return chosen


def test_bins_run_from_dark_to_bright(method: Method) -> None:
    data, mask, seen = onion()
    # Binned as they are: smoothing would give a voxel the bin of its neighbours.
    maps = maps_of(data, mask, seen, method=method, denoise=0, bias_field=0)
    for labels, (inside, outside) in zip(maps.labels, PAIRS, strict=True):
        means = [data[labels == label].mean() for label in range(1, 1 + inside + outside)
                 if (labels == label).any()]
        first_inside = sum((labels == label).any() for label in range(1, 1 + outside))
        assert first_inside >= 2
        assert np.all(np.diff(means[:first_inside]) > 0)
        assert np.all(np.diff(means[first_inside:]) > 0)


def test_inside_and_outside_share_no_label(method: Method) -> None:
    data, mask, seen = onion()
    maps = maps_of(data, mask, seen, method=method)
    for labels, (inside, outside) in zip(maps.labels, PAIRS, strict=True):
        within, without = set(np.unique(labels[mask])), set(np.unique(labels[~mask]))
        assert not within & without
        assert within <= set(range(1 + outside, 1 + outside + inside))
        assert without <= set(range(1 + outside))
    assert maps.n_labels == 1 + max(sum(pair) for pair in PAIRS) > maps.labels.max()
    assert maps.labels.dtype == np.uint8


def test_air_and_what_was_not_seen_is_label_0(method: Method) -> None:
    data, mask, seen = onion()
    seen[:6] = False
    labels = maps_of(data, mask, seen, method=method).labels
    assert (labels[:, :6] == OUTSIDE).all()
    assert (labels[:, ~ball(21)] == OUTSIDE).all()
    assert (labels[:, mask & seen] != OUTSIDE).all()
    # The dark skull belongs to the head, not to the air.
    skull = ball(15.5) & ~ball(14.5) & seen
    assert (labels[:, skull] != OUTSIDE).mean() > 0.95


def test_background_is_the_darkest_label_of_the_head() -> None:
    data, mask, seen = onion()
    maps = maps_of(data, mask, seen)
    for labels, background in zip(maps.labels, maps.backgrounds, strict=True):
        outside = np.unique(labels[~mask & (labels != OUTSIDE)])
        assert background == outside[0]


def test_same_generator_same_maps(method: Method) -> None:
    data, mask, seen = onion()
    one, two = (maps_of(data, mask, seen, seed=5, method=method).labels for _ in range(2))
    assert np.array_equal(one, two)


def test_bias_field_and_noise_hardly_change_the_bins(method: Method) -> None:
    """Clean and biased copies of a head are divided alike; without flattening they are not."""
    clean = maps_of(*onion(noise=0), method=method).labels
    data, mask, seen = onion(noise=0.03, bias=1.0)
    agreement = {}
    for width in (0.35, 0.0):
        labels = maps_of(data, mask, seen, method=method, bias_field=width).labels
        agreement[width] = (labels == clean)[:, mask].mean()
    assert agreement[0.35] > agreement[0.0] + 0.05
    # Two tissues in the mask: bins beyond that divide noise, and cannot agree.
    core = mask & ~ball(12) | ball(8)
    two = [make_label_maps(d, m, s, LabelMapConfig(method=method), np.random.default_rng(0),
                           [(3, 3)]).labels[0] for d, m, s in (onion(noise=0), (data, mask, seen))]
    assert (two[0] == two[1])[core].mean() > 0.8


@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.4, 0.5, 0.9, 7.0]), min_size=1, max_size=60),
    st.integers(1, 16), st.sampled_from(METHODS),
)  # fmt: skip
def test_few_values_are_binned_in_order(values: list[float], n_bins: int, method: str) -> None:
    """A scan may have been segmented, quantised or blanked before: few values, or one."""
    x = np.array(values, np.float32)
    bins = bin_intensities(x, n_bins, method, np.random.default_rng(0))
    assert bins.shape == x.shape
    assert bins.dtype == np.uint8
    assert bins.max() < n_bins
    for value in np.unique(x):
        assert len(set(bins[x == value])) == 1
    if method != "gmm":  # a wide component may lie on both sides of a narrow one
        assert np.all(np.diff(bins[np.argsort(x, kind="stable")].astype(int)) >= 0)


def test_constant_head_is_one_bin_inside_and_one_outside(method: Method) -> None:
    data, mask, seen = np.full((SIDE,) * 3, 0.5, np.float32), ball(14), np.ones((SIDE,) * 3, bool)
    labels = maps_of(data, mask, seen, method=method).labels
    for part in (mask, ~mask & (labels[0] != OUTSIDE)):
        assert len(np.unique(labels[0][part])) == 1


def test_head_with_two_values_works(method: Method) -> None:
    data, mask, seen = onion(noise=0)
    labels = maps_of((data > 0.4).astype(np.float32), mask, seen, method=method).labels
    assert (labels[:, mask] > OUTSIDE).all()


@pytest.mark.parametrize("marked", [False, True])
def test_a_mask_of_nothing_or_everything_is_refused(marked: bool) -> None:
    data, mask, seen = onion()
    with pytest.raises(ValueError, match="inside and outside"):
        maps_of(data, np.full_like(mask, marked), seen)


def test_more_bins_divide_finer() -> None:
    data, mask, seen = onion()
    coarse, fine = maps_of(data, mask, seen).labels
    assert len(np.unique(fine)) > len(np.unique(coarse))


def test_parts_divide_every_bin_by_place() -> None:
    data, mask, seen = onion()
    whole, divided = (maps_of(data, mask, seen, parts=n) for n in (1, 3))
    assert divided.n_labels == 1 + 3 * sum(PAIRS[1])
    for one, many, (_, outside) in zip(whole.labels, divided.labels, PAIRS, strict=True):
        assert np.array_equal(many == OUTSIDE, one == OUTSIDE)
        assert np.array_equal(many == 1, one == 1)  # the darkest may be air, which is one
        assert np.array_equal(many > 3 * outside, one > outside)
        for label in np.unique(one[one > 1]):
            pieces = np.unique(many[one == label])
            assert set(pieces) <= set(1 + 3 * (label - 1) + np.arange(3))
        assert len(np.unique(many)) > 1.5 * len(np.unique(one))


def test_labels_divided_have_twins_of_their_own() -> None:
    data, mask, seen = onion()
    maps = maps_of(data, mask, seen, parts=3)
    for labels, twins, (inside, outside) in zip(maps.labels, maps.twins, PAIRS, strict=True):
        assert {a for a, _ in twins} == set(np.unique(labels[mask]))
        assert all(1 <= b <= 3 * outside < a <= 3 * (inside + outside) for a, b in twins)


def test_supervoxels_quieten_noise_and_keep_the_edge_of_the_mask() -> None:
    clean, mask, _ = onion(noise=0)
    data, _, _ = onion(noise=0.1)
    means = supervoxel_means(data, mask, 5)
    within = ball(12) & ~ball(10) | ball(8)  # layers thicker than a seed
    assert np.abs(means - clean)[within].mean() < 0.3 * np.abs(data - clean)[within].mean()
    beside = means[ball(14) & ~ball(13)].mean() - means[ball(15) & ~ball(14)].mean()
    assert beside > 0.1


def test_bins_of_supervoxels_are_in_pieces_not_in_specks() -> None:
    def pieces(**config: Any) -> int:
        labels = maps_of(*onion(noise=0.1), denoise=0, **config).labels[1]
        return sum(ndimage.label(labels == label)[1] for label in np.unique(labels))

    assert pieces(supervoxels=5) < 0.2 * pieces()


def test_more_labels_than_fit_a_byte_are_refused() -> None:
    with pytest.raises(ValueError, match="280 labels"):
        LabelMapConfig(n_bins=((15, 20),), parts=8)


def test_head_holds_the_brain_and_no_specks() -> None:
    data, mask, seen = onion()
    data[2, 2, 2] = 1.0
    head = find_head(data, mask, seen)
    assert (head | ~mask).all()
    assert not head[2, 2, 2]
    assert ndimage.label(head)[1] == 1


def test_distance_is_stored_in_its_unit_and_clipped() -> None:
    stored = signed_distance_units(np.array([-99, -1, 0, 0.5, 99], np.float32))
    assert stored.dtype == np.int8
    assert stored.tolist() == [-127, round(-1 / DISTANCE_UNIT), 0, round(0.5 / DISTANCE_UNIT), 127]


def test_tiles_can_be_put_together_again() -> None:
    volume = torch.arange(2 * 8 * 12 * 4).view(2, 8, 12, 4)
    tiles = tiled(volume)
    assert tiles.shape == (2, 2, 3, 1, 4, 4, 4)
    assert torch.equal(tiles[1, 1, 2, 0], volume[1, 4:, 8:])
    assert torch.equal(untiled(tiles), volume)
    with pytest.raises(ValueError, match="multiples of 4"):
        tiled(volume[:, :7])
