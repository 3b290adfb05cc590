"""Memory that a training keeps between its steps, and returns at its end."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import psutil
import pytest
import torch

from napari_singlestrip.engine.devices.memory import keeping_freed_memory

MIB = 2**20
WITH_GLIBC = sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt")


def resident() -> float:
    """MiB of memory that this process has."""
    return float(psutil.Process().memory_info().rss / MIB)


def touch(mebibytes: int) -> None:
    """Allocate, write and free a block of memory."""
    torch.ones(mebibytes * MIB // 4)


def measure() -> None:
    """Allocate within and without, and see what the process keeps."""
    before = resident()
    touch(200)
    assert resident() - before < 50
    with keeping_freed_memory(torch.device("cpu")):
        touch(200)
        assert resident() - before > 150
    assert resident() - before < 50
    touch(200)
    assert resident() - before < 50


@pytest.mark.skipif(not WITH_GLIBC, reason="memory is kept where the C library is glibc")
def test_freed_memory_is_kept_within_and_returned_afterwards() -> None:
    """In a process of its own: one that ran other tests has free memory already."""
    subprocess.run([sys.executable, __file__], check=True)


def test_other_devices_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise AssertionError("the C library was asked")

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    with keeping_freed_memory(torch.device("meta")):
        pass


if __name__ == "__main__":
    measure()
