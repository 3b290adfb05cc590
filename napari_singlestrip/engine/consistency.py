"""The rival ranking: does the segmenter give the same mask when the scan is turned and tinted?

Test-time augmentation after Specktor-Fadida et al. (2021): contrast, mirror and rotations; each
prediction is turned back, and the score is the median over augmentations of the Dice with their
voxelwise median.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from napari_singlestrip.engine.segmenter import Segmenter, predict_array

Array = npt.NDArray[np.float32]

CONTRAST = 0.1  # largest change of contrast, fraction
ROTATION_DEG = 30.0  # largest rotation, about a random axis


@dataclass(frozen=True)
class Augmentation:
    """One way to look at a scan again."""

    contrast: float
    mirror: bool
    rotation: npt.NDArray[np.float64]  # (3, 3)

    def apply(self, data: Array) -> Array:
        """Change a conformed scan."""
        turned = _rotate(data, self.rotation)
        turned = np.clip(0.5 + (turned - 0.5) * self.contrast, 0, 1).astype(np.float32)
        return turned[::-1] if self.mirror else turned

    def invert(self, probability: Array) -> Array:
        """Turn a prediction back."""
        return _rotate(probability[::-1] if self.mirror else probability, self.rotation.T)


def sample_augmentation(rng: np.random.Generator) -> Augmentation:
    """Draw one augmentation."""
    axis = rng.standard_normal(3)
    angle = np.deg2rad(rng.uniform(-ROTATION_DEG, ROTATION_DEG))
    turn = scipy.spatial.transform.Rotation.from_rotvec(angle * axis / np.linalg.norm(axis))
    return Augmentation(
        float(rng.uniform(1 - CONTRAST, 1 + CONTRAST)), bool(rng.random() < 0.5), turn.as_matrix()
    )


def consistency(
    segmenter: Segmenter, data: Array, n_augmentations: int, rng: np.random.Generator
) -> float:
    """Agreement of a segmenter with itself on a scan, 0 to 1 (higher is better).

    Parameters
    ----------
    segmenter : Segmenter
    data : (I, J, K) float32
        What it sees of the scan, 0 to 1: the view of `segmenter.find_window`.
    n_augmentations : int
    rng : numpy.random.Generator

    Returns
    -------
    float
        NaN if no augmentation finds any brain.
    """
    masks = []
    for _ in range(n_augmentations):
        augmentation = sample_augmentation(rng)
        seen = augmentation.apply(data)
        found = augmentation.invert(predict_array(segmenter, seen, flip=False))
        masks.append(found > 0.5)
    median = np.mean(masks, axis=0) >= 0.5
    dices = [_dice(mask, median) for mask in masks]
    return float(np.nanmedian(dices)) if np.isfinite(dices).any() else float("nan")


def _dice(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    total = int(a.sum() + b.sum())
    return 2 * int((a & b).sum()) / total if total else float("nan")


def _rotate(data: Array, rotation: npt.NDArray[np.float64]) -> Array:
    middle = (np.asarray(data.shape) - 1) / 2
    turned: Array = scipy.ndimage.affine_transform(
        data, rotation, middle - rotation @ middle, order=1, cval=0.0
    )
    return turned
