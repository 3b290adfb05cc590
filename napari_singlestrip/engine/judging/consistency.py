"""Agreement under augmentation: whether the mask stays the same when the scan is augmented.

Test-time augmentation after Specktor-Fadida et al. (2021): contrast, reflection and rotations; each
prediction is transformed back and becomes a mask, and the score is the median over augmentations of
the Dice with their voxelwise median. The masks are those that a person would get, with refined
borders: much of what a network's coarse predictions disagree about is corrected there, and what is
left tells more of a mask's errors (docs/trials.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy
import torch
from torch.nn import functional

from napari_singlestrip.engine.arrays import FloatArray, Mask
from napari_singlestrip.engine.devices import transfer
from napari_singlestrip.engine.devices.memory import is_out_of_memory, release
from napari_singlestrip.engine.devices.precision import REFUSALS
from napari_singlestrip.engine.imaging.grid import Volume
from napari_singlestrip.engine.imaging.shading import flattened
from napari_singlestrip.engine.learning.losses import to_probability
from napari_singlestrip.engine.learning.prediction import similar_masks
from napari_singlestrip.engine.learning.segmenter import Segmenter, find_window, predict_array

CONTRAST = 0.1  # largest change of contrast, fraction
ROTATION_DEG = 30.0  # largest rotation, about a random axis


@dataclass(frozen=True)
class Augmentation:
    """One augmentation of a scan."""

    contrast: float
    mirror: bool
    rotation: npt.NDArray[np.float64]  # (3, 3)

    def apply(self, data: FloatArray) -> FloatArray:
        """Augment a conformed scan."""
        turned = _rotate(data, self.rotation)
        turned = np.clip(0.5 + (turned - 0.5) * self.contrast, 0, 1).astype(np.float32)
        return turned[::-1] if self.mirror else turned

    def invert(self, probability: FloatArray) -> FloatArray:
        """Transform a prediction back."""
        return _rotate(probability[::-1] if self.mirror else probability, self.rotation.T)


def sample_augmentation(rng: np.random.Generator) -> Augmentation:
    """Sample one augmentation."""
    axis = rng.standard_normal(3)
    angle = np.deg2rad(rng.uniform(-ROTATION_DEG, ROTATION_DEG))
    turn = scipy.spatial.transform.Rotation.from_rotvec(angle * axis / np.linalg.norm(axis))
    return Augmentation(
        float(rng.uniform(1 - CONTRAST, 1 + CONTRAST)), bool(rng.random() < 0.5), turn.as_matrix()
    )


def consistency(
    segmenter: Segmenter,
    volume: Volume,
    mask: Mask,
    n_augmentations: int,
    rng: np.random.Generator,
) -> float:
    """Agreement of a segmenter with itself on a scan, 0 to 1 (higher is better).

    Parameters
    ----------
    segmenter : Segmenter
    volume : Volume
        The scan on its own grid.
    mask : (i, j, k) bool
        The segmenter's mask of it, on that grid.
    n_augmentations : int
    rng : numpy.random.Generator

    Returns
    -------
    float
        NaN if no augmentation finds any brain.
    """
    window = find_window(segmenter, volume)
    seen = window.view
    flat = flattened(volume, window.shading)
    augmentations = [sample_augmentation(rng) for _ in range(n_augmentations)]
    predictions = predict_augmented(segmenter, seen.data, augmentations)
    settings, autoencoder = segmenter.settings, segmenter.autoencoder
    return agreement(
        similar_masks(predictions, seen.grid, mask, flat, settings, autoencoder)
    )


def agreement(masks: Sequence[Mask]) -> float:
    """Median over masks of the Dice with their voxelwise median; NaN if all are empty.

    Parameters
    ----------
    masks : sequence of (I, J, K) bool
    """
    median = np.mean(masks, axis=0) >= 0.5
    totals = [int(mask.sum() + median.sum()) for mask in masks]
    dices = [
        2 * int((mask & median).sum()) / total
        for mask, total in zip(masks, totals, strict=True) if total
    ]
    return float(np.median(dices)) if dices else float("nan")


def predict_augmented(
    segmenter: Segmenter, data: FloatArray, augmentations: Sequence[Augmentation]
) -> list[FloatArray]:
    """Predict a scan under each augmentation, transformed back.

    Parameters
    ----------
    segmenter : Segmenter
    data : (I, J, K) float32
        The scan as the network sees it, 0 to 1: the view of `segmenter.find_window`.
    augmentations : sequence of N Augmentation

    Returns
    -------
    list of N (I, J, K) float32
        Brain probability.
    """
    if segmenter.device.type not in ("cpu", "mps"):  # which has no grid_sample of volumes
        try:
            return predict_augmented_on_device(segmenter, data, augmentations)
        except REFUSALS as error:
            if not is_out_of_memory(error):
                raise
        release(segmenter.device)
    return [a.invert(predict_array(segmenter, a.apply(data), flip=False)) for a in augmentations]


def predict_augmented_on_device(
    segmenter: Segmenter, data: FloatArray, augmentations: Sequence[Augmentation]
) -> list[FloatArray]:
    """`predict_augmented`, with all rotations on the segmenter's device.

    Rotating a scan on the CPU takes longer than the network there.
    """
    device, n = segmenter.device, len(augmentations)
    # There and back: the inverse of a rotation is its transpose.
    turns = np.stack([turn for a in augmentations for turn in (a.rotation, a.rotation.T)])
    sent = transfer.upload({"data": data, "turns": _normalised(turns, data.shape)}, device)
    there, back = sent["turns"].view(n, 2, 3, 4).unbind(1)
    with torch.inference_mode():
        seen = _turn(sent["data"].expand(n, 1, *data.shape), there)
        views = [
            (0.5 + (view - 0.5) * a.contrast).clamp(0, 1)
            for view, a in zip(seen, augmentations, strict=True)
        ]
        batch = torch.stack([v.flip(1) if a.mirror else v for v, a in _pairs(views, augmentations)])
        found = to_probability(segmenter.net(batch), segmenter.settings.network)
        found = torch.stack([f.flip(1) if a.mirror else f for f, a in _pairs(found, augmentations)])
        turned = _turn(found, back)
    return list(transfer.read(turned)[:, 0])


def _pairs(
    images: Sequence[torch.Tensor] | torch.Tensor, augmentations: Sequence[Augmentation]
) -> list[tuple[torch.Tensor, Augmentation]]:
    return list(zip(images, augmentations, strict=True))


def _normalised(turns: npt.NDArray[np.float64], shape: Sequence[int]) -> FloatArray:
    """Rotations about the centre in torch's convention: axes reversed, sides from -1 to 1.

    Returns
    -------
    (N, 3, 4) float32
    """
    half = (np.asarray(shape) - 1) / 2
    scaled = (turns * half / half[:, None])[:, ::-1, ::-1]
    return np.concatenate([scaled, np.zeros((len(turns), 3, 1))], 2).astype(np.float32)


def _turn(images: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Rotate (N, 1, I, J, K) images as `_rotate` does: 0 outside the field of view."""
    size = list(images.shape)
    grid = functional.affine_grid(turns, size, align_corners=True)
    turned = functional.grid_sample(images, grid, align_corners=True)
    inside = (grid.abs() <= 1 + 1e-6).all(-1).unsqueeze(1)
    return turned * inside


def _rotate(data: FloatArray, rotation: npt.NDArray[np.float64]) -> FloatArray:
    middle = (np.asarray(data.shape) - 1) / 2
    turned: FloatArray = scipy.ndimage.affine_transform(
        data, rotation, middle - rotation @ middle, order=1, cval=0.0
    )
    return turned
