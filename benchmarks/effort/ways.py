"""What happens to the rest of a mask when slices are corrected: the ways that are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from napari_singlestrip.engine.imaging.geometry import signed_distance
from napari_singlestrip.engine.masks.spreading import Follower, SetSlice

Follow = Callable[[np.ndarray, Sequence[SetSlice]], np.ndarray]

SIGMA_MM = 14.0
BAND_MM = 10.0


def ways(
    before: np.ndarray, image: np.ndarray, spacing: tuple[float, float, float]
) -> dict[str, Follow]:
    """Functions of the edited mask and the set slices, by name."""
    plain, seeing = Follower(before, spacing), Follower(before, spacing, image)
    return {
        "slices alone": lambda edited, slices: alone(before, edited, slices),
        "one Gaussian": OneGaussian(before, spacing),
        "surface only": plain.follow,
        "surface and picture": seeing.follow,
    }


def alone(before: np.ndarray, edited: np.ndarray, slices: Sequence[SetSlice]) -> np.ndarray:
    """Nothing else changes."""
    out = before.copy()
    for s in slices:
        np.moveaxis(out, s.axis, 0)[s.index] = np.moveaxis(edited, s.axis, 0)[s.index]
    return out


class OneGaussian:
    """Differences of signed distances on the set slices, spread by a normalised convolution."""

    def __init__(self, before: np.ndarray, spacing: tuple[float, float, float]) -> None:
        self.before, self.spacing = before, spacing
        self.distance = np.clip(signed_distance(before, spacing), -20, 20)

    def __call__(self, edited: np.ndarray, slices: Sequence[SetSlice]) -> np.ndarray:
        moved, weight = np.zeros((2, *self.before.shape), np.float32)
        for s in slices:
            flat = [h for a, h in enumerate(self.spacing) if a != s.axis]
            old = np.moveaxis(self.distance, s.axis, 0)[s.index]
            inside = np.moveaxis(edited, s.axis, 0)[s.index]
            new = np.clip(signed_distance(inside[None], (max(flat), *flat))[0], -20, 20)
            near = np.minimum(np.abs(old), np.abs(new)) < BAND_MM
            np.moveaxis(moved, s.axis, 0)[s.index] = near * (new - old)
            np.moveaxis(weight, s.axis, 0)[s.index] = near
        spread, total = (self._blurred(f) for f in (moved, weight))
        out = self.distance + spread / np.maximum(total, 1e-6 * total.max() + 1e-12) < 0
        return alone(out, edited, slices)

    def _blurred(self, field: np.ndarray) -> np.ndarray:
        """Gaussian of 14 mm; on every third voxel or so, which it does not notice."""
        step = [max(1, round(3 / s)) for s in self.spacing]
        few = ndimage.uniform_filter(field, step, mode="constant")
        few = few[tuple(slice(None, None, s) for s in step)]
        sigma = [SIGMA_MM / h / s for h, s in zip(self.spacing, step, strict=True)]
        few = ndimage.gaussian_filter(few, sigma, mode="constant")
        for axis, (s, n) in enumerate(zip(step, field.shape, strict=True)):
            place = np.arange(n) / s
            lower = np.minimum(place.astype(int), few.shape[axis] - 1)
            upper = np.minimum(lower + 1, few.shape[axis] - 1)
            part = (place - lower).astype(np.float32)
            part = part.reshape([-1 if a == axis else 1 for a in range(3)])
            few = np.take(few, lower, axis) * (1 - part) + np.take(few, upper, axis) * part
        return few
