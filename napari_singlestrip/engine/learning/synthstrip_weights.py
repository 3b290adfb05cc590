"""Weights for SynthStrip's own program: the same network with its names, axes and units.

``mri_synthstrip --model`` reads ``{"model_state_dict": ...}`` of a network for scans in LIA
orientation at 1 mm, where ours uses RAS. Reorienting the kernels reorients the network, since
padding, pooling and upsampling are the same along every axis.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from napari_singlestrip.engine.config import NetworkConfig
from napari_singlestrip.errors import UserError

CHANNELS = (16, 32, 64, 64, 64, 64, 64)
SPACING_MM = 1.0
_NEEDED = (
    "network.architecture=synthstrip", f"'network.channels=[{','.join(map(str, CHANNELS))}]'",
    "network.target=distance", "conform.spacing_mm=1", "conform.scale_to_brain=false",
)  # fmt: skip


def synthstrip_weights(
    weights: Mapping[str, torch.Tensor], network: NetworkConfig, spacing_mm: float
) -> dict[str, torch.Tensor]:
    """Rename and reorient the weights of a network for SynthStrip's program.

    Parameters
    ----------
    weights : mapping of str to tensor
        Of a `networks.SynthStripNet`.
    network : NetworkConfig
    spacing_mm : float
        Voxel size that it was trained with.

    Raises
    ------
    UserError
        If the architecture is not the one that SynthStrip's program builds.
    """
    fits = (
        network.architecture == "synthstrip" and tuple(network.channels) == CHANNELS
        and network.target == "distance" and abs(spacing_mm - SPACING_MM) < 1e-3
    )
    if not fits:
        raise UserError(
            "This network does not have SynthStrip's architecture: its program cannot load it.",
            f"Train one with {' '.join(f'--set {setting}' for setting in _NEEDED)}.",
        )
    return {
        f"{_place(name.rpartition('.')[0])}.{name.rpartition('.')[2]}": _turned(value)
        for name, value in weights.items()
    }


def _place(ours: str) -> str:
    """SynthStrip's name of a convolution."""
    levels = len(CHANNELS)
    if ours == "last":
        return "remaining.2.conv"
    side, level, layer = ours.split(".")
    n, conv = int(level), int(layer) // 2  # activations lie between convolutions
    if side == "down":
        return f"encoder.{n}.{conv}.conv" if n < levels - 1 else f"decoder.0.{conv}.conv"
    last = n == levels - 2
    return f"remaining.{conv}.conv" if last else f"decoder.{n + 1}.{conv}.conv"


def _turned(value: torch.Tensor) -> torch.Tensor:
    """A kernel (features, channels, R, A, S) as (features, channels, L, I, A)."""
    if value.ndim != 5:
        return value.clone()
    return value.permute(0, 1, 2, 4, 3).flip(2, 3).contiguous()
