"""Loading the parts of scipy while there is enough address space.

scipy's OpenBLAS allocates memory for each core when it is loaded. If that fails it retries forever,
and Python cannot handle signals meanwhile. So the allocation is tested here first.
"""

from __future__ import annotations

import importlib
import mmap
import os
import sys

LIBRARIES = 128 * 2**20  # bytes of addresses: scipy's own files,
EACH_THREAD = 48 * 2**20  # and a buffer and a stack for each thread of OpenBLAS,
MOST_THREADS = 64  # of which it starts no more


def load_scipy_parts() -> None:
    """Import what scipy loads slowly.

    Raises
    ------
    MemoryError
        If there is not enough address space.
    """
    if "scipy.ndimage" not in sys.modules:
        _make_sure_of(LIBRARIES + EACH_THREAD * _n_threads())
        importlib.import_module("scipy.ndimage")


def _n_threads() -> int:
    wanted = next(
        (n for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
         if (n := os.environ.get(name, "")).isdecimal() and int(n)),
        os.cpu_count() or 1,
    )
    return min(int(wanted), MOST_THREADS)


def _make_sure_of(n_bytes: int) -> None:
    """Reserve addresses, not memory, and release them."""
    if sys.platform == "win32":  # where limits apply to memory, not to addresses
        return
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    try:
        mmap.mmap(-1, n_bytes, flags=flags).close()
    except (OSError, ValueError) as error:
        raise MemoryError(f"no room for {n_bytes >> 20} MiB") from error
