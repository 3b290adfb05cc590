"""Choosing the device and its precision, and describing both for bug reports."""

from __future__ import annotations

import copy
import os
import platform
import time
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_singlestrip.engine.devices.memory import is_out_of_memory, release
from napari_singlestrip.engine.devices.precision import (
    CPU,
    REFUSALS,
    TOLERANCE,
    Precision,
    disagreement,
)
from napari_singlestrip.errors import UserError
from napari_singlestrip.texts import counted

PROBE_SIDE = 64  # voxels
PROBE_VOXELS, PROBE_VOXELS_CPU = 256**3, 112**3  # at most
PROBE_SECONDS = 2.0  # per candidate, but at least two steps
DEVICES = ("auto", "cpu", "cuda", "mps")
CUDA = torch.device("cuda")


def choose_device(name: str = "auto") -> torch.device:
    """Turn "auto", "cpu", "cuda", "cuda:1" or "mps" into an available device.

    "auto" is the first CUDA card if a small network trains correctly on it, else the CPU. Apple
    GPUs are used on request only, as they are not yet benchmarked.

    Raises
    ------
    UserError
        If the device is unknown or missing.
    """
    kind, _, number = name.partition(":")
    if kind not in DEVICES or (number and (kind not in ("cpu", "cuda") or not number.isdecimal())):
        raise UserError(f"Unknown device {name!r}.", f"Choose one of: {', '.join(DEVICES)}.")
    if kind == "auto":
        usable = _is_there("cuda") and not trial(CUDA)
        return CUDA if usable else CPU
    if kind != "cpu" and not _is_there(kind):
        raise UserError(
            f"This computer has no usable {kind} device (torch {torch.__version__}).",
            "Use the processor (`--device cpu`; `singlestrip strip` without -g), or install the "
            "torch build for your graphics card: `singlestrip doctor` says what torch sees.",
        )
    if kind == "cuda" and number and int(number) >= torch.cuda.device_count():
        raise UserError(
            f"This computer has no {name}: its CUDA devices are numbered from 0 to "
            f"{torch.cuda.device_count() - 1}.",
            "Choose one of them, or --device cpu.",
        )
    return torch.device(kind, int(number)) if number and kind == "cuda" else torch.device(kind)


def remarks(name: str, device: torch.device) -> list[str]:
    """Remarks for the user on a device that was requested and chosen.

    Parameters
    ----------
    name : str
        As in `choose_device`.
    device : torch.device
        The result of `choose_device`.
    """
    if name == "auto" and device.type == "cpu":
        if _is_there("cuda") and (why := trial(CUDA)):
            return [f"The CPU is used, not {in_words(CUDA)}: {why}"]
        if _is_there("mps"):
            return ["Apple graphics are not measured yet: --device mps tries them."]
    found = []
    if device.type != "cpu" and (why := trial(device)):
        found.append(f"{in_words(device)}: {why}")
    if device.type == "mps":
        found.append(
            "Apple graphics are not measured yet: some layers are slow there, or not right in all "
            "versions of torch. Each network is compared with the CPU before it trains; inspect "
            "the masks."
        )
    return found


def _is_there(kind: str) -> bool:
    """Whether torch finds a device of a kind; a broken driver may raise instead."""
    try:
        if kind == "cuda":
            return bool(torch.cuda.is_available())
        return bool(torch.backends.mps.is_available())
    except REFUSALS:
        return False


@lru_cache(maxsize=8)
def trial(device: torch.device) -> str:
    """Train a small network for one step, on the device and on the CPU.

    Returns
    -------
    str
        Why the device cannot be used; empty if its output and gradients agree with the CPU's.
    """
    from napari_singlestrip.engine.config import NetworkConfig
    from napari_singlestrip.engine.learning.networks import build_segmenter
    from napari_singlestrip.engine.learning.training import initial_weights

    net = build_segmenter(NetworkConfig(channels=(4, 8, 16)))
    initial_weights(net, np.random.default_rng(0))
    try:
        wrong = disagreement(copy.deepcopy(net).to(device), device, Precision(), (32, 32, 32))
    except REFUSALS as error:
        return f"it refuses to train ({_first_line(error)})."
    if wrong <= TOLERANCE["float32"]:
        return ""
    return f"its numbers differ from the CPU's by {100 * wrong:.2g}%."


def probe_precision(
    net: nn.Module, shape: tuple[int, int, int], device: torch.device, batch_size: int = 1
) -> Precision:
    """Time training steps in each precision and layout, and return the fastest correct one.

    Whether bfloat16 is faster cannot be told from hardware flags: torch reports it as supported
    even if it is emulated and an order of magnitude slower. A candidate that the device does not
    support, or whose output differs from the CPU's by more than `TOLERANCE`, is discarded.

    Parameters
    ----------
    net : nn.Module
        On the device. Its weights are unchanged (gradients are cleared).
    shape : (I, J, K)
        Of the images; cropped if they have more than `PROBE_VOXELS`.

    Raises
    ------
    UserError
        If not even float32 agrees with the CPU.
    """
    most = PROBE_VOXELS_CPU if device.type == "cpu" else PROBE_VOXELS
    shape = probe_shape(shape, most // batch_size)
    try:
        best = _measured(net, shape, device, Precision(), batch_size)
    except REFUSALS as error:
        said = _useless(device, error)
        raise said from (None if said is error else error)
    changes: list[dict[str, Any]] = [{"channels_last": True}, {"dtype": "bfloat16"}]
    if device.type == "cuda":
        changes += [{"dtype": "float16"}]  # the only option on cards older than Ampere
    if device.type == "cpu" and torch.get_num_threads() > 1:
        # Threads that wait for a busy core delay all others.
        changes += [{"threads": torch.get_num_threads() // 2}]
    for change in changes:
        if change.get("dtype") == "float16" and best.dtype == "bfloat16":
            continue  # as fast, and its range needs no loss scaling
        candidate = replace(best, **change)
        if change.get("dtype") == "bfloat16" and device.type == "cpu":
            candidate = replace(candidate, channels_last=False)
        found = _usable(net, shape, device, candidate, batch_size, best.milliseconds)
        if found is not None and found.milliseconds < 0.95 * best.milliseconds:
            best = found
    best.lay_out(net)
    return best


def probe_shape(shape: tuple[int, int, int], most: int) -> tuple[int, int, int]:
    """Reduce the longest sides, to multiples of 64, until an image has at most `most` voxels.

    Nets that halve the image up to six times accept any such shape; small images stay as they are.
    """
    sides = list(shape)
    while np.prod(sides) > most and max(sides) > PROBE_SIDE:
        longest = sides.index(max(sides))
        sides[longest] = (sides[longest] - 1) // PROBE_SIDE * PROBE_SIDE
    i, j, k = sides
    return i, j, k


def _usable(
    net: nn.Module, shape: tuple[int, int, int], device: torch.device, candidate: Precision,
    batch_size: int, best_ms: float,
) -> Precision | None:
    """The candidate with its time; None if it is not supported or wrong."""
    try:
        return _measured(net, shape, device, candidate, batch_size, best_ms)
    except REFUSALS:
        net.zero_grad(set_to_none=True)
    release(device)
    return None


def _measured(
    net: nn.Module, shape: tuple[int, int, int], device: torch.device, candidate: Precision,
    batch_size: int, best_ms: float = float("inf"),
) -> Precision:
    """The candidate with its time; raises one of `REFUSALS` if it is not supported or wrong."""
    # Plain float32 on a CPU is itself the reference.
    if (device.type, candidate.dtype) != ("cpu", "float32"):
        wrong = disagreement(net, device, candidate, probe_shape(shape, PROBE_SIDE**3))
        if not wrong <= TOLERANCE[candidate.dtype]:  # or NaN
            raise ValueError(f"its numbers differ from the CPU's by {100 * wrong:.2g}%")
    # On a CPU, the first step already shows if a candidate is much slower.
    limit = 3 * best_ms if device.type == "cpu" else float("inf")
    taken = _time_step(net, shape, device, candidate, batch_size, limit)
    return replace(candidate, milliseconds=taken)


def _useless(device: torch.device, error: BaseException) -> Exception:
    """The error for a device that cannot train a net at all; on a CPU, others are bugs."""
    if is_out_of_memory(error):
        where = "" if device.type == "cpu" else f" on {in_words(device)}"
        return UserError(
            f"There was not enough memory{where} to train the network.",
            "Close other programs, or make the job smaller: `--set training.batch_size=1` or a "
            "larger voxel size, such as `--set conform.spacing_mm=5`.",
        )
    if device.type == "cpu" and isinstance(error, Exception):
        return error
    return UserError(
        f"{in_words(device)} cannot train the network: {_first_line(error)}.", "Use --device cpu."
    )


def _time_step(
    net: nn.Module, shape: tuple[int, ...], device: torch.device, precision: Precision,
    batch_size: int, give_up_ms: float = float("inf"),
) -> float:
    """Time of the fastest of several steps (ms), not counting the first.

    In the first step kernels are chosen and memory is allocated; if it takes longer than
    `give_up_ms`, no other follows.
    """
    precision.lay_out(net)
    x = torch.zeros(batch_size, 1, *shape, device=device).to(
        memory_format=precision.memory_format
    )
    taken: list[float] = []
    with precision.computing():
        while len(taken) < 4 and (len(taken) < 2 or 1e-3 * sum(taken) < PROBE_SECONDS):
            _synchronise(device)
            start = time.perf_counter()
            with precision.autocast(device):
                loss = net(x).float().square().mean()
            loss.backward()
            _synchronise(device)
            taken.append(1e3 * (time.perf_counter() - start))
            if taken[0] > give_up_ms:
                break
    net.zero_grad(set_to_none=True)
    return min(taken[1:] or taken)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def identity(device: torch.device) -> str:
    """Identity of the device: a training resumes in its precision only on the same one."""
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    if device.type == "cpu":
        return f"cpu {torch.backends.cpu.get_cpu_capability()}"
    return device.type


def in_words(device: torch.device) -> str:
    """Name of a device for messages."""
    if device.type == "cuda":
        try:
            return f"{torch.cuda.get_device_name(device)} (CUDA)"
        except REFUSALS:  # a broken driver
            return "a graphics card (CUDA)"
    if device.type == "mps":
        return "Apple GPU"
    return f"CPU, {counted(torch.get_num_threads(), 'thread')}"


def describe() -> dict[str, str]:
    """The facts for a bug report: versions, devices, precision and memory."""
    import psutil

    from napari_singlestrip import __version__
    from napari_singlestrip.engine.config import NetworkConfig
    from napari_singlestrip.engine.learning.networks import build_segmenter
    from napari_singlestrip.engine.learning.training import initial_weights

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
    if notes := remarks("auto", device):
        facts["remark"] = " ".join(notes)
    facts |= _graphics_card()
    try:
        net = build_segmenter(NetworkConfig()).to(device)
        initial_weights(net, np.random.default_rng(0))
        precision = probe_precision(net, (64, 64, 64), device)
    except (UserError, *REFUSALS) as error:
        facts["precision"] = f"not determined: {_first_line(error)}"
        return facts
    layout = "channels last" if precision.channels_last else "channels first"
    taken = f"{precision.milliseconds:.0f} ms a 64^3 step"
    facts["precision"] = f"{precision.dtype}, {layout} ({taken})"
    return facts


def _graphics_card() -> dict[str, str]:
    """Name and memory of the first CUDA card, whether it is used or not."""
    if not _is_there("cuda"):
        return {}
    try:
        free, total = torch.cuda.mem_get_info(CUDA)
    except REFUSALS as error:
        return {"GPU": f"{in_words(CUDA)}, {_first_line(error)}"}
    memory = f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB free"
    return {"GPU": in_words(CUDA), "GPU memory": memory}


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(".")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
