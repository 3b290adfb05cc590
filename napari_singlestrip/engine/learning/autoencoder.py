"""A convolutional autoencoder that reconstructs brain masks, to measure how plausible they are.

It is trained on the painted mask alone, transformed, warped and corrupted, and learns to restore
the uncorrupted mask. A mask that is shaped like a brain is reconstructed well; where the
reconstruction differs, the mask is suspect (Galati & Zuluaga 2021; Specktor-Fadida & Hoffmann
2025). With one mask, the range of the deformations is the only shape prior: it is set in
`config.AutoencoderConfig`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_singlestrip.engine.config import (
    AutoencoderConfig,
    NetworkConfig,
    Settings,
    SynthesisConfig,
    TrainingConfig,
)
from napari_singlestrip.engine.devices import transfer
from napari_singlestrip.engine.devices.memory import is_out_of_memory, release
from napari_singlestrip.engine.devices.precision import CPU, REFUSALS, threads_for
from napari_singlestrip.engine.heads.label_bank import Geometry
from napari_singlestrip.engine.heads.label_map import LabelBank, untiled
from napari_singlestrip.engine.heads.separable import upsample
from napari_singlestrip.engine.heads.synthesis import render_distance
from napari_singlestrip.engine.heads.synthesis_params import sample_params
from napari_singlestrip.engine.imaging.geometry import resample
from napari_singlestrip.engine.imaging.grid import Grid, Shape, Volume
from napari_singlestrip.engine.imaging.pose import pitch
from napari_singlestrip.engine.learning.checkpoint import load_checkpoint
from napari_singlestrip.engine.learning.device import PROBE_SIDE
from napari_singlestrip.engine.learning.losses import partial_volume
from napari_singlestrip.engine.learning.saved_state import build, read_network
from napari_singlestrip.engine.learning.training import Pair, Task, initial_weights
from napari_singlestrip.engine.masks.cleanup import bounding_box
from napari_singlestrip.engine.stored_settings import settings_text

OUTPUT = NetworkConfig(target="probability")  # the decoder's output is a logit
VIEWS_AT_ONCE = 8  # batch size for the views of a mask


@dataclass(frozen=True)
class Frame:
    """The grid of the network's input: isotropic RAS, around the mask's centre of mass.

    Around the middle of the scan, if masks are not centred.
    """

    spacing_mm: float
    shape: Shape
    centred: bool = True


@dataclass(frozen=True)
class Autoencoder:
    """A trained autoencoder and the frame of its input."""

    net: nn.Module
    frame: Frame


@dataclass(frozen=True)
class Reconstruction:
    """A mask as the autoencoder's input, and its reconstruction.

    Attributes
    ----------
    mask, reconstructed : (I, J, K) float32
        Fractions of each voxel, 0 to 1.
    grid : Grid
        Of both.
    """

    mask: npt.NDArray[np.float32]
    reconstructed: npt.NDArray[np.float32]
    grid: Grid


class MaskAutoencoder(nn.Module):
    """Strided convolutions to a latent vector, and a mirrored decoder.

    Parameters
    ----------
    shape : (I, J, K)
        Of the masks; sides are multiples of 2 ** len(channels).
    channels : tuple of int
        Features of each level.
    latent : int
        Length of the vector.
    """

    def __init__(self, shape: Shape, channels: tuple[int, ...], latent: int) -> None:
        super().__init__()
        down: list[nn.Module] = []
        for before, after in zip((1, *channels[:-1]), channels, strict=True):
            down += [nn.Conv3d(before, after, 3, stride=2, padding=1), nn.LeakyReLU(0.1)]
        small = [n // 2 ** len(channels) for n in shape]
        self.encode = nn.Sequential(*down, nn.Flatten())
        self.squeeze = nn.Linear(channels[-1] * int(np.prod(small)), latent)
        self.expand = nn.Linear(latent, channels[-1] * int(np.prod(small)))
        up: list[nn.Module] = [nn.Unflatten(1, (channels[-1], *small)), nn.LeakyReLU(0.1)]
        for before, after in zip(channels[::-1], (*channels[-2::-1], 8), strict=True):
            up += [nn.ConvTranspose3d(before, after, 2, stride=2), nn.LeakyReLU(0.1)]
        self.decode = nn.Sequential(*up, nn.Conv3d(8, 1, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 1, I, J, K) mask to (B, 1, I, J, K) logits."""
        result: torch.Tensor = self.decode(self.expand(self.squeeze(self.encode(x))))
        return result


def mask_frame(geometry: Geometry, config: AutoencoderConfig) -> Frame:
    """The frame of masks: the training grid, coarser where that is finer than needed."""
    factor = max(1.0, max(geometry.shape) / config.max_side)
    multiple = 2 ** len(config.channels)
    i, j, k = (max(1, int(np.ceil(n / factor / multiple))) * multiple for n in geometry.shape)
    return Frame(geometry.spacing_mm * factor, (i, j, k), config.centred)


def autoencoder_task(
    bank: LabelBank, geometry: Geometry, settings: Settings, device: torch.device,
    masks: Sequence[str] = (),
) -> Task:
    """Define the autoencoder's training: the masks of the bank's scans, corrupted.

    Parameters
    ----------
    bank : LabelBank
        Only its signed distances are used.
    geometry : Geometry
    settings : Settings
    device : torch.device
    masks : sequence of str
        Names of these masks, stored in the checkpoint.
    """
    config = settings.autoencoder
    frame = mask_frame(geometry, config)
    scale = frame.spacing_mm / geometry.spacing_mm
    ranges = _deformations(config)
    net = MaskAutoencoder(frame.shape, config.channels, config.latent)
    initial_weights(net, np.random.default_rng([settings.seed, 3]))

    offsets = _centre_offsets(bank) if config.centred else [np.zeros(3)] * len(bank.distance)
    reach = np.asarray(frame.shape) * bank.ratio * scale
    bank = bank.to(device)

    def draw(rng: np.random.Generator, batch_size: int = config.batch_size) -> Pair:
        params = [sample_params(rng, bank, ranges) for _ in range(batch_size)]
        params = [replace(p, shift=p.shift + offsets[p.entry] / reach) for p in params]
        drawn = {
            b: sample_damage(rng, frame.shape) for b in range(batch_size)
            if rng.random() < config.corruption_probability
        }
        clean = render_distance(bank, params, frame.shape, scale)
        wobbles = transfer.upload({b: d.wobble for b, d in drawn.items()}, device)
        damaged = torch.stack([
            damage(d, drawn[b], wobbles[b]) if b in drawn else d for b, d in enumerate(clean)
        ])
        return partial_volume(damaged), clean

    held_out_rng = np.random.default_rng([settings.seed, 4])
    training = TrainingConfig(
        steps=config.steps, batch_size=config.batch_size, learning_rate=config.learning_rate,
        validation_heads=8, ema=0.99,
        checkpoint_seconds=settings.training.checkpoint_seconds,
    )
    extra = {
        "settings": settings_text(settings), "spacing_mm": frame.spacing_mm,
        "shape": list(frame.shape), "masks": list(masks),
    }
    held_out = [draw(held_out_rng, 1) for _ in range(training.validation_heads)]
    return Task(
        "autoencoder", "autoencoder", net.to(device), draw, held_out, OUTPUT, training,
        settings.seed, probe=max(frame.shape) <= PROBE_SIDE, extra=extra,
    )


def load_autoencoder(path: Path, device: torch.device) -> Autoencoder:
    """Read a trained autoencoder from its checkpoint.

    Raises
    ------
    UserError
        If the file is missing, damaged or of a newer version.
    """
    return autoencoder_from(load_checkpoint(path, "autoencoder"), device, path)


def autoencoder_from(saved: Any, device: torch.device, path: Path) -> Autoencoder:
    """Build an autoencoder from the contents of a checkpoint.

    Raises
    ------
    UserError
        If they are not those of an autoencoder; `path` is the file to name.
    """
    found = read_network(saved, path)
    config = found.settings.autoencoder
    net = build(
        found, path, lambda: MaskAutoencoder(found.shape, config.channels, config.latent),
        config.channels, 2 ** len(config.channels),
    )
    frame = Frame(found.spacing_mm, found.shape, config.centred)
    return Autoencoder(net.to(device).eval(), frame)


def reconstruct(
    autoencoder: Autoencoder,
    mask: npt.NDArray[np.bool_],
    grid: Grid,
    n_views: int = 1,
    degrees: float = 0.0,
) -> list[Reconstruction]:
    """Reconstruct a mask in several views.

    A reconstruction depends slightly on the position of the mask relative to the frame's coarse
    grid. Further views are shifted by a fraction of a voxel, every other one mirrored; their mean
    error ranks better than the error of one view.

    Parameters
    ----------
    autoencoder : Autoencoder
    mask : (i, j, k) bool
        On a scan's own grid, not empty.
    grid : Grid
        That grid.
    n_views : int
        At least 1.
    degrees : float
        Pitch of the head, as in `pose.pitch`.

    Returns
    -------
    list of Reconstruction
        The first is centred on the mask.
    """
    soft = _cut_out(mask, grid)
    if autoencoder.frame.centred:
        frame = frame_grid(autoencoder.frame, soft.data > 0, soft.grid, degrees)
    else:
        frame = frame_grid(autoencoder.frame, np.ones(grid.shape, bool), grid, degrees)
    rng = np.random.default_rng(0)  # the same views for every mask
    places = [frame]
    for _ in range(1, n_views):
        affine = frame.affine.copy()
        affine[:3, 3] += rng.uniform(-0.5, 0.5, 3) * frame.spacing
        places.append(Grid(frame.shape, affine))
    seen = [resample(soft, place, fill=0.0) for place in places]
    reconstructed = _reconstruct(autoencoder, seen)
    return [Reconstruction(*view) for view in zip(seen, reconstructed, places, strict=True)]


def _cut_out(mask: npt.NDArray[np.bool_], grid: Grid) -> Volume:
    """Crop a mask to its bounding box with a margin of one voxel, which is all that views need."""
    box = bounding_box(mask)
    if box is None:
        raise ValueError("the mask is empty")
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [side.start - 1 for side in box]
    shape = [side.stop - side.start + 2 for side in box]
    padded = np.zeros(shape, np.float32, order="F" if mask.flags.f_contiguous else "C")
    padded[1:-1, 1:-1, 1:-1] = mask[box]
    return Volume(padded, affine)


def _reconstruct(
    autoencoder: Autoencoder, seen: Sequence[npt.NDArray[np.float32]]
) -> list[npt.NDArray[np.float32]]:
    """Reconstruct views of a mask; on the CPU, if its device is out of memory."""
    device = next(autoencoder.net.parameters()).device
    try:
        return _reconstruct_by(autoencoder.net, device, seen)
    except REFUSALS as error:
        if device.type == "cpu" or not is_out_of_memory(error):
            raise
    release(device)
    return _reconstruct_by(transfer.copy_on_cpu(autoencoder.net), CPU, seen)


def _reconstruct_by(
    net: nn.Module, device: torch.device, seen: Sequence[npt.NDArray[np.float32]]
) -> list[npt.NDArray[np.float32]]:
    """Reconstruct in batches, every other view mirrored."""
    mirrored = [view[::-1] if n % 2 else view for n, view in enumerate(seen)]
    reconstructed: list[npt.NDArray[np.float32]] = []
    with torch.inference_mode(), threads_for(seen[0].size):
        for first in range(0, len(seen), VIEWS_AT_ONCE):
            x = torch.from_numpy(np.stack(mirrored[first : first + VIEWS_AT_ONCE]))[:, None]
            found = torch.sigmoid(net(transfer.move(x, device)).float())[:, 0]
            reconstructed.extend(transfer.read(found))
    return [view[::-1] if n % 2 else view for n, view in enumerate(reconstructed)]


def frame_grid(
    frame: Frame, mask: npt.NDArray[np.bool_], grid: Grid, degrees: float = 0.0
) -> Grid:
    """Place the frame around the mask's centre of mass, for a pitched head."""
    centre = grid.affine[:3, :3] @ _centre_of_mass(mask) + grid.affine[:3, 3]
    affine = pitch(-degrees) @ np.diag([frame.spacing_mm] * 3 + [1.0])
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.asarray(frame.shape) - 1) / 2)
    return Grid(frame.shape, affine)


def _centre_of_mass(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Mean index inside, from counts along the axes, without a list of all voxels."""
    plane = mask.sum(2, dtype=np.int32)
    counts = plane.sum(1), plane.sum(0), mask.sum(0, dtype=np.int32).sum(0)
    return np.array([count @ np.arange(len(count)) / count.sum() for count in counts])


@dataclass(frozen=True)
class Ball:
    """A ball that is added (if it grows) or removed: radius and centre in voxels."""

    radius: float
    centre: tuple[float, ...]
    grows: bool


@dataclass(frozen=True)
class Damage:
    """The parameters sampled for the corruption of one mask."""

    wobble: npt.NDArray[np.float32]  # (1, g, g, g) displacement of the surface (voxels)
    balls: tuple[Ball, ...]


def sample_damage(rng: np.random.Generator, shape: Shape) -> Damage:
    """Sample the corruption of a mask."""
    g = int(rng.integers(3, 9))
    wobble = (rng.uniform(0, 2) * rng.standard_normal((1, g, g, g))).astype(np.float32)
    return Damage(wobble, tuple(_sample_ball(rng, shape) for _ in range(rng.integers(0, 4))))


def _sample_ball(rng: np.random.Generator, shape: Shape) -> Ball:
    radius = rng.uniform(0.05, 0.2) * min(shape)
    centre = tuple(rng.uniform(0, n) for n in shape)
    return Ball(radius, centre, bool(rng.random() < 0.5))


def damage(distance: torch.Tensor, drawn: Damage, wobble: torch.Tensor) -> torch.Tensor:
    """Corrupt a mask in the ways predictions fail: uneven surface, missing and extra lumps.

    Parameters
    ----------
    distance : (1, I, J, K) tensor
        Signed distance in voxels, negative inside.
    drawn : Damage
    wobble : (1, g, g, g) tensor
        That of `drawn`, on the device of the distance.
    """
    i, j, k = shape = distance.shape[1:]
    damaged = distance + upsample(wobble, (i, j, k))
    for ball in drawn.balls:
        inside = _ball(shape, ball, distance.device)
        damaged = (
            torch.minimum(damaged, inside) if ball.grows else torch.maximum(damaged, -inside)
        )
    return damaged


def _centre_offsets(bank: LabelBank) -> list[npt.NDArray[np.float64]]:
    """Offset of each brain's centre of mass from the middle of the label maps (voxels).

    Computed once on the CPU, since some devices lack double precision.
    """
    middle = (np.asarray(bank.shape) - 1) / 2
    return [
        torch.nonzero(untiled(transfer.download(tiles)) < 0).double().mean(0).numpy() - middle
        for tiles in bank.distance
    ]


def _ball(shape: Sequence[int], ball: Ball, device: torch.device) -> torch.Tensor:
    """Signed distance to a ball, (1, I, J, K), in voxels."""
    square = torch.zeros(1, 1, 1, device=device)
    for axis, (n, centre) in enumerate(zip(shape, ball.centre, strict=True)):
        offset = torch.arange(n, device=device, dtype=torch.float32) - centre
        square = square + offset.square().view([-1 if a == axis else 1 for a in range(3)])
    return (square.sqrt() - ball.radius)[None]


def _deformations(config: AutoencoderConfig) -> SynthesisConfig:
    return SynthesisConfig(
        rotation_deg=config.rotation_deg, scaling=config.scaling, shear=config.shear,
        translation=config.translation, warp_std=config.warp_std,
    )
