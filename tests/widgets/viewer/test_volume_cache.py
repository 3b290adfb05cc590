"""Scans in memory: the latest few, loaded ahead in a thread that ends with the window."""

from __future__ import annotations

import threading
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip.errors import UserError
from napari_singlestrip.widgets.viewer import volume_cache
from napari_singlestrip.widgets.viewer.volume_cache import VolumeCache, load


def _write(path: Path, data: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(data.astype(np.float32), np.diag((2.0, 2.0, 2.0, 1.0))), path)
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Four small scans with values of their own."""
    values = np.random.default_rng(0).normal(size=(12, 12, 12))
    return [_write(tmp_path / f"{n}.nii.gz", values + n) for n in range(4)]


def test_same_scan_is_read_once(files: list[Path]) -> None:
    cache = VolumeCache()
    assert cache.get(files[0]) is cache.get(files[0])
    cache.close()


def test_oldest_is_forgotten_first(files: list[Path]) -> None:
    cache = VolumeCache(max_scans=2)
    first, second = cache.get(files[0]), cache.get(files[1])
    assert cache.get(files[0]) is first  # now the second is the oldest
    cache.get(files[2])
    assert cache.get(files[0]) is first
    assert cache.get(files[1]) is not second
    cache.close()


def test_load_ahead_is_what_get_returns(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def load_and_note(path: Path) -> volume_cache.LoadedScan:
        threads.append(threading.current_thread().name)
        return load(path)

    monkeypatch.setattr(volume_cache, "load", load_and_note)
    cache = VolumeCache()
    cache.load_ahead(files[0])
    cache.load_ahead(files[0])
    loaded = cache.get(files[0])
    assert cache.get(files[0]) is loaded
    assert len(threads) <= 2  # in the thread; and here, if that had not begun
    cache.close()


def test_broken_file_is_told_each_time_and_may_be_mended(tmp_path: Path) -> None:
    path = tmp_path / "head.nii.gz"
    path.write_bytes(b"not a picture")
    cache = VolumeCache()
    for _ in range(2):
        with pytest.raises(UserError):
            cache.get(path)
    _write(path, np.arange(729.0).reshape(9, 9, 9))
    assert cache.get(path).data.shape == (9, 9, 9)
    cache.close()


def test_broken_file_loaded_ahead_is_told_when_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "head.nii.gz"
    path.write_bytes(b"not a picture")
    cache = VolumeCache()
    cache.load_ahead(path)
    with pytest.raises(UserError):
        cache.get(path)
    cache.close()


def test_thread_ends(files: list[Path]) -> None:
    before = set(threading.enumerate())
    cache = VolumeCache()
    for path in files:
        cache.load_ahead(path)
    cache.close()
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize(
    "data", (np.eye(9)[:, :, None] * np.ones(9), np.arange(729.0).reshape(9, 9, 9) > 727)
)
def test_limits_are_in_order(tmp_path: Path, data: np.ndarray) -> None:
    loaded = load(_write(tmp_path / "head.nii.gz", data))
    low, high = loaded.limits
    smallest, largest = loaded.full_range
    assert smallest <= low < high <= largest
