"""Examples: cut out around the brain, on a grid that grows with it."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.engine.heads.label_bank import (
    ROOM,
    SOFT_BAND,
    BankBuilder,
    Example,
    Geometry,
    make_example,
    training_geometry,
)
from napari_singlestrip.engine.heads.label_map import LabelBank, untiled
from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.learning.losses import partial_volume
from napari_singlestrip.engine.overrides import override
from napari_singlestrip.errors import UserError

if TYPE_CHECKING:
    from napari_singlestrip.sample_data import SampleHead


def grid_of(array: Any, affine: Any) -> Grid:
    i, j, k = array.shape
    return Grid((i, j, k), affine)


def bank_of(
    examples: list[Example], geometry: Geometry, settings: Settings,
    rng: np.random.Generator, n_maps: int | None = None,
) -> LabelBank:
    builder = BankBuilder(geometry, settings, rng, n_maps)
    for example in examples:
        builder.add(example)
    return builder.build()


def shrunk(affine: Any, factor: float) -> Any:
    """The same voxels, smaller."""
    return np.diag([factor, factor, factor, 1.0]) @ affine


# --- geometry


def test_sides_suit_the_network_and_hold_the_brain(
    phantom: SampleHead, geometry: Geometry, tiny_settings: Settings
) -> None:
    assert geometry.spacing_mm == 8
    assert all(n % tiny_settings.network.side_multiple == 0 for n in geometry.shape)
    where = np.argwhere(phantom.mask)
    extent = (np.ptp(where, axis=0) + 1) * 6.0
    assert np.all(np.array(geometry.shape) * 8.0 > extent)


@given(st.floats(0.02, 8).filter(lambda f: not 0.6 < f < 1.6))
def test_a_mouse_gets_as_many_voxels_as_a_man(
    phantom: SampleHead, tiny_settings: Settings, factor: float
) -> None:
    small = grid_of(phantom.mask, shrunk(phantom.affine, factor))
    geometry = training_geometry(phantom.mask, small, tiny_settings)
    human = training_geometry(phantom.mask, grid_of(phantom.mask, phantom.affine), tiny_settings)
    assert geometry.spacing_mm == pytest.approx(8 * factor, rel=0.1)
    step = tiny_settings.network.side_multiple
    assert np.abs(np.array(geometry.shape) - human.shape).max() <= step


@pytest.mark.parametrize("factor", [0.85, 1.0, 1.15])
def test_adults_share_the_spacing(
    phantom: SampleHead, tiny_settings: Settings, factor: float
) -> None:
    grid = grid_of(phantom.mask, shrunk(phantom.affine, factor))
    assert training_geometry(phantom.mask, grid, tiny_settings).spacing_mm == 8


def test_scaling_can_be_switched_off(phantom: SampleHead, tiny_settings: Settings) -> None:
    settings = override(tiny_settings, {"conform.scale_to_brain": False})
    grid = grid_of(phantom.mask, shrunk(phantom.affine, 0.1))
    assert training_geometry(phantom.mask, grid, settings).spacing_mm == 8


def test_more_margin_is_a_larger_grid(phantom: SampleHead, tiny_settings: Settings) -> None:
    grid = grid_of(phantom.mask, phantom.affine)
    sizes = [
        np.prod(training_geometry(
            phantom.mask, grid, override(tiny_settings, {"conform.margin": margin})
        ).shape)
        for margin in (0.0, 0.3, 0.8)
    ]  # fmt: skip
    assert sizes[0] < sizes[1] < sizes[2]


# --- examples


def test_example_is_centred_on_the_brain(example: Example, geometry: Geometry) -> None:
    shape = np.array(example.mask.shape)
    assert np.array_equal(shape, np.ceil(np.array(geometry.shape) * geometry.ratio * ROOM))
    where = np.argwhere(example.mask)
    middle = (where.min(0) + where.max(0)) / 2
    assert np.abs(middle - (shape - 1) / 2).max() <= 2 * geometry.ratio
    assert where.min() > 0
    assert (where.max(0) < shape - 1).all()


def test_example_keeps_volume_and_intensities(
    example: Example, geometry: Geometry, phantom: SampleHead
) -> None:
    fine = geometry.spacing_mm / geometry.ratio
    true_ml = phantom.mask.sum() * grid_of(phantom.mask, phantom.affine).voxel_ml
    assert example.mask.sum() * fine**3 / 1000 == pytest.approx(true_ml, rel=0.05)
    assert example.data.dtype == np.float32
    assert 0 <= example.data.min() <= example.data.max() <= 1
    assert not example.data[~example.seen].any()


def test_distance_is_in_voxels_of_the_training_grid(example: Example, geometry: Geometry) -> None:
    assert ((example.distance < 0) == example.mask).all()
    beside = example.mask & ~np.roll(example.mask, 1, 0)
    assert np.abs(example.distance[beside]).min() == pytest.approx(0.5 / geometry.ratio)
    inner = example.distance[example.mask].min()
    radius_mm = (example.mask.sum() * 3 / 4 / np.pi) ** (1 / 3) * geometry.spacing_mm / 2
    assert -inner * geometry.spacing_mm < 1.5 * radius_mm


def test_a_soft_label_is_soft_at_its_surface_only(
    phantom: SampleHead, geometry: Geometry, example: Example
) -> None:
    volume = Volume(phantom.data, phantom.affine)
    unsure = Volume(np.full(phantom.mask.shape, 0.3, np.float32), phantom.affine)
    soft = make_example("head", volume, phantom.mask, geometry, probability=unsure)
    near = np.abs(example.distance) < SOFT_BAND
    assert np.array_equal(soft.mask, example.mask)
    assert np.array_equal(soft.distance[~near], example.distance[~near])
    fraction = partial_volume(torch.from_numpy(soft.distance))[torch.from_numpy(near & soft.seen)]
    assert float(fraction.median()) == pytest.approx(0.3, abs=0.01)


def test_field_of_view_is_remembered(phantom: SampleHead, geometry: Geometry) -> None:
    """A scan that ends within the head: beyond it nothing was seen."""
    cut = phantom.data[:, :, 16:].astype(np.float32)
    affine = phantom.affine.copy()
    affine[:3, 3] += phantom.affine[:3, 2] * 16
    example = make_example("cut", Volume(cut, affine), phantom.mask[:, :, 16:], geometry)
    assert not example.seen.all()
    assert not example.data[~example.seen].any()


@pytest.mark.parametrize(("fill", "message"), [(False, "empty"), (True, "nothing")])
def test_useless_masks_are_named(
    phantom: SampleHead, geometry: Geometry, fill: bool, message: str
) -> None:
    mask = np.full_like(phantom.mask, fill)
    volume = Volume(phantom.data.astype(np.float32), phantom.affine)
    with pytest.raises(UserError, match=message) as caught:
        make_example("sub-01", volume, mask, geometry)
    assert "sub-01" in str(caught.value)


# --- bank


def test_bank_holds_all_maps_of_all_scans(
    example: Example, geometry: Geometry, tiny_settings: Settings
) -> None:
    two = [
        replace(example, weight=3.0), replace(example, name="other", data=1 - example.data)
    ]
    bank = bank_of(two, geometry, tiny_settings, np.random.default_rng(0))
    n_maps = len(tiny_settings.label_map.n_bins)
    assert untiled(bank.labels).shape == (2, n_maps, *example.data.shape)
    assert bank.labels.dtype == torch.uint8
    assert bank.distance.shape == bank.intensities.shape
    assert bank.shape == example.data.shape
    assert bank.weights.tolist() == [0.75, 0.25]
    assert int(bank.labels.max()) < bank.n_labels
    assert [len(b) for b in bank.backgrounds] == [n_maps] * 2
    assert np.allclose(untiled(bank.intensities[0]).numpy() / 255, example.data, atol=1 / 255)


def test_bank_can_hold_fewer_maps(
    example: Example, geometry: Geometry, tiny_settings: Settings
) -> None:
    for n_maps in (0, 1, 2, 9):
        bank = bank_of(
            [example], geometry, tiny_settings, np.random.default_rng(0), n_maps
        )
        assert bank.labels.shape[1] == min(max(n_maps, 1), len(tiny_settings.label_map.n_bins))
    masks_only = bank_of(
        [example], geometry, tiny_settings, np.random.default_rng(0), 0
    )
    assert not masks_only.labels.any()


def test_same_generator_same_bank(
    example: Example, geometry: Geometry, tiny_settings: Settings
) -> None:
    one, two = (
        bank_of([example], geometry, tiny_settings, np.random.default_rng(4), 1)
        for _ in range(2)
    )
    assert torch.equal(one.labels, two.labels)


def test_builder_keeps_no_example(
    example: Example, geometry: Geometry, tiny_settings: Settings
) -> None:
    """Fifty scans would not fit otherwise."""
    builder = BankBuilder(geometry, tiny_settings, np.random.default_rng(0), 1)
    one = replace(example, data=example.data.copy())
    alive = weakref.ref(one), weakref.ref(one.data)
    builder.add(one)
    del one
    assert [there() for there in alive] == [None, None]
    assert untiled(builder.build().labels).shape == (1, 1, *example.data.shape)
