"""Loss functions, and the conversion of a network's output to a probability.

Everything is based on the signed distance in voxels that synthesis renders, so that a voxel at the
brain's surface has a partial volume instead of a binary label.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from napari_singlestrip.engine.config import NetworkConfig

BAND = 4.0  # voxels; distances are clipped beyond this (SynthStrip: 4-5 mm)


def partial_volume(distance: torch.Tensor) -> torch.Tensor:
    """Fraction of a voxel that is brain, from its signed distance in voxels (negative inside)."""
    return (0.5 - distance).clamp(0, 1)


def soft_dice_loss(probability: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 - soft Dice with squared denominator (Milletari et al. 2016), mean over the batch.

    Parameters
    ----------
    probability, target : (B, 1, I, J, K) tensors, 0 to 1
    """
    axes = (1, 2, 3, 4)
    overlap = (probability * target).sum(axes)
    total = probability.square().sum(axes) + target.square().sum(axes)
    return (1 - (2 * overlap + 1) / (total + 1)).mean()


def segmentation_loss(
    output: torch.Tensor, distance: torch.Tensor, network: NetworkConfig, cross_entropy: float
) -> torch.Tensor:
    """Loss of a segmenter's output.

    Parameters
    ----------
    output : (B, 1, I, J, K) tensor
        Logits, or distances in voxels.
    distance : (B, 1, I, J, K) tensor
        True signed distance in voxels, negative inside.
    network : NetworkConfig
        Says which of the two the output is.
    cross_entropy : float
        Weight of cross entropy beside soft Dice (target "probability" only).
    """
    output = output.float()
    if network.target == "distance":
        return functional.smooth_l1_loss(output.clamp(-BAND, BAND), distance.clamp(-BAND, BAND))
    target = partial_volume(distance)
    loss = soft_dice_loss(torch.sigmoid(output), target)
    if cross_entropy:
        loss = loss + cross_entropy * functional.binary_cross_entropy_with_logits(output, target)
    return loss


def to_probability(output: torch.Tensor, network: NetworkConfig) -> torch.Tensor:
    """Brain probability (0 to 1) from a segmenter's output; 0.5 lies on the surface."""
    output = output.float()
    if network.target == "distance":
        return torch.sigmoid(-4 * output)
    return torch.sigmoid(output)
