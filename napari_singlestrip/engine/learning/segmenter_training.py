"""Training data of the segmenter: synthetic images, real scans, and validation data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_singlestrip.engine.config import Settings, TrainingConfig
from napari_singlestrip.engine.devices import transfer
from napari_singlestrip.engine.heads.label_bank import Geometry, brain_box
from napari_singlestrip.engine.heads.label_map import LabelBank
from napari_singlestrip.engine.heads.synthesis import render
from napari_singlestrip.engine.heads.synthesis_params import sample_params
from napari_singlestrip.engine.imaging.geometry import conform, resample
from napari_singlestrip.engine.imaging.grid import Shape, Volume
from napari_singlestrip.engine.learning.networks import build_segmenter
from napari_singlestrip.engine.learning.training import Pair, Task, Weights, initial_weights
from napari_singlestrip.engine.stored_settings import settings_text
from napari_singlestrip.vocabulary import StageName


def segmenter_task(
    bank: LabelBank,
    geometry: Geometry,
    settings: Settings,
    device: torch.device,
    *,
    stage: StageName = "train",
    initial: Weights | None = None,
    config: TrainingConfig | None = None,
    real_fraction: float = 0.0,
    watched: Sequence[Pair] = (),
) -> Task:
    """Define the training of the segmenter.

    Parameters
    ----------
    bank : LabelBank
        Label maps of the labelled scans.
    geometry : Geometry
        The grid of the synthetic images.
    settings : Settings
    device : torch.device
    stage : str
        Name in the events.
    initial : state dict, optional
        Weights to fine-tune; random unless given.
    config : TrainingConfig, optional
        Instead of ``settings.training``.
    real_fraction : float
        Fraction of steps on the real scans instead of synthetic images, 0 to 1.
    watched : sequence of pairs
        Labelled scans to measure the Dice on, from `watched_scan`.
    """
    bank, config = bank.to(device), config or settings.training
    net = _initial_net(settings, initial).to(device)
    wide_shape = _wide_shape(geometry, config, settings.network.side_multiple)

    def draw(rng: np.random.Generator) -> Pair:
        params = [
            sample_params(rng, bank, settings.synthesis, real=bool(rng.random() < real_fraction))
            for _ in range(config.batch_size)
        ]
        wide = rng.random() < config.context_fraction
        return render(bank, params, wide_shape if wide else geometry.shape)

    extra = {
        "settings": settings_text(settings), "spacing_mm": geometry.spacing_mm,
        "shape": list(geometry.shape), "offset": list(geometry.offset),
    }
    return Task(
        "segmenter", stage, net, draw,
        _held_out_heads(bank, geometry, settings, config.validation_heads), settings.network,
        config, settings.seed,
        [(transfer.move(x, device), transfer.move(y, device)) for x, y in watched], extra=extra,
    )


def _initial_net(settings: Settings, initial: Weights | None) -> nn.Module:
    net = build_segmenter(settings.network)
    if initial is None:
        initial_weights(net, np.random.default_rng([settings.seed, 2]))
    else:
        net.load_state_dict(initial)
    return net


def _wide_shape(geometry: Geometry, config: TrainingConfig, multiple: int) -> Shape:
    """Shape of the larger window with more neck and air."""
    i, j, k = (round(n * config.context_scale / multiple) * multiple for n in geometry.shape)
    return i, j, k


def _held_out_heads(
    bank: LabelBank, geometry: Geometry, settings: Settings, n: int
) -> list[Pair]:
    """Synthetic images that are not used in training."""
    rng = np.random.default_rng([settings.seed, 1])
    return [
        render(bank, [sample_params(rng, bank, settings.synthesis)], geometry.shape)
        for _ in range(n)
    ]


def watched_scan(
    volume: Volume, mask: npt.NDArray[np.bool_], geometry: Geometry, settings: Settings
) -> Pair:
    """Prepare a labelled scan for validation, in the window that prediction would use.

    Returns
    -------
    pair of (1, 1, I, J, K) float32 tensors
        Intensities, and a signed distance in voxels that is exact only near the surface.
    """
    low, high = brain_box(mask, volume.grid)
    reach = np.asarray(geometry.shape) * geometry.spacing_mm / 2
    box = ((low + high) / 2 - reach, (low + high) / 2 + reach)
    multiple = settings.network.side_multiple
    conformed = conform(volume, geometry.spacing_mm, multiple=multiple, box=box)
    soft = resample(Volume(mask.astype(np.float32), volume.affine), conformed.grid, fill=0.0)
    return torch.from_numpy(conformed.data)[None, None], torch.from_numpy(0.5 - soft)[None, None]
