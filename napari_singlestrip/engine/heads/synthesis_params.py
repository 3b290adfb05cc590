"""The parameters of a synthetic image, sampled from a generator: all of its randomness.

They are plain numbers that can be stored; `synthesis.render` turns them into an image.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_singlestrip.engine.arrays import AnyArray
from napari_singlestrip.engine.config import SynthesisConfig
from napari_singlestrip.engine.heads.deformation import sample_affine, sample_velocity
from napari_singlestrip.engine.heads.label_map import OUTSIDE, LabelBank, Twins


@dataclass(frozen=True)
class SynthesisParams:
    """The parameters sampled for one synthetic image; arrays are float32."""

    entry: int  # which scan of the label bank
    real: bool  # augment the scan itself instead of synthesising from its label map
    label_map: int  # which of its label maps
    linear: AnyArray  # (3, 3) affine without translation
    shift: AnyArray  # (3,) of the centre, fraction of the side
    velocity: AnyArray  # (3, g, g, g) fraction of the side
    means: AnyArray  # (2, n_labels) two contrasts that are blended through space
    stds: AnyArray  # (n_labels,)
    blend: AnyArray  # (g, g, g) control points of the blend between the contrasts, 0 to 1
    bias: AnyArray  # (g, g, g) log bias field at its control points
    shapes: AnyArray  # (g, g, g) random shapes in the background; empty for none
    shape_means: AnyArray  # (n_shapes,)
    blur_fwhm: AnyArray  # (3,) voxels
    thickness: AnyArray  # (3,) voxels
    noise_std: float
    gamma: float
    crop: AnyArray  # (3, 2) fraction cut off at the low and high side of each axis
    seed: int  # of the offsets into the noise array

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and lists."""
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, numbers: dict[str, Any]) -> SynthesisParams:
        """Inverse of `to_json`."""
        arrays = {f.name for f in fields(cls) if f.type == "AnyArray"}
        values: dict[str, Any] = {
            name: np.asarray(value, np.float32) if name in arrays else value
            for name, value in numbers.items()
        }
        return cls(**values)


def sample_params(
    rng: np.random.Generator, bank: LabelBank, config: SynthesisConfig, real: bool = False
) -> SynthesisParams:
    """Sample all parameters of one synthetic image.

    Parameters
    ----------
    rng : numpy.random.Generator
        The only source of randomness.
    bank : LabelBank
        The label maps to sample from.
    config : SynthesisConfig
        Ranges.
    real : bool
        Augment the real scan, with half of the corruptions' strength, instead of synthesising from
        its label map.
    """
    config = gentle(config) if real else config
    entry = int(rng.choice(len(bank.weights), p=bank.weights))
    label_map = int(rng.integers(bank.labels.shape[1]))
    background = bank.backgrounds[entry][label_map]
    n_labels = bank.n_labels
    means = _sample_means(rng, n_labels, config.blend)
    _make_isointense(rng, means, bank.twins[entry][label_map], config.isointense_probability)
    _darken(rng, means, background, config.background_probability)
    stds = rng.uniform(0, config.intensity_std, n_labels)
    shapes, shape_means = _sample_shapes(rng, config)
    return SynthesisParams(
        entry=entry,
        real=real,
        label_map=label_map,
        linear=float32(sample_affine(
            rng, config.rotation_deg, config.scaling, config.shear, config.flip
        )),
        shift=float32(rng.uniform(-config.translation, config.translation, 3)),
        velocity=sample_velocity(rng, config.warp_std, config.warp_grid),
        means=float32(means),
        stds=float32(stds * (means.min(0) > 0)),
        blend=_sample_blend(rng),
        bias=_sample_control(rng, config.bias_grid, rng.uniform(0, config.bias_std)),
        shapes=shapes,
        shape_means=shape_means,
        blur_fwhm=float32(rng.uniform(0, config.blur_fwhm) * rng.uniform(0.5, 1, 3)),
        thickness=_sample_thickness(rng, config),
        noise_std=float(rng.uniform(0, config.noise_std) * (rng.random() < 0.9)),
        gamma=float(np.exp(rng.normal(0, config.gamma))),
        crop=_sample_crop(rng, config),
        seed=int(rng.integers(2**31)),
    )


def gentle(config: SynthesisConfig) -> SynthesisConfig:
    """Ranges for a real scan, which has artefacts of its own."""
    halved = ("bias_std", "blur_fwhm", "noise_std", "gamma", "crop_probability")
    return config.model_copy(update={name: getattr(config, name) / 2 for name in halved})


def _sample_means(
    rng: np.random.Generator, n: int, furthest: float
) -> npt.NDArray[np.float64]:
    """(2, n) means: a second contrast close to the first, or far from it."""
    first = rng.uniform(0, 1, n)
    second = np.clip(first + rng.uniform(0, furthest) * rng.uniform(-1, 1, n), 0, 1)
    return np.stack([first, second])


def _make_isointense(
    rng: np.random.Generator, means: npt.NDArray[np.float64], twins: Twins, probability: float
) -> None:
    """Give some labels inside the brain the mean of the label outside that is isointense with them.

    With independent means there would be an edge along the whole border of the mask, which real
    heads do not have: fluid lies on both sides.
    """
    if rng.random() < probability:
        share = rng.random()
        for inside, outside in twins:
            if rng.random() < share:
                means[:, inside] = means[:, outside]


def _darken(
    rng: np.random.Generator, means: npt.NDArray[np.float64], background: int, probability: float
) -> None:
    """Set the air and the darkest label of the head to zero, or the air to that label's mean."""
    if rng.random() < probability:
        means[:, background] = 0
        means[:, OUTSIDE] = 0
    else:
        means[:, OUTSIDE] = means[:, background]


def _sample_blend(rng: np.random.Generator) -> AnyArray:
    g = int(rng.integers(2, 7))
    return float32(np.clip(0.5 + rng.normal(0, 0.5, (g, g, g)), 0, 1))


def _sample_control(
    rng: np.random.Generator, points: tuple[int, int], std: float
) -> AnyArray:
    g = int(rng.integers(points[0], points[1] + 1))
    return float32(std * rng.standard_normal((g, g, g)))


def _sample_shapes(rng: np.random.Generator, config: SynthesisConfig) -> tuple[AnyArray, AnyArray]:
    if rng.random() >= config.shapes_probability:
        return float32(np.zeros((0, 0, 0))), float32(np.zeros(0))
    g = int(rng.integers(4, 12))
    return float32(rng.uniform(0, 1, (g, g, g))), float32(rng.uniform(0, 1, rng.integers(2, 8)))


def _sample_thickness(rng: np.random.Generator, config: SynthesisConfig) -> AnyArray:
    """Half of the images have thick slices, along one axis."""
    thickness = np.ones(3)
    if rng.random() < 0.5:
        thickness[rng.integers(3)] = rng.uniform(1, config.thick_slices)
    return float32(thickness)


def _sample_crop(rng: np.random.Generator, config: SynthesisConfig) -> AnyArray:
    crop = np.zeros((3, 2))
    if rng.random() < config.crop_probability:
        for _ in range(rng.integers(1, 3)):
            crop[rng.integers(3), rng.integers(2)] = rng.uniform(0, config.crop)
    return float32(crop)


def float32(values: npt.ArrayLike) -> AnyArray:
    """Return a contiguous array in single precision."""
    return np.ascontiguousarray(values, dtype=np.float32)
