"""Endless synthetic heads from label maps: domain randomisation.

`sample_params` draws plain numbers from a generator; `render` applies them on the label bank's
device. The same numbers give the same head, so each picture can be explained and replayed (on
another device up to rounding). All numbers of a batch are sent to the device together, and nothing
is read back, so that neither waits for the other.
The order of corruptions follows Hoffmann et al. (2022, SynthMorph) and Billot et al. (2023,
SynthSeg); that contrasts vary smoothly through space (`blend`) is our own addition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_singlestrip.engine.config import SynthesisConfig
from napari_singlestrip.engine.devices import transfer
from napari_singlestrip.engine.devices.memory import NOISE_MOST
from napari_singlestrip.engine.heads.deformation import (
    sample_affine,
    sample_velocity,
    source_coordinates,
)
from napari_singlestrip.engine.heads.label_map import DISTANCE_UNIT, OUTSIDE, TILE, LabelBank, Twins
from napari_singlestrip.engine.heads.separable import (
    apply_separable,
    blur_matrix,
    slice_matrix,
    upsample,
)

Array = npt.NDArray[Any]
Numbers = dict[tuple[str, int], torch.Tensor]  # by name and head, or axis of the picture

SHARP_FWHM = 0.6  # voxels; a blur narrower than that leaves 99.9% of each voxel where it is


@dataclass(frozen=True)
class SynthesisParams:
    """The numbers drawn for one synthetic picture; arrays are float32."""

    entry: int  # which scan of the label bank
    real: bool  # augment the scan itself instead of painting its label map
    label_map: int  # which of its label maps
    linear: Array  # (3, 3) affine without translation
    shift: Array  # (3,) of the centre, fraction of the side
    velocity: Array  # (3, g, g, g) fraction of the side
    means: Array  # (2, n_labels) two contrasts that are blended through space
    stds: Array  # (n_labels,)
    blend: Array  # (g, g, g) control points of the blend between the contrasts, 0 to 1
    bias: Array  # (g, g, g) log bias field at its control points
    shapes: Array  # (g, g, g) random shapes in the background; empty for none
    shape_means: Array  # (n_shapes,)
    blur_fwhm: Array  # (3,) voxels
    thickness: Array  # (3,) voxels
    noise_std: float
    gamma: float
    crop: Array  # (3, 2) fraction cut off at the low and high side of each axis
    seed: int  # of the places in the stream of noise

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and lists."""
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, numbers: dict[str, Any]) -> SynthesisParams:
        """Inverse of `to_json`."""
        arrays = {f.name for f in fields(cls) if f.type == "Array"}
        values: dict[str, Any] = {
            name: np.asarray(value, np.float32) if name in arrays else value
            for name, value in numbers.items()
        }
        return cls(**values)


def sample_params(
    rng: np.random.Generator, bank: LabelBank, config: SynthesisConfig, real: bool = False
) -> SynthesisParams:
    """Draw all numbers of one synthetic head.

    Parameters
    ----------
    rng : numpy.random.Generator
        The only source of randomness.
    bank : LabelBank
        The label maps to draw from.
    config : SynthesisConfig
        Ranges.
    real : bool
        Augment the real scan, with half of the corruptions' strength, instead of painting its
        label map.
    """
    config = gentle(config) if real else config
    entry = int(rng.choice(len(bank.weights), p=bank.weights))
    label_map = int(rng.integers(bank.labels.shape[1]))
    background = bank.backgrounds[entry][label_map]
    n_labels = bank.n_labels
    means = _sample_means(rng, n_labels, config.blend)
    _tie(rng, means, bank.twins[entry][label_map], config.tie_probability)
    _darken(rng, means, background, config.background_probability)
    stds = rng.uniform(0, config.intensity_std, n_labels)
    shapes, shape_means = _sample_shapes(rng, config)
    return SynthesisParams(
        entry=entry,
        real=real,
        label_map=label_map,
        linear=_f32(sample_affine(
            rng, config.rotation_deg, config.scaling, config.shear, config.flip
        )),
        shift=_f32(rng.uniform(-config.translation, config.translation, 3)),
        velocity=sample_velocity(rng, config.warp_std, config.warp_grid),
        means=_f32(means),
        stds=_f32(stds * (means.min(0) > 0)),
        blend=_sample_blend(rng),
        bias=_sample_control(rng, config.bias_grid, rng.uniform(0, config.bias_std)),
        shapes=shapes,
        shape_means=shape_means,
        blur_fwhm=_f32(rng.uniform(0, config.blur_fwhm) * rng.uniform(0.5, 1, 3)),
        thickness=_sample_thickness(rng, config),
        noise_std=float(rng.uniform(0, config.noise_std) * (rng.random() < 0.9)),
        gamma=float(np.exp(rng.normal(0, config.gamma))),
        crop=_sample_crop(rng, config),
        seed=int(rng.integers(2**31)),
    )


def gentle(config: SynthesisConfig) -> SynthesisConfig:
    """Ranges for a real scan, which is corrupted already."""
    halved = ("bias_std", "blur_fwhm", "noise_std", "gamma", "crop_probability")
    return config.model_copy(update={name: getattr(config, name) / 2 for name in halved})


def render(
    bank: LabelBank,
    params: Sequence[SynthesisParams],
    shape: tuple[int, int, int],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Render synthetic heads on the label bank's device.

    Parameters
    ----------
    bank : LabelBank
        Label maps and signed distances as tensors.
    params : sequence of SynthesisParams
        One for each picture.
    shape : (I, J, K)
        Of the pictures.

    Returns
    -------
    image : (B, 1, I, J, K) float32 tensor
        Intensities, 0 to 1.
    distance : (B, 1, I, J, K) float32 tensor
        Signed distance to the brain's surface in voxels of the pictures, negative inside,
        clipped at `label_map.MAX_DISTANCE`; voxels outside the field of view count as far outside.
    """
    numbers = transfer.upload(
        _placing(bank, params, shape) | _painting(params) | _point_spread(params, shape),
        bank.device,
    )
    index = _gather_index(bank, numbers, shape)
    distance = _distance(bank, params, index, shape)
    noise = _noise(params, shape, bank.device)
    image = _stack([
        _copy(bank, p, i, shape) if p.real else _paint(bank, b, p, i, numbers, texture, shape)
        for b, (p, i, (texture, _)) in enumerate(zip(params, index, noise, strict=True))
    ])
    bias = [numbers["bias", b] for b in range(len(params))]
    image = image.mul_(_fields(bias, shape)).unsqueeze(1)
    image = apply_separable(image, [numbers.get(("spread", axis)) for axis in range(3)])
    image = _finish(image, params, [grain for _, grain in noise])
    return image, _cut(image, distance, params)


def render_distance(
    bank: LabelBank,
    params: Sequence[SynthesisParams],
    shape: tuple[int, int, int],
    scale: float = 1.0,
) -> torch.Tensor:
    """Deformed masks alone, as signed distances.

    Parameters
    ----------
    bank, params, shape
        As in `render`.
    scale : float
        Voxel size of the pictures, in voxels of the training grid.

    Returns
    -------
    (B, 1, I, J, K) float32 tensor
        Signed distance in voxels of the pictures, negative inside, clipped.
    """
    numbers = transfer.upload(_placing(bank, params, shape, scale), bank.device)
    index = _gather_index(bank, numbers, shape)
    return _distance(bank, params, index, shape) / scale


def _placing(
    bank: LabelBank,
    params: Sequence[SynthesisParams],
    shape: tuple[int, int, int],
    scale: float = 1.0,
) -> dict[tuple[str, int], Array]:
    """Numbers that say where each voxel comes from."""
    step = bank.ratio * scale
    shifts = np.stack([p.shift * np.asarray(shape, float) * step for p in params])
    batch = {
        "linear": np.stack([p.linear for p in params]),
        # Half a voxel on, so that cutting off the fraction rounds.
        "centre": np.asarray(bank.shape, float) / 2 + shifts,
        # To the centres of the outermost voxels.
        "reach": (np.asarray(shape, float) - 1) * step / 2,
    }
    velocities = {("velocity", b): p.velocity for b, p in enumerate(params)}
    return {(name, 0): _f32(values) for name, values in batch.items()} | velocities


def _painting(params: Sequence[SynthesisParams]) -> dict[tuple[str, int], Array]:
    """Numbers that say how each head is painted."""
    numbers: dict[tuple[str, int], Array] = {}
    for b, p in enumerate(params):
        # Exponential first, upsampling second: as smooth and as positive, and 200 times cheaper.
        numbers["bias", b] = np.exp(p.bias)
        if not p.real:
            numbers |= {
                ("means", b): p.means, ("stds", b): p.stds, ("blend", b): p.blend,
                ("shapes", b): p.shapes, ("shape_means", b): p.shape_means,
            }
    return numbers


def _distance(
    bank: LabelBank,
    params: Sequence[SynthesisParams],
    index: torch.Tensor,
    shape: tuple[int, int, int],
) -> torch.Tensor:
    taken = [_take(bank.distance_of(p.entry), i) for p, i in zip(params, index, strict=True)]
    return _stack(taken).float().mul_(DISTANCE_UNIT).view(-1, 1, *shape)


def _copy(
    bank: LabelBank, p: SynthesisParams, index: torch.Tensor, shape: tuple[int, int, int]
) -> torch.Tensor:
    """The real scan's own intensities, 0 to 1."""
    return _take(bank.intensities_of(p.entry), index).float().div_(255).view(shape)


def _paint(
    bank: LabelBank,
    b: int,
    p: SynthesisParams,
    index: torch.Tensor,
    numbers: Numbers,
    texture: torch.Tensor,
    shape: tuple[int, int, int],
) -> torch.Tensor:
    """Gaussian intensities for each label; two contrasts are blended by a smooth field."""
    labels = _take(bank.labels_of(p.entry, p.label_map), index).int()
    (first, second), stds = numbers["means", b], numbers["stds", b]
    mean = first.index_select(0, labels).view(shape)
    change = (second - first).index_select(0, labels).view(shape)
    spread = stds.index_select(0, labels).view(shape)
    blend = _fields([numbers["blend", b]], shape)[0]
    image = mean.addcmul_(change, blend).addcmul_(spread, texture)
    if p.shapes.size:
        shapes, means = numbers["shapes", b], numbers["shape_means", b]
        image = _add_shapes(image, labels.view(shape), shapes, means, shape)
    return image.clamp_(0, None)


def _add_shapes(
    image: torch.Tensor, labels: torch.Tensor, shapes: torch.Tensor, means: torch.Tensor,
    shape: tuple[int, int, int],
) -> torch.Tensor:
    """Fill the surroundings of the head with blobs, as coils, pillows and other people's arms."""
    field = _fields([shapes], shape)[0]
    n = len(means)
    blob = means.index_select(0, (field * n).long().clamp_(0, n - 1).flatten()).view(shape)
    return torch.where(labels == OUTSIDE, blob, image)


def _gather_index(
    bank: LabelBank, numbers: Numbers, shape: tuple[int, int, int]
) -> torch.Tensor:
    """Flat index into a tiled label map for each voxel, (B, I*J*K) int32."""
    linear = numbers["linear", 0]
    position = source_coordinates(
        [numbers["velocity", b] for b in range(len(linear))],
        linear, numbers["centre", 0], numbers["reach", 0], shape,
    )
    strides, (_, y, z) = (TILE**2, TILE, 1), (n // TILE for n in bank.shape)
    index = torch.zeros_like(position[:, 0], dtype=torch.int32)
    for axis, (within, tiles) in enumerate(zip(strides, (y * z, z, 1), strict=True)):
        voxel = position[:, axis].clamp_(0, bank.shape[axis] - 0.5).int()
        index.add_(voxel, alpha=within)
        # A step into the next tile: on by a row of tiles, back by the voxels already counted.
        index.add_(voxel.bitwise_right_shift_(2), alpha=TILE**3 * tiles - TILE * within)
    return index.flatten(1)


def _take(volume: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return volume.flatten().index_select(0, index)


def _point_spread(
    params: Sequence[SynthesisParams], shape: tuple[int, int, int]
) -> dict[tuple[str, int], Array]:
    """Blur, thick slices and their interpolation back: matrices of the axes that need them."""
    matrices: dict[tuple[str, int], Array] = {}
    for axis, n in enumerate(shape):
        asked = [(float(p.thickness[axis]), float(p.blur_fwhm[axis])) for p in params]
        if all(thickness <= 1 and fwhm < SHARP_FWHM for thickness, fwhm in asked):
            continue
        stack = [slice_matrix(n, thickness) @ blur_matrix(n, fwhm) for thickness, fwhm in asked]
        matrices["spread", axis] = np.stack(stack)
    return matrices


def _finish(
    image: torch.Tensor, params: Sequence[SynthesisParams], grain: list[torch.Tensor]
) -> torch.Tensor:
    """Noise, scaling to 0 to 1 by robust extremes as `geometry.conform` does, and gamma."""
    for b, p in enumerate(params):
        x = image[b, 0].add_(grain[b], alpha=p.noise_std)
        # A few thousand voxels, spread evenly, know the extremes well enough.
        sample = x[tuple(slice(None, None, max(1, n // 16)) for n in x.shape)].flatten()
        sample = sample.sort().values
        low, high = sample[int(0.01 * len(sample))], sample[int(0.995 * len(sample))]
        x.sub_(low).div_((high - low).clamp(min=1e-3)).clamp_(1e-6, 1)
        x.log_().mul_(p.gamma).exp_()  # vectorised, several times faster than pow
    return image


def _cut(
    image: torch.Tensor, distance: torch.Tensor, params: Sequence[SynthesisParams]
) -> torch.Tensor:
    """Blank what a smaller field of view would not have seen, in place."""
    far = 127 * DISTANCE_UNIT
    distance = distance.view(image.shape)
    for b, p in enumerate(params):
        for axis in range(3):
            n = image.shape[axis + 2]
            low, high = round(float(p.crop[axis, 0]) * n), round(float(p.crop[axis, 1]) * n)
            for start, length in ((0, low), (n - high, high)):
                image[b, 0].narrow(axis, start, length).zero_()
                distance[b, 0].narrow(axis, start, length).fill_(far)
    return distance


def _noise(
    params: Sequence[SynthesisParams], shape: tuple[int, int, int], device: torch.device
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Two normal volumes (I, J, K) for each picture: texture and grain.

    Drawing them would take longer than all else: they are windows, at random places, into one
    long stream of numbers.
    """
    n = int(np.prod(shape))
    pool = _noise_pool(_noise_size(n), device)
    pairs = []
    for p in params:
        places = np.random.default_rng(p.seed).integers(len(pool) - n, size=2)
        texture, grain = (pool[place : place + n].view(shape) for place in places)
        pairs.append((texture, grain))
    return pairs


def _noise_size(n: int) -> int:
    """Length of the stream for pictures of n voxels: 4 to 8 times as long, in bounded memory."""
    most = NOISE_MOST // torch.float32.itemsize
    return max(min(2 ** max(22, (4 * n - 1).bit_length()), most), n + n // 4)


_pools: dict[torch.device, torch.Tensor] = {}  # the longest stream that was asked for


def _noise_pool(size: int, device: torch.device) -> torch.Tensor:
    """Normal numbers, always the same ones: a shorter stream is the beginning of a longer."""
    if device not in _pools or len(_pools[device]) < size:
        _pools.pop(device, None)  # before the longer one is made, so that both need no room
        drawn = torch.randn(size, generator=torch.Generator().manual_seed(0))
        _pools[device] = transfer.move(drawn, device)
    return _pools[device][:size]


def _fields(control: list[torch.Tensor], shape: tuple[int, int, int]) -> torch.Tensor:
    """(g, g, g) control points of each head to (B, I, J, K)."""
    return _stack([upsample(points[None], shape)[0] for points in control])


def _stack(pictures: list[torch.Tensor]) -> torch.Tensor:
    """Stack, but do not copy a batch of one."""
    return pictures[0][None] if len(pictures) == 1 else torch.stack(pictures)


def _sample_means(
    rng: np.random.Generator, n: int, furthest: float
) -> npt.NDArray[np.float64]:
    """(2, n) means: a second contrast close to the first, or far from it."""
    first = rng.uniform(0, 1, n)
    second = np.clip(first + rng.uniform(0, furthest) * rng.uniform(-1, 1, n), 0, 1)
    return np.stack([first, second])


def _tie(
    rng: np.random.Generator, means: npt.NDArray[np.float64], twins: Twins, probability: float
) -> None:
    """Give some labels inside the brain the mean of the label outside that looks like them.

    With means all their own there would be an edge along the whole of the mask, which real heads
    do not have: fluid lies on both sides.
    """
    if rng.random() < probability:
        share = rng.random()
        for inside, outside in twins:
            if rng.random() < share:
                means[:, inside] = means[:, outside]


def _darken(
    rng: np.random.Generator, means: npt.NDArray[np.float64], background: int, probability: float
) -> None:
    """Make the air, and the darkest label of the head, zero; or else the air like that label."""
    if rng.random() < probability:
        means[:, background] = 0
        means[:, OUTSIDE] = 0
    else:
        means[:, OUTSIDE] = means[:, background]


def _sample_blend(rng: np.random.Generator) -> Array:
    g = int(rng.integers(2, 7))
    return _f32(np.clip(0.5 + rng.normal(0, 0.5, (g, g, g)), 0, 1))


def _sample_control(
    rng: np.random.Generator, points: tuple[int, int], std: float
) -> Array:
    g = int(rng.integers(points[0], points[1] + 1))
    return _f32(std * rng.standard_normal((g, g, g)))


def _sample_shapes(rng: np.random.Generator, config: SynthesisConfig) -> tuple[Array, Array]:
    if rng.random() >= config.shapes_probability:
        return _f32(np.zeros((0, 0, 0))), _f32(np.zeros(0))
    g = int(rng.integers(4, 12))
    return _f32(rng.uniform(0, 1, (g, g, g))), _f32(rng.uniform(0, 1, rng.integers(2, 8)))


def _sample_thickness(rng: np.random.Generator, config: SynthesisConfig) -> Array:
    """Half of the heads have thick slices, along one axis."""
    thickness = np.ones(3)
    if rng.random() < 0.5:
        thickness[rng.integers(3)] = rng.uniform(1, config.thick_slices)
    return _f32(thickness)


def _sample_crop(rng: np.random.Generator, config: SynthesisConfig) -> Array:
    crop = np.zeros((3, 2))
    if rng.random() < config.crop_probability:
        for _ in range(rng.integers(1, 3)):
            crop[rng.integers(3), rng.integers(2)] = rng.uniform(0, config.crop)
    return _f32(crop)


def _f32(values: npt.ArrayLike) -> Array:
    return np.ascontiguousarray(values, dtype=np.float32)
