"""How much memory is available, how much of it to use, and how running out is recognised."""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from napari_singlestrip.engine.devices.launch import place_of

GIB = 2**30
HOST_SHARE, FREE_SHARE, HOST_MOST = 0.2, 0.5, 8 * GIB  # of all memory, of what is free; at most
DEVICE_SHARE, DEVICE_MOST = 0.25, 8 * GIB  # of a graphics card's free memory
NOISE_MOST = GIB // 4  # bytes of the precomputed noise

# Parameters of glibc's mallopt, and the values to which its own adaptation tends.
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
USUAL = {MMAP_MAX: 2**16, MMAP_THRESHOLD: 2**25, TRIM_THRESHOLD: 2**26}

# What torch's allocators, cuDNN and cuBLAS say; on a CPU it is a plain RuntimeError.
_SAID = re.compile(
    r"out of memory|can't allocate memory|not enough memory|bad_?alloc|cannot allocate memory"
    r"|ALLOC_FAILED|DefaultCPUAllocator|could not create a primitive$|can't start new thread",
    re.IGNORECASE | re.MULTILINE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a device, or the computer, is out of memory."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and _SAID.search(str(error)) is not None


def release(device: torch.device) -> None:
    """Return the device memory that torch has cached."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def host_share() -> int:
    """Bytes of the computer's memory that label maps may take.

    A fraction of all memory, so that a resumed training finds the same limit, unless little is
    free. Processes that train together have equal parts of it.
    """
    import psutil

    memory = psutil.virtual_memory()
    share = min(HOST_SHARE * memory.total, FREE_SHARE * memory.available)
    return int(min(share / place_of().n_local, HOST_MOST))


def device_share(device: torch.device) -> int:
    """Bytes of a device's memory that label maps may take; larger sets are sent scan by scan.

    The rest is for the network's activations and for the programs that draw on the screen.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(min(DEVICE_SHARE * free, DEVICE_MOST))
    return host_share() if device.type in ("cpu", "mps") else DEVICE_MOST


@contextmanager
def keeping_freed_memory(device: torch.device) -> Iterator[None]:
    """Keep what is freed on a CPU for the next allocation, while steps of a training take turns.

    glibc returns large blocks to the system at once, and each new one is given page by page, which
    took up to a fifth of the time of a large step. Does nothing where the C library is another one.
    """
    library = ctypes.CDLL(None) if device.type == "cpu" and sys.platform == "linux" else None
    if library is None or not hasattr(library, "mallopt"):
        yield
        return
    library.mallopt(MMAP_MAX, 0)
    library.mallopt(TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        for parameter, value in USUAL.items():
            library.mallopt(parameter, value)
        library.malloc_trim(0)
