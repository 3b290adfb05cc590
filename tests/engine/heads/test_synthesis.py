"""Synthetic heads: replayable from plain numbers, and each corruption does what it says."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_singlestrip.engine.config import SynthesisConfig
from napari_singlestrip.engine.heads.label_map import (
    MAX_DISTANCE,
    OUTSIDE,
    LabelBank,
    tiled,
    untiled,
)
from napari_singlestrip.engine.heads.synthesis import render, render_distance
from napari_singlestrip.engine.heads.synthesis_params import SynthesisParams, gentle, sample_params
from napari_singlestrip.engine.imaging.geometry import signed_distance

Array = np.ndarray[Any, Any]


def f32(values: Any) -> Array:
    """An array of single precision."""
    return np.asarray(values, np.float32)


SHAPE = (24, 28, 20)
SEEDS = st.integers(0, 2**31 - 1)


@pytest.fixture(scope="module")
def ball_bank() -> LabelBank:
    """A ball of a brain in a head of shells, one label voxel per voxel, with a landmark."""
    side = tuple(n + 16 for n in SHAPE)
    axes = [np.arange(n) - (n - 1) / 2 for n in side]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    labels = np.zeros(side, np.uint8)
    for label, reach in ((1, 12.0), (2, 10.0), (3, 8.0), (4, 5.0)):
        labels[radius < reach] = label
    labels[(x > 6) & (labels == 3)] = 4  # so that left and right differ
    distance = np.clip(np.rint((radius - 8) * 24), -127, 127).astype(np.int8)
    scan = np.rint(255 * np.clip(1 - radius / 20 + x / 80, 0, 1)).astype(np.uint8)
    return LabelBank(
        tiled(torch.from_numpy(labels)[None, None]), tiled(torch.from_numpy(distance)[None]),
        tiled(torch.from_numpy(scan)[None]), ((1,),), ((((3, 1), (4, 2)),),), 5, 1, np.ones(1),
    )  # fmt: skip


def plain(**changes: Any) -> SynthesisParams:
    """The numbers of a head that nothing happens to."""
    params = SynthesisParams(
        entry=0, real=False, label_map=0,
        linear=np.eye(3, dtype=np.float32), shift=np.zeros(3, np.float32),
        velocity=np.zeros((3, 2, 2, 2), np.float32),
        means=np.tile(f32([0, 0.9, 0.2, 0.5, 0.7]), (2, 1)), stds=np.zeros(5, np.float32),
        blend=np.zeros((2, 2, 2), np.float32), bias=np.zeros((2, 2, 2), np.float32),
        shapes=np.zeros((0, 0, 0), np.float32), shape_means=np.zeros(0, np.float32),
        blur_fwhm=np.zeros(3, np.float32), thickness=np.ones(3, np.float32), noise_std=0.0,
        gamma=1.0, crop=np.zeros((3, 2), np.float32), seed=1,
    )  # fmt: skip
    return replace(params, **changes)


def head(bank: LabelBank, params: SynthesisParams) -> tuple[Array, Array]:
    """Image and distance of one head, (I, J, K) each."""
    image, distance = render(bank, [params], SHAPE)
    return image[0, 0].numpy().copy(), distance[0, 0].numpy().copy()


def middle(volume: torch.Tensor) -> Array:
    """The part of a label map that an undeformed head shows."""
    part: Array = volume.numpy()[tuple(slice(8, -8) for _ in range(3))]
    return part


# --- replaying


@given(SEEDS, st.booleans())
def test_same_numbers_same_picture(bank: LabelBank, seed: int, real: bool) -> None:
    params = sample_params(np.random.default_rng(seed), bank, SynthesisConfig(), real)
    for one, two in zip(render(bank, [params], SHAPE), render(bank, [params], SHAPE), strict=True):
        assert torch.equal(one, two)


@given(SEEDS)
def test_same_generator_same_numbers(bank: LabelBank, seed: int) -> None:
    one, two = (
        sample_params(np.random.default_rng(seed), bank, SynthesisConfig()) for _ in range(2)
    )
    assert json.dumps(one.to_json()) == json.dumps(two.to_json())


@given(SEEDS, st.booleans())
def test_numbers_can_be_stored_and_replayed(bank: LabelBank, seed: int, real: bool) -> None:
    params = sample_params(np.random.default_rng(seed), bank, SynthesisConfig(), real)
    stored = SynthesisParams.from_json(json.loads(json.dumps(params.to_json(), allow_nan=False)))
    for field in fields(SynthesisParams):
        before, after = getattr(params, field.name), getattr(stored, field.name)
        assert type(before) is type(after), field.name
        # No shapes are no shapes, in however many dimensions.
        assert np.array_equal(before, after) or before.size == after.size == 0, field.name
    for one, two in zip(render(bank, [params], SHAPE), render(bank, [stored], SHAPE), strict=True):
        assert torch.equal(one, two)


@given(SEEDS)
def test_a_batch_is_its_heads_one_by_one(bank: LabelBank, seed: int) -> None:
    rng = np.random.default_rng(seed)
    params = [sample_params(rng, bank, SynthesisConfig(), real=b == 1) for b in range(3)]
    images, distances = render(bank, params, SHAPE)
    for b, one in enumerate(params):
        image, distance = render(bank, [one], SHAPE)
        # Sums run in another order; a voxel on the border of a label may go to the other side.
        assert (torch.isclose(images[b], image[0], atol=1e-3)).float().mean() > 0.995
        assert (torch.isclose(distances[b], distance[0])).float().mean() > 0.995


def test_nothing_is_drawn_from_global_state(bank: LabelBank) -> None:
    from numpy.random import get_state

    def states() -> tuple[str, bytes]:
        return repr(get_state(legacy=True)), torch.get_rng_state().numpy().tobytes()  # noqa: NPY002

    before = states()
    params = sample_params(np.random.default_rng(0), bank, SynthesisConfig())
    render(bank, [params], SHAPE)
    render_distance(bank, [params], SHAPE)
    assert states() == before
    torch.manual_seed(99)
    one = render(bank, [params], SHAPE)[0]
    torch.manual_seed(1)
    assert torch.equal(one, render(bank, [params], SHAPE)[0])


# --- ranges


EXTREME = SynthesisConfig(
    rotation_deg=180, scaling=0.9, shear=0.9, translation=1, warp_std=0.2, warp_grid=(2, 8),
    intensity_std=1, bias_std=2, bias_grid=(1, 9), blur_fwhm=10, thick_slices=16, noise_std=1,
    gamma=2, crop=0.9, crop_probability=1, background_probability=1, shapes_probability=1,
)  # fmt: skip
NOTHING = SynthesisConfig(
    rotation_deg=0, scaling=0, shear=0, translation=0, warp_std=0, flip=False, intensity_std=0,
    bias_std=0, blur_fwhm=0, thick_slices=1, noise_std=0, gamma=0, crop=0, crop_probability=0,
    background_probability=0, shapes_probability=0,
)  # fmt: skip


@given(SEEDS, st.sampled_from([SynthesisConfig(), EXTREME, NOTHING]), st.booleans())
def test_intensities_are_within_0_and_1(
    bank: LabelBank, seed: int, config: SynthesisConfig, real: bool
) -> None:
    params = sample_params(np.random.default_rng(seed), bank, config, real)
    image, distance = head(bank, params)
    assert image.shape == distance.shape == SHAPE
    assert image.dtype == distance.dtype == np.float32
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() <= 1 + 1e-6
    assert np.abs(distance).max() <= MAX_DISTANCE + 1e-5


def test_head_of_one_intensity_is_no_division_by_zero(ball_bank: LabelBank) -> None:
    image, _ = head(ball_bank, plain(means=np.full((2, 5), 0.5, np.float32)))
    assert np.isfinite(image).all()


def test_real_scans_are_corrupted_less() -> None:
    config, less = SynthesisConfig(), gentle(SynthesisConfig())
    for name in ("bias_std", "blur_fwhm", "noise_std", "gamma", "crop_probability"):
        assert getattr(less, name) == getattr(config, name) / 2
    assert less.rotation_deg == config.rotation_deg


def test_scans_are_drawn_by_their_weights(bank: LabelBank) -> None:
    two = replace(
        bank, labels=torch.cat([bank.labels] * 2), distance=torch.cat([bank.distance] * 2),
        intensities=torch.cat([bank.intensities] * 2), backgrounds=bank.backgrounds * 2,
        twins=bank.twins * 2,
        weights=np.array([0.25, 0.75]),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    drawn = [sample_params(rng, two, SynthesisConfig()).entry for _ in range(400)]
    assert 0.68 < np.mean(drawn) < 0.82


# --- geometry


def test_undeformed_head_is_the_middle_of_the_label_map(ball_bank: LabelBank) -> None:
    params = plain()
    image, distance = head(ball_bank, params)
    labels = middle(untiled(ball_bank.labels)[0, 0])
    stored = middle(untiled(ball_bank.distance)[0]).astype(np.float32) / 24
    assert np.allclose(distance, stored, atol=1e-6)
    for label in range(5):
        assert np.ptp(image[labels == label]) < 1e-6  # one grey for each label
    means = [image[labels == label].mean() for label in range(5)]
    assert np.array_equal(np.argsort(means), np.argsort(params.means[0]))


def test_real_scan_without_corruptions_is_the_scan(ball_bank: LabelBank) -> None:
    image, _ = head(ball_bank, plain(real=True))
    scan = middle(untiled(ball_bank.intensities)[0]) / 255
    low, high = np.quantile(scan, [0.01, 0.995])
    assert np.abs(image - np.clip((scan - low) / (high - low), 0, 1)).max() < 0.03
    rescaled = np.polyfit(scan.ravel(), image.ravel(), 1)
    inner = (image > 0.01) & (image < 0.99)
    assert np.abs(np.polyval(rescaled, scan) - image)[inner].max() < 0.03


def test_real_scan_without_ranges_is_the_scan(bank: LabelBank) -> None:
    params = sample_params(np.random.default_rng(0), bank, NOTHING, real=True)
    image, _ = head(bank, params)
    still = head(bank, replace(plain(real=True), label_map=0))[0]
    assert np.allclose(image, still, atol=1e-5)


def test_flip_mirrors_image_and_mask(ball_bank: LabelBank) -> None:
    there, back = head(ball_bank, plain()), head(
        ball_bank, plain(linear=np.diag(f32([-1, 1, 1])))
    )
    for one, two in zip(there, back, strict=True):
        assert np.allclose(one, two[::-1], atol=1e-6)
    assert not np.allclose(there[0], there[0][::-1])


@given(st.integers(-4, 4), st.integers(-4, 4), st.integers(-4, 4))
def test_shift_moves_by_whole_voxels(ball_bank: LabelBank, i: int, j: int, k: int) -> None:
    shift = f32([i, j, k]) / f32(SHAPE)
    _, distance = head(ball_bank, plain(shift=shift))
    moved = np.roll(untiled(ball_bank.distance)[0].numpy(), (-i, -j, -k), (0, 1, 2))
    assert np.allclose(distance, middle(torch.from_numpy(moved)) / np.float32(24), atol=1e-5)


@given(st.floats(-40, 40))
def test_rotation_turns_about_the_middle(ball_bank: LabelBank, degrees: float) -> None:
    a = np.deg2rad(degrees)
    linear = f32([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    image, _ = head(ball_bank, plain(linear=linear))
    offset = (np.array(SHAPE) - 1) / 2
    labels = middle(untiled(ball_bank.labels)[0, 0])
    turned = ndimage.affine_transform(labels, linear, offset - linear @ offset, order=0)
    still, _ = head(ball_bank, plain())
    inside = (turned > 2) & (turned < 5)
    greys = np.array([still[labels == label].mean() for label in range(5)])
    assert (np.abs(image - greys[turned]) < 0.02)[inside].mean() > 0.97  # rounding at borders


@given(SEEDS)
def test_distance_is_that_of_the_rendered_mask(bank: LabelBank, seed: int) -> None:
    """Where nothing is stretched, distances of the deformed mask are those of the mask."""
    config = SynthesisConfig(scaling=0, shear=0, warp_std=0, crop_probability=0, translation=0.05)
    params = sample_params(np.random.default_rng(seed), bank, config)
    _, distance = head(bank, params)
    near = np.abs(distance) < 3
    true = signed_distance(distance < 0, (1.0, 1.0, 1.0))
    assert np.abs(distance - true)[near].mean() < 0.35
    assert np.percentile(np.abs(distance - true)[near], 99) < 1.0


@given(SEEDS)
def test_masks_alone_are_those_of_the_heads(bank: LabelBank, seed: int) -> None:
    config = SynthesisConfig(crop_probability=0)
    params = sample_params(np.random.default_rng(seed), bank, config)
    assert np.array_equal(render_distance(bank, [params], SHAPE)[0, 0].numpy(),
                          head(bank, params)[1])


def test_coarser_masks_cover_the_same_place(ball_bank: LabelBank) -> None:
    coarse = render_distance(ball_bank, [plain()], (12, 14, 10), scale=2.0)
    fine = render_distance(ball_bank, [plain()], SHAPE)
    assert 8 * float((coarse < 0).sum()) == pytest.approx(float((fine < 0).sum()), rel=0.1)
    assert float(coarse.min()) == pytest.approx(float(fine.min()) / 2, abs=0.1)


# --- corruptions, each alone


def test_noise_raises_the_variance(ball_bank: LabelBank) -> None:
    clean, _ = head(ball_bank, plain())
    tissue = middle(untiled(ball_bank.labels)[0, 0]) == 3
    spread = [head(ball_bank, plain(noise_std=s))[0][tissue].std() for s in (0.0, 0.03, 0.1)]
    assert clean[tissue].std() < 1e-6
    assert spread[0] < spread[1] < spread[2]


def test_texture_is_within_its_label(ball_bank: LabelBank) -> None:
    image, _ = head(ball_bank, plain(stds=f32([0, 0, 0, 0.1, 0])))
    labels = middle(untiled(ball_bank.labels)[0, 0])
    assert image[labels == 3].std() > 0.05
    assert image[labels == 4].std() < 1e-5


def test_another_seed_is_other_noise_on_the_same_head(ball_bank: LabelBank) -> None:
    (one, mask), (two, same) = (head(ball_bank, plain(noise_std=0.05, seed=s)) for s in (1, 2))
    assert np.array_equal(mask, same)
    tissue = middle(untiled(ball_bank.labels)[0, 0]) == 3
    assert abs(np.corrcoef(one[tissue], two[tissue])[0, 1]) < 0.15


def sharpness(image: Array, axis: int) -> float:
    """Largest step between neighbours along an axis."""
    return float(np.abs(np.diff(image, axis=axis)).max())


def test_blur_lowers_the_gradient(ball_bank: LabelBank) -> None:
    steps = []
    for fwhm in (0, 1.5, 4):
        image, _ = head(ball_bank, plain(blur_fwhm=np.full(3, fwhm, np.float32)))
        steps.append(np.mean([sharpness(image, axis) for axis in range(3)]))
    assert steps[0] > steps[1] > steps[2]


@pytest.mark.parametrize("axis", range(3))
def test_thick_slices_are_along_their_axis_only(ball_bank: LabelBank, axis: int) -> None:
    thickness = np.ones(3, np.float32)
    thickness[axis] = 4
    (thick, mask), (thin, same) = head(ball_bank, plain(thickness=thickness)), head(
        ball_bank, plain()
    )
    assert sharpness(thick, axis) < 0.7 * sharpness(thin, axis)
    for other in {0, 1, 2} - {axis}:
        assert sharpness(thick, other) > 0.75 * sharpness(thin, other)
    assert np.array_equal(mask, same)  # the brain is where it was


@given(st.floats(0.3, 3))
def test_gamma_keeps_the_order_of_greys(ball_bank: LabelBank, gamma: float) -> None:
    before, _ = head(ball_bank, plain())
    after, _ = head(ball_bank, plain(gamma=gamma))
    order = np.argsort(before.ravel(), kind="stable")
    assert np.diff(after.ravel()[order]).min() >= -1e-6
    assert np.allclose(after, np.clip(before, 1e-6, 1) ** gamma, atol=1e-3)


def test_bias_brightens_one_side(ball_bank: LabelBank) -> None:
    bias = np.zeros((2, 2, 2), np.float32)
    bias[1] = 0.5
    image, _ = head(ball_bank, plain(bias=bias))
    ring = middle(untiled(ball_bank.labels)[0, 0]) == 2
    assert image[16:][ring[16:]].mean() > 1.1 * image[:8][ring[:8]].mean()


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("side", range(2))
def test_crop_blanks_planes_of_image_and_mask(ball_bank: LabelBank, axis: int, side: int) -> None:
    crop = np.zeros((3, 2), np.float32)
    crop[axis, side] = 0.5
    (image, distance), (whole, everything) = head(ball_bank, plain(crop=crop)), head(
        ball_bank, plain()
    )
    half = SHAPE[axis] // 2
    gone, kept = [np.moveaxis(x, axis, 0)[::-1 if side else 1] for x in (image, distance)], [
        np.moveaxis(x, axis, 0)[::-1 if side else 1] for x in (whole, everything)
    ]
    assert not gone[0][:half].any()
    assert (gone[1][:half] >= MAX_DISTANCE - 1e-5).all()
    for cut, full in zip(gone, kept, strict=True):
        assert np.array_equal(cut[half:], full[half:])
    assert (everything < 0).sum() > (distance < 0).sum() > 0


def test_shapes_fill_the_air_only(ball_bank: LabelBank) -> None:
    shapes = np.random.default_rng(0).uniform(0, 1, (6, 6, 6)).astype(np.float32)
    changed = plain(shapes=shapes, shape_means=f32([0.3, 0.9]))
    (image, mask), (still, same) = head(ball_bank, changed), head(ball_bank, plain())
    air = middle(untiled(ball_bank.labels)[0, 0]) == OUTSIDE
    assert np.array_equal(mask, same)
    assert image[air].std() > still[air].std() + 0.05
    for label in range(1, 5):
        tissue = middle(untiled(ball_bank.labels)[0, 0]) == label
        assert np.ptp(image[tissue]) < 1e-6


def test_blend_goes_from_one_contrast_to_the_other(ball_bank: LabelBank) -> None:
    means = f32([[0, 0.9, 0.2, 0.5, 0.7], [0, 0.9, 0.8, 0.5, 0.1]])
    labels = middle(untiled(ball_bank.labels)[0, 0])
    for blend, darker in ((0.0, 2), (1.0, 4)):
        control = np.full((2, 2, 2), blend, np.float32)
        image, _ = head(ball_bank, plain(means=means, blend=control))
        greys = {label: image[labels == label].mean() for label in (2, 3, 4)}
        assert min(greys, key=greys.__getitem__) == darker


def test_blend_is_how_far_the_contrasts_are_apart(bank: LabelBank) -> None:
    def apart(blend: float) -> float:
        config = SynthesisConfig(blend=blend, background_probability=0, isointense_probability=0)
        rng = np.random.default_rng(0)
        draws = [sample_params(rng, bank, config).means for _ in range(50)]
        return max(float(np.abs(means[1] - means[0]).max()) for means in draws)

    assert apart(0) == 0
    assert 0.15 < apart(0.2) <= 0.2
    assert apart(1) > 0.5


def test_background_may_be_zero(bank: LabelBank) -> None:
    config = SynthesisConfig(background_probability=1, shapes_probability=0, noise_std=0, gamma=0)
    for seed in range(5):
        params = sample_params(np.random.default_rng(seed), bank, config)
        assert not params.means[:, OUTSIDE].any()
        assert params.stds[OUTSIDE] == 0


def test_tied_labels_are_painted_alike(ball_bank: LabelBank) -> None:
    config = SynthesisConfig(isointense_probability=1.0, background_probability=0.0)
    rng = np.random.default_rng(0)
    tied = [sample_params(rng, ball_bank, config).means for _ in range(200)]
    share = np.mean([np.array_equal(means[:, 3], means[:, 1]) for means in tied])
    assert 0.3 < share < 0.7  # the share itself is drawn for each head
    never = config.model_copy(update={"isointense_probability": 0.0})
    free = [
        sample_params(rng, ball_bank, never).means
        for _ in range(50)
    ]
    assert not any(np.array_equal(means[:, 3], means[:, 1]) for means in free)
