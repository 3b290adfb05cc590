"""How a network computes (number type, memory layout, threads), and whether it is correct."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from napari_singlestrip.engine.devices import transfer

CPU = torch.device("cpu")
FEW_VOXELS = 64**3
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
# Largest difference of a net's output from the CPU's float32, relative to its root mean square.
# On a CPU bfloat16 differs by 0.008 and float16 by 0.001; a faulty kernel differs by about 1.
TOLERANCE = {"float32": 0.01, "bfloat16": 0.05, "float16": 0.02}
GRADIENT_ROOM = 4.0  # tolerance of gradients, relative to that of outputs
LOSS_SCALE = 1024.0
# What torch raises when a device lacks an operation, memory or support in this build.
REFUSALS = (RuntimeError, TypeError, NotImplementedError, AssertionError, ValueError, MemoryError)


@dataclass(frozen=True)
class Precision:
    """How the network computes: type of autocast, layout of its tensors, threads on a CPU."""

    dtype: str = "float32"  # "float32", "bfloat16" or "float16"
    channels_last: bool = False
    threads: int = 0  # 0: torch's default
    milliseconds: float = 0.0  # of the probed step

    @property
    def memory_format(self) -> torch.memory_format:
        """For `Tensor.to`."""
        return torch.channels_last_3d if self.channels_last else torch.contiguous_format

    def lay_out(self, net: nn.Module) -> None:
        """Convert a net's weights to the memory layout, in place."""
        net.to(memory_format=self.memory_format)  # type: ignore[call-overload]

    def autocast(self, device: torch.device) -> AbstractContextManager[Any]:
        """A context in which the network runs."""
        if self.dtype == "float32":
            return nullcontext()
        return torch.autocast(device.type, DTYPES[self.dtype])

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        """Scale the loss where small gradients would underflow (float16); a no-op otherwise."""
        kind = device.type if device.type in ("cpu", "cuda") else "cpu"
        return torch.amp.GradScaler(kind, LOSS_SCALE, enabled=self.dtype == "float16")

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Use the chosen number of threads within this context."""
        with _threads(self.threads or torch.get_num_threads()):
            yield


def threads_for(n_voxels: int) -> AbstractContextManager[None]:
    """One thread while a small image goes through a network, otherwise all.

    Between short convolutions, threads spend more time waiting than they save: on two cores, one
    pass at 4 mm takes 10 ms longer with one thread, and a fifth less processor time.
    """
    return _threads(1 if n_voxels <= FEW_VOXELS else torch.get_num_threads())


@contextmanager
def _threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def disagreement(
    net: nn.Module, device: torch.device, precision: Precision, shape: tuple[int, ...]
) -> float:
    """How far a net's output and gradients are from those on the CPU in float32.

    Parameters
    ----------
    net : nn.Module
        On the device; its gradients are cleared.
    device : torch.device
    precision : Precision
    shape : (I, J, K)
        Shape of the random test image, which is always the same.

    Returns
    -------
    float
        The larger of both differences, relative to the CPU's root mean square (of the gradients
        a fraction, `GRADIENT_ROOM`); NaN if there is any.
    """
    x = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(0))
    reference = transfer.copy_on_cpu(net).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    expected = _answer(reference, x, CPU, Precision())
    precision.lay_out(net)
    with precision.computing():
        found = _answer(net, x, device, precision)
    output, gradient = (
        (a - b).norm() / b.norm().clamp(min=1e-12) for a, b in zip(found, expected, strict=True)
    )
    # Gradients partly cancel out, so that rounding errors weigh more in them.
    return float(torch.maximum(output, gradient / GRADIENT_ROOM))


def _answer(
    net: nn.Module, x: torch.Tensor, device: torch.device, precision: Precision
) -> tuple[torch.Tensor, torch.Tensor]:
    """Output of a net and all its gradients, concatenated, on the CPU."""
    seen = transfer.move(x, device).to(memory_format=precision.memory_format)
    with precision.autocast(device):
        output = net(seen).float()
    # Scaled as in float16 training, where small gradients would underflow.
    scale = LOSS_SCALE if precision.dtype == "float16" else 1.0
    (scale * output.square().mean()).backward()
    gradients = [w.grad.flatten() for w in net.parameters() if w.grad is not None]
    found = transfer.download(torch.cat(gradients).float() / scale)
    net.zero_grad(set_to_none=True)
    return transfer.download(output), found
