"""Moves between the computer's memory and a device: all that are meant go through here.

A device works through what it is given while the processor prepares what comes next, until a value
is read back, or something is sent in a way that waits. So nothing else in the engine uploads or
reads back, and tests can tell a move that is meant from an accident. Call these functions as
``transfer.upload``: tests put others in their place.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Key = TypeVar("Key", bound=Hashable)
Array = npt.NDArray[Any]

ALIGNED = 64  # numbers; each array begins on a boundary that kernels read fastest from


def upload(arrays: Mapping[Key, Array], device: torch.device) -> dict[Key, torch.Tensor]:
    """Bring float32 arrays to a device, all in one copy that nothing waits for.

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
    """Bring a tensor to a device; nothing waits for it on CUDA. There already, it is itself."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        # From memory that may be paged out, a copy waits; torch keeps this until it is read.
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def download(tensor: torch.Tensor) -> torch.Tensor:
    """Wait for a tensor to be computed, and read it."""
    return tensor.detach().to("cpu")


def read(tensor: torch.Tensor) -> Array:
    """Wait for numbers to be computed, and read them."""
    array: Array = download(tensor).numpy()
    return array


def copy_on_cpu(net: nn.Module) -> nn.Module:
    """Copy a net for the CPU, without asking its device for memory."""
    memo: dict[int, torch.Tensor] = {
        id(weight): nn.Parameter(download(weight).clone(), requires_grad=weight.requires_grad)
        for weight in net.parameters()
    }
    memo |= {id(buffer): download(buffer).clone() for buffer in net.buffers()}
    return copy.deepcopy(net, memo)
