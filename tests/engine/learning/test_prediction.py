"""Several predictions of one scan as masks: as they would be, on the voxels of the refinement."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.engine.imaging.geometry import signed_distance
from napari_singlestrip.engine.imaging.grid import Volume
from napari_singlestrip.engine.imaging.resampling import resample
from napari_singlestrip.engine.learning import prediction as predicting
from napari_singlestrip.engine.learning.prediction import Prediction, similar_masks, to_mask
from napari_singlestrip.engine.masks.border_refinement import BorderRefiner
from napari_singlestrip.engine.masks.metrics import dice
from napari_singlestrip.engine.overrides import override
from napari_singlestrip.sample_data import SampleHead

OBLIQUE = nib.eulerangles.euler2mat(0.2, 0.1, 0.3)


def scan_of(head: SampleHead, axes: np.ndarray[Any, Any]) -> Volume:
    """The head as a scanner would store it along other axes."""
    data = head.data.astype(np.float32)
    order, flips = np.abs(axes).argmax(1), axes.sum(1)
    stored = data.transpose(order)[tuple(slice(None, None, int(step)) for step in flips)]
    corner = np.where(flips < 0, np.array(data.shape)[order] - 1, 0)
    back = np.zeros((3, 3))
    back[order, range(3)] = flips
    start = np.zeros(3)
    start[order] = corner
    return Volume(stored, head.affine @ nib.affines.from_matvec(back, start))


def predicted(head: SampleHead, wobble_mm: float, seed: int = 0) -> Prediction:
    """A coarse prediction whose surface is off by some mm."""
    fine = Volume(head.data.astype(np.float32), head.affine)
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=fine.data.shape), 2)
    distance = signed_distance(head.mask, fine.grid.spacing) - wobble_mm * noise / noise.std()
    probability = (1 / (1 + np.exp(distance))).astype(np.float32)
    return Prediction(probability, Volume(probability, head.affine))


@pytest.mark.parametrize("axes", [np.eye(3), np.array([[0, -1, 0], [0, 0, 1], [-1, 0, 0]])])
def test_they_are_the_masks_that_a_person_would_get(
    axes: np.ndarray[Any, Any], phantom: SampleHead, tiny_settings: Settings
) -> None:
    volume, prediction = scan_of(phantom, axes), predicted(phantom, 2.0)
    mask = to_mask(prediction, volume, tiny_settings)
    found = [predicted(phantom, 2.0).probability, predicted(phantom, 6.0, seed=1).probability]
    like, unlike = similar_masks(found, prediction.grid, mask, volume, tiny_settings)
    refiner = BorderRefiner.around(mask, volume.data, volume.grid.spacing)
    assert refiner is not None
    inside = resample(Volume(mask.astype(np.float32), volume.affine), refiner.grid_in(volume.grid))
    assert like.shape == unlike.shape == inside.shape
    assert dice(like, inside > 0.5) > 0.97
    assert dice(unlike, inside > 0.5) < dice(like, inside > 0.5)


def test_what_was_turned_in_space_is_found_there(
    phantom: SampleHead, tiny_settings: Settings
) -> None:
    plain, prediction = scan_of(phantom, np.eye(3)), predicted(phantom, 2.0)
    mask = to_mask(prediction, plain, tiny_settings)
    turn = nib.affines.from_matvec(OBLIQUE, [5.0, -8.0, 3.0])
    turned = Volume(plain.data, turn @ plain.affine)
    field = Volume(prediction.probability, turn @ prediction.grid.affine)
    there = similar_masks([field.data], field.grid, mask, turned, tiny_settings)
    here = similar_masks([field.data], prediction.grid, mask, plain, tiny_settings)
    assert dice(*there, *here) > 0.995


def test_leaks_are_removed_from_all(
    phantom: SampleHead, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the mask of the scan tells: what its autoencoder says is asked once."""
    volume, asked = scan_of(phantom, np.eye(3)), []
    leak = ndimage.binary_dilation(phantom.mask, iterations=4) & ~phantom.mask
    leak[leak.shape[0] // 2 :] = False
    leaking = (phantom.mask | leak).astype(np.float32)
    room = signed_distance(phantom.mask, volume.grid.spacing, 20)

    def room_for_brain(mask: Any, *_: Any) -> Volume:
        asked.append(mask)
        return Volume(3.5 - room, volume.affine)

    monkeypatch.setattr(predicting, "room_for_brain", room_for_brain)
    able: Any = object()
    sizes = {}
    for removes in (True, False):
        settings = override(tiny_settings, {"prediction.remove_leaks": removes})
        masks = similar_masks(2 * [leaking], volume.grid, phantom.mask, volume, settings, able)
        sizes[removes] = [int(mask.sum()) for mask in masks]
    assert len(asked) == 1 and asked[0] is phantom.mask
    assert max(sizes[True]) < min(sizes[False])


def test_without_refined_borders_they_are_the_networks_own(
    phantom: SampleHead, tiny_settings: Settings
) -> None:
    volume, prediction = scan_of(phantom, np.eye(3)), predicted(phantom, 2.0)
    settings = override(
        tiny_settings, {"prediction.refine_border": False, "prediction.threshold": 0.7}
    )
    (mask,) = similar_masks(
        [prediction.probability], prediction.grid, phantom.mask, volume, settings
    )
    np.testing.assert_array_equal(mask, prediction.probability > 0.7)


def test_an_empty_mask_has_nothing_like_it(phantom: SampleHead, tiny_settings: Settings) -> None:
    volume, prediction = scan_of(phantom, np.eye(3)), predicted(phantom, 2.0)
    nothing = np.zeros_like(phantom.mask)
    found = 3 * [prediction.probability]
    masks = similar_masks(found, prediction.grid, nothing, volume, tiny_settings)
    assert len(masks) == 3 and not any(mask.any() for mask in masks)
