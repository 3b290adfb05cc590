"""A mask's surface moves to the border that the scan shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import ndimage

from napari_singlestrip.engine.arrays import FloatArray, Mask
from napari_singlestrip.engine.imaging.geometry import signed_distance
from napari_singlestrip.engine.masks.border_refinement import refine_border
from napari_singlestrip.engine.masks.metrics import dice

RADIUS = 35
SIDE = 96


@dataclass(frozen=True)
class Head:
    """A ball of a brain in bright fat, with dark fluid between, and a mask with errors of 2 mm."""

    image: FloatArray
    brain: Mask
    rough: Mask


def smooth_noise(rng: np.random.Generator, width: float) -> FloatArray:
    noise = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE, SIDE)), width)
    return (noise / noise.std()).astype(np.float32)


@pytest.fixture(scope="module")
def head() -> Head:
    rng = np.random.default_rng(0)
    axes = np.ogrid[:SIDE, :SIDE, :SIDE]
    radius = np.sqrt(sum((a - (SIDE - 1) / 2) ** 2 for a in axes))
    brain = radius < RADIUS
    image = np.select([brain, radius < RADIUS + 4], [100.0, 30.0], 90.0)
    image += 8 * smooth_noise(rng, 0.5)
    distance = signed_distance(brain, (1, 1, 1), 20)
    return Head(image.astype(np.float32), brain, distance < 2 * smooth_noise(rng, 4))


def test_the_surface_moves_to_the_border(head: Head) -> None:
    kept = head.rough.copy()
    refined = refine_border(head.rough, head.image, (1.0, 1.0, 1.0))
    assert dice(head.rough, head.brain) < 0.96
    assert dice(refined, head.brain) > 0.985
    np.testing.assert_array_equal(head.rough, kept)


def test_a_mirrored_scan_has_a_mirrored_mask(head: Head) -> None:
    refined = refine_border(head.rough, head.image, (1.0, 1.0, 1.0))
    mirrored = refine_border(head.rough[::-1], head.image[::-1], (1.0, 1.0, 1.0))
    assert dice(mirrored[::-1], refined) > 0.998


def test_lengths_follow_the_size_of_the_brain(head: Head) -> None:
    """A mouse has the mask of a human child whose voxels are as many."""
    refined = refine_border(head.rough, head.image, (1.0, 1.0, 1.0))
    tiny = refine_border(head.rough, head.image, (0.1, 0.1, 0.1))
    assert dice(tiny, refined) > 0.999


def test_thick_slices(head: Head) -> None:
    thick = head.rough[:, :, ::5]
    refined = refine_border(thick, head.image[:, :, ::5], (1.0, 1.0, 5.0))
    assert dice(refined, head.brain[:, :, ::5]) > dice(thick, head.brain[:, :, ::5]) + 0.01


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
def test_an_image_that_shows_no_border_moves_little(head: Head, value: float) -> None:
    image = np.full_like(head.image, value)
    assert dice(refine_border(head.rough, image, (1.0, 1.0, 1.0)), head.rough) > 0.97


@pytest.mark.parametrize("value", [1e4, 1e6, -1e6, 1e30, np.nan, np.inf])
def test_single_wrong_voxels_spoil_nothing(head: Head, value: float) -> None:
    image = head.image.copy()
    image[[48, 30, 48], [48, 40, 83], [14, 60, 48]] = value
    assert dice(refine_border(head.rough, image, (1.0, 1.0, 1.0)), head.brain) > 0.985


@pytest.mark.parametrize(("scale", "offset"), [(1e-9, 0), (1e30, 0), (10, -950), (-1, 0)])
def test_intensities_of_any_range(head: Head, scale: float, offset: float) -> None:
    image = head.image * np.float32(scale) + np.float32(offset)
    assert dice(refine_border(head.rough, image, (1.0, 1.0, 1.0)), head.brain) > 0.98


def test_shading_is_taken_out(head: Head) -> None:
    """As near a coil: one end is 400 times as bright as the other."""
    ramp = np.exp(np.linspace(-3, 3, SIDE, dtype=np.float32))[:, None, None]
    refined = refine_border(head.rough, head.image * ramp, (1.0, 1.0, 1.0))
    assert dice(refined, head.brain) > 0.97


def test_noise_moves_little(head: Head) -> None:
    image = np.random.default_rng(1).normal(size=head.image.shape)
    assert dice(refine_border(head.rough, image, (1.0, 1.0, 1.0)), head.rough) > 0.97


def test_the_inside_and_the_outside_stay(head: Head) -> None:
    refined = refine_border(head.rough, head.image, (1.0, 1.0, 1.0))
    distance = signed_distance(head.rough, (1, 1, 1))
    assert not (refined != head.rough)[np.abs(distance) > 8].any()


@pytest.mark.parametrize("n", [0, 1, 4])
def test_what_is_too_small_to_learn_from_stays(n: int) -> None:
    mask = np.zeros((12, 12, 12), bool)
    mask[:n, :n, :1] = True
    image = np.random.default_rng(0).normal(size=mask.shape)
    np.testing.assert_array_equal(refine_border(mask, image, (1.0, 1.0, 1.0)), mask)


def test_a_mask_without_an_outside_stays() -> None:
    mask = np.ones((12, 12, 12), bool)
    image = np.random.default_rng(0).normal(size=mask.shape)
    np.testing.assert_array_equal(refine_border(mask, image, (1.0, 1.0, 1.0)), mask)


def test_another_shape_is_an_error(head: Head) -> None:
    with pytest.raises(ValueError, match="shape"):
        refine_border(head.rough, head.image[1:], (1.0, 1.0, 1.0))
