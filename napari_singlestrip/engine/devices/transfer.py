"""Copies between the computer's memory and a device, all of which go through this module.

A device runs asynchronously while the CPU prepares the next batch, until a value is read back or a
blocking copy is made. So nothing else in the engine uploads or downloads, and tests can tell an
intended copy from an accidental one. Call these functions as ``transfer.upload``: tests replace
them.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from napari_singlestrip.engine.arrays import AnyArray

Key = TypeVar("Key", bound=Hashable)

ALIGNED = 64  # numbers; each array begins on a boundary that kernels read fastest from


def upload(arrays: Mapping[Key, AnyArray], device: torch.device) -> dict[Key, torch.Tensor]:
    """Copy float32 arrays to a device, all in one asynchronous copy.

    Parameters
    ----------
    arrays : mapping to float32 arrays
        On the CPU they are shared, not copied.
    device : torch.device
    """
    if device.type == "cpu":
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
    starts = np.cumsum([0, *(-(-a.size // ALIGNED) * ALIGNED for a in arrays.values())])
    packed = np.zeros(int(starts[-1]), np.float32)
    for start, array in zip(starts, arrays.values(), strict=False):
        packed[start : start + array.size] = array.ravel()
    sent = move(torch.from_numpy(packed), device)
    return {
        name: sent.narrow(0, int(start), array.size).view(array.shape)
        for start, (name, array) in zip(starts, arrays.items(), strict=False)
    }


def move(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy a tensor to a device (asynchronously on CUDA), unless it is there already."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        # Copies from pageable memory block; torch keeps the pinned copy until it was read.
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def download(tensor: torch.Tensor) -> torch.Tensor:
    """Copy a tensor to the CPU, once it is computed."""
    return tensor.detach().to("cpu")


def read(tensor: torch.Tensor) -> AnyArray:
    """Copy a tensor to a numpy array, once it is computed."""
    array: AnyArray = download(tensor).numpy()
    return array


def copy_on_cpu(net: nn.Module) -> nn.Module:
    """Copy a net to the CPU without allocating memory on its device."""
    memo: dict[int, torch.Tensor] = {
        id(weight): nn.Parameter(download(weight).clone(), requires_grad=weight.requires_grad)
        for weight in net.parameters()
    }
    memo |= {id(buffer): download(buffer).clone() for buffer in net.buffers()}
    return copy.deepcopy(net, memo)
