"""How much memory a training step takes, known before it is tried, and what to do without it.

On a computer that lends more memory than it has, as Linux does, an allocation does not fail: the
computer stands still for minutes and then ends the process, or another one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from napari_singlestrip.engine.devices.memory import GIB, is_out_of_memory
from napari_singlestrip.engine.devices.precision import REFUSALS, Precision
from napari_singlestrip.engine.learning.device import in_words
from napari_singlestrip.errors import UserError

# Times what is kept for the backward pass in float32. Peaks of both architectures at 64^3 to 128^3:
# 2.2 to 4.8 times as much in float32, 1.07 to 2.4 with bfloat16 (PyTorch 2.13, x86).
FLOAT32, AUTOCAST = 2.0, 1.0


def least_memory(net: nn.Module, shape: Sequence[int], precision: Precision) -> int:
    """Bytes that a training step takes at least.

    A copy of the network without values (on torch's "meta" device) tells what is kept for the
    backward pass.

    Parameters
    ----------
    net : nn.Module
    shape : (B, C, I, J, K)
        Of its input.
    precision : Precision
        That it computes in.
    """
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage
        return tensor

    empty = copy.deepcopy(net).to("meta")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        empty(torch.empty(tuple(shape), device="meta"))
    times = FLOAT32 if precision.dtype == "float32" else AUTOCAST
    return round(times * sum(storage.nbytes() for storage in kept.values()))


def check_memory(net: nn.Module, shape: Sequence[int], precision: Precision) -> None:
    """Refuse a training step on the CPU that cannot fit.

    Raises
    ------
    MemoryError
        If it takes more than is free.
    """
    import psutil

    least, free = least_memory(net, shape, precision), psutil.virtual_memory().available
    if least > free:
        raise MemoryError(
            f"at {' x '.join(map(str, shape[2:]))} voxels it takes at least "
            f"{least / GIB:.1f} GiB, and {free / GIB:.1f} GiB are free"
        )


@contextmanager
def enough_memory(shape: Sequence[int], n: int, device: torch.device) -> Iterator[None]:
    """Explain when a training step does not fit into memory.

    Parameters
    ----------
    shape : (I, J, K)
        Of the training grid.
    n : int
        Images in a step.
    device : torch.device
    """
    try:
        yield
    except REFUSALS as error:
        if not is_out_of_memory(error):
            raise
        where = "" if device.type == "cpu" else f" on {in_words(device)}"
        said = f": {error}" if isinstance(error, MemoryError) and str(error) else ""
        raise UserError(
            f"There was not enough memory{where} for a training step of {n} "
            f"image{'s' * (n > 1)} of {' x '.join(map(str, shape))} voxels{said}.",
            "Close other programs, or make the job smaller: `--set training.batch_size=1` or a "
            "larger voxel size, such as `--set conform.spacing_mm=5`"
            f"{'; or --device cpu' * bool(where)}.",
        ) from error
