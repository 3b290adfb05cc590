"""Synthetic images of heads from label maps, by domain randomisation.

`synthesis_params` samples plain numbers from a generator; `render` applies them on the label bank's
device. The same parameters give the same image, so each image can be reproduced (on another device
up to rounding). All parameters of a batch are sent to the device together, and nothing is read
back, so that CPU and device never wait for each other. The order of the corruptions follows
Hoffmann et al. (2022, SynthMorph) and Billot et al. (2023, SynthSeg); that contrasts vary smoothly
through space (`blend`) is our own addition.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from napari_singlestrip.engine.arrays import AnyArray
from napari_singlestrip.engine.devices import transfer
from napari_singlestrip.engine.devices.memory import NOISE_MOST
from napari_singlestrip.engine.heads.deformation import source_coordinates
from napari_singlestrip.engine.heads.label_map import (
    DISTANCE_UNIT,
    LOG2_TILE,
    OUTSIDE,
    TILE,
    LabelBank,
)
from napari_singlestrip.engine.heads.separable import (
    apply_separable,
    blur_matrix,
    slice_matrix,
    upsample,
)
from napari_singlestrip.engine.heads.synthesis_params import SynthesisParams, float32

Numbers = dict[tuple[str, int], torch.Tensor]  # by name and image, or image axis

SHARP_FWHM = 0.6  # voxels; a narrower blur keeps 99.9% of each voxel's weight in place


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
        One for each image.
    shape : (I, J, K)
        Shape of the images.

    Returns
    -------
    image : (B, 1, I, J, K) float32 tensor
        Intensities, 0 to 1.
    distance : (B, 1, I, J, K) float32 tensor
        Signed distance to the brain's surface in voxels of the images, negative inside,
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
        Voxel size of the images, relative to the training grid.

    Returns
    -------
    (B, 1, I, J, K) float32 tensor
        Signed distance in voxels of the images, negative inside, clipped.
    """
    numbers = transfer.upload(_placing(bank, params, shape, scale), bank.device)
    index = _gather_index(bank, numbers, shape)
    return _distance(bank, params, index, shape) / scale


def _placing(
    bank: LabelBank,
    params: Sequence[SynthesisParams],
    shape: tuple[int, int, int],
    scale: float = 1.0,
) -> dict[tuple[str, int], AnyArray]:
    """Parameters of the deformation, for the device."""
    step = bank.ratio * scale
    shifts = np.stack([p.shift * np.asarray(shape, float) * step for p in params])
    batch = {
        "linear": np.stack([p.linear for p in params]),
        # Half a voxel is added, so that truncation rounds.
        "centre": np.asarray(bank.shape, float) / 2 + shifts,
        # To the centres of the outermost voxels.
        "reach": (np.asarray(shape, float) - 1) * step / 2,
    }
    velocities = {("velocity", b): p.velocity for b, p in enumerate(params)}
    return {(name, 0): float32(values) for name, values in batch.items()} | velocities


def _painting(params: Sequence[SynthesisParams]) -> dict[tuple[str, int], AnyArray]:
    """Parameters of the intensities, for the device."""
    numbers: dict[tuple[str, int], AnyArray] = {}
    for b, p in enumerate(params):
        # The exponential before upsampling: just as smooth and positive, and 200 times cheaper.
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
    """Fill the background with random shapes, such as coils, cushions or an arm would be."""
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
        # Stride to the next tile: a row of tiles, less the voxels already counted.
        index.add_(voxel.bitwise_right_shift_(LOG2_TILE), alpha=TILE**3 * tiles - TILE * within)
    return index.flatten(1)


def _take(volume: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return volume.flatten().index_select(0, index)


def _point_spread(
    params: Sequence[SynthesisParams], shape: tuple[int, int, int]
) -> dict[tuple[str, int], AnyArray]:
    """Blur, thick slices and their interpolation back: matrices of the axes that need them."""
    matrices: dict[tuple[str, int], AnyArray] = {}
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
        # A few thousand evenly spaced voxels are enough for robust extremes.
        sample = x[tuple(slice(None, None, max(1, n // 16)) for n in x.shape)].flatten()
        sample = sample.sort().values
        low, high = sample[int(0.01 * len(sample))], sample[int(0.995 * len(sample))]
        x.sub_(low).div_((high - low).clamp(min=1e-3)).clamp_(1e-6, 1)
        x.log_().mul_(p.gamma).exp_()  # vectorised, several times faster than pow
    return image


def _cut(
    image: torch.Tensor, distance: torch.Tensor, params: Sequence[SynthesisParams]
) -> torch.Tensor:
    """Zero everything outside a smaller field of view, in place."""
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
    """Two volumes (I, J, K) of Gaussian noise for each image: texture and noise.

    Sampling them would take longer than everything else: they are windows, at random offsets, into
    one precomputed array of noise.
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
    """Length of the noise array for images of n voxels: 4 to 8 times as many, within bounds."""
    most = NOISE_MOST // torch.float32.itemsize
    return max(min(2 ** max(22, (4 * n - 1).bit_length()), most), n + n // 4)


_pools: dict[torch.device, torch.Tensor] = {}  # the longest noise array used so far


def _noise_pool(size: int, device: torch.device) -> torch.Tensor:
    """Gaussian noise with a fixed seed: a shorter array is the beginning of a longer one."""
    if device not in _pools or len(_pools[device]) < size:
        _pools.pop(device, None)  # freed before the longer one is allocated
        drawn = torch.randn(size, generator=torch.Generator().manual_seed(0))
        _pools[device] = transfer.move(drawn, device)
    return _pools[device][:size]


def _fields(control: list[torch.Tensor], shape: tuple[int, int, int]) -> torch.Tensor:
    """(g, g, g) control points of each head to (B, I, J, K)."""
    return _stack([upsample(points[None], shape)[0] for points in control])


def _stack(images: list[torch.Tensor]) -> torch.Tensor:
    """Stack; a batch of one is not copied."""
    return images[0][None] if len(images) == 1 else torch.stack(images)
