"""Where the tensors live, at which precision, and what a bug report should say about it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import nn

from napari_singlestrip.errors import UserError

PROBE_SIDE = 64  # voxels
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class Precision:
    """How the network computes: type of autocast, layout of its tensors, threads on a CPU."""

    dtype: str = "float32"  # "float32" or "bfloat16"
    channels_last: bool = False
    threads: int = 0  # 0: as many as torch takes by itself
    milliseconds: float = 0.0  # of the probed step

    @property
    def memory_format(self) -> torch.memory_format:
        """For `Tensor.to`."""
        return torch.channels_last_3d if self.channels_last else torch.contiguous_format

    def lay_out(self, net: nn.Module) -> None:
        """Bring a net's weights into the layout, in place."""
        net.to(memory_format=self.memory_format)  # type: ignore[call-overload]

    def autocast(self, device: torch.device) -> torch.autocast:
        """A context in which the network runs."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.dtype == "bfloat16")

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Take the chosen number of threads for a while."""
        with _threads(self.threads or torch.get_num_threads()):
            yield


def threads_for(n_voxels: int) -> AbstractContextManager[None]:
    """One thread while a small picture goes through a network, otherwise all.

    Threads that wait between short convolutions burn more than they bring: on two cores, one pass
    at 4 mm takes 10 ms longer with one thread, and a fifth less processor time.
    """
    return _threads(1 if n_voxels <= PROBE_SIDE**3 else torch.get_num_threads())


@contextmanager
def _threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_device(name: str = "auto") -> torch.device:
    """Turn "auto", "cpu", "cuda", "cuda:1" or "mps" into a device that is there.

    Raises
    ------
    UserError
        If the device is unknown or missing.
    """
    if name.partition(":")[0] not in DEVICES:
        raise UserError(f"Unknown device {name!r}.", f"Choose one of: {', '.join(DEVICES)}.")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next((kind for kind, ok in there.items() if ok), "cpu")
    kind = name.partition(":")[0]
    if kind != "cpu" and not there[kind]:
        raise UserError(
            f"This computer has no usable {kind} device (torch {torch.__version__}).",
            "Use --device cpu, or install the torch build for your graphics card: "
            "`singlestrip doctor` says what torch sees.",
        )
    return torch.device(name)


def probe_precision(
    net: nn.Module, shape: tuple[int, int, int], device: torch.device, batch_size: int = 1
) -> Precision:
    """Time one training step in each precision and layout, and return the fastest.

    Whether bfloat16 pays cannot be read off the hardware's flags: torch reports it as supported
    where it is emulated and an order of magnitude slower. A candidate much slower than the best
    is given up after its first step.

    Parameters
    ----------
    net : nn.Module
        Its weights are not changed (gradients are cleared).
    shape : (I, J, K)
        Of the pictures; longer sides are cut to `PROBE_SIDE`.
    """
    i, j, k = (min(n, PROBE_SIDE) for n in shape)  # enough to tell, and soon done
    shape = (i, j, k)
    changes: list[dict[str, Any]] = [
        {"channels_last": True}, {"dtype": "bfloat16", "channels_last": False},
    ]
    if device.type == "cpu" and torch.get_num_threads() > 1:
        # Threads that wait for a core in use elsewhere hold up all others.
        changes += [{"threads": torch.get_num_threads() // 2}]
    best = Precision()
    best = replace(best, milliseconds=_time_step(net, shape, device, best, batch_size))
    for change in changes:
        candidate = replace(best, **change)
        limit = 3 * best.milliseconds
        taken = _time_step(net, shape, device, candidate, batch_size, limit)
        if taken < 0.95 * best.milliseconds:
            best = replace(candidate, milliseconds=taken)
    best.lay_out(net)
    return best


def _time_step(
    net: nn.Module, shape: tuple[int, ...], device: torch.device, precision: Precision,
    batch_size: int, give_up_ms: float = float("inf"),
) -> float:
    """Milliseconds of the fastest of four steps, or of the first if that took `give_up_ms`."""
    precision.lay_out(net)
    x = torch.zeros(batch_size, 1, *shape, device=device).to(
        memory_format=precision.memory_format
    )
    fastest = float("inf")
    with precision.computing():
        for _ in range(4):
            start = time.perf_counter()
            with precision.autocast(device):
                loss = net(x).float().square().mean()
            loss.backward()
            _synchronise(device)
            fastest = min(fastest, 1e3 * (time.perf_counter() - start))
            if fastest > give_up_ms:
                break
    net.zero_grad(set_to_none=True)
    return fastest


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def in_words(device: torch.device) -> str:
    """A device as a person would call it."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} (CUDA)"
    if device.type == "mps":
        return "Apple GPU"
    return f"CPU, {torch.get_num_threads()} threads"


def describe() -> dict[str, str]:
    """What one pastes into a bug report: versions, devices, precision and memory."""
    import psutil

    from napari_singlestrip import __version__
    from napari_singlestrip.engine.config import NetworkConfig
    from napari_singlestrip.engine.networks import build_segmenter

    device = choose_device("auto")
    facts = {
        "napari-singlestrip": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
    }
    for package in ("torch", "numpy", "scipy", "nibabel", "pydantic", "napari"):
        facts[package] = _version(package)
    memory = psutil.virtual_memory()
    facts["memory"] = f"{memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} GiB free"
    facts["device"] = in_words(device)
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        facts["GPU memory"] = f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB free"
    net = build_segmenter(NetworkConfig()).to(device)
    precision = probe_precision(net, (64, 64, 64), device)
    layout = "channels last" if precision.channels_last else "channels first"
    taken = f"{precision.milliseconds:.0f} ms a 64^3 step"
    facts["precision"] = f"{precision.dtype}, {layout} ({taken})"
    return facts


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
