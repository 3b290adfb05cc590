"""Unfinished masks: saved whole, read back exactly, damaged ones told."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_singlestrip.errors import UserError
from napari_singlestrip.study.drafts import (
    draft_path,
    drafted,
    load_draft,
    mark_suggested,
    remove_draft,
    save_draft,
    suggested_by,
)


@pytest.mark.parametrize("shape", ((3, 4, 5), (7, 1, 2), (16, 16, 16)))
@pytest.mark.parametrize("order", ("C", "F"))
def test_draft_is_read_back_exactly(tmp_path: Path, shape: tuple[int, ...], order: str) -> None:
    mask = np.random.default_rng(0).random(shape) > 0.5
    save_draft(tmp_path, "head", np.array(mask, order="F" if order == "F" else "C"))
    read = load_draft(tmp_path, "head")
    assert read is not None
    assert read.dtype == bool
    assert np.array_equal(read, mask)


def test_scans_with_drafts_are_listed(tmp_path: Path) -> None:
    assert drafted(tmp_path) == ()
    for name in ("b.1", "a"):
        save_draft(tmp_path, name, np.zeros((2, 2, 2), bool))
    (tmp_path / "drafts" / ".~half-written.npz").write_bytes(b"")
    assert drafted(tmp_path) == ("a", "b.1")
    remove_draft(tmp_path, "a")
    remove_draft(tmp_path, "a")
    assert drafted(tmp_path) == ("b.1",)
    assert load_draft(tmp_path, "a") is None


def test_whose_suggestion_a_draft_was_goes_with_it(tmp_path: Path) -> None:
    assert suggested_by(tmp_path, "a") == ""
    mark_suggested(tmp_path, "a", "a network")
    save_draft(tmp_path, "a", np.ones((2, 2, 2), bool))
    assert suggested_by(tmp_path, "a") == "a network" and drafted(tmp_path) == ("a",)
    (tmp_path / "drafts" / "b.suggested").write_bytes(b"\x1b[2J" + b"\xff" * 9)
    assert "\x1b" not in suggested_by(tmp_path, "b")
    remove_draft(tmp_path, "a")
    assert suggested_by(tmp_path, "a") == ""
    assert not (tmp_path / "drafts" / "a.suggested").exists()


@pytest.mark.parametrize("content", (b"", b"not a draft", b"PK\x03\x04 cut off"))
def test_damaged_draft_is_told(tmp_path: Path, content: bytes) -> None:
    path = draft_path(tmp_path, "head")
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"head\.npz is damaged"):
        load_draft(tmp_path, "head")


def test_draft_with_too_few_bits_is_told(tmp_path: Path) -> None:
    path = draft_path(tmp_path, "head")
    path.parent.mkdir()
    np.savez(path, bits=np.zeros(2, np.uint8), shape=np.array((9, 9, 9)))
    with pytest.raises(UserError, match="is damaged"):
        load_draft(tmp_path, "head")


def test_a_draft_of_another_shape_counts_as_none(tmp_path: Path) -> None:
    save_draft(tmp_path, "head", np.ones((4, 5, 6), bool))
    assert load_draft(tmp_path, "head", (6, 5, 4)) is None
    read = load_draft(tmp_path, "head", (4, 5, 6))
    assert read is not None and read.all()


def test_a_draft_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    """400 kB on disk, 3.4 GB as a mask."""
    path = draft_path(tmp_path, "head")
    path.parent.mkdir()
    n = 1500
    np.savez_compressed(path, bits=np.zeros(n**3 // 8, np.uint8), shape=np.array((n, n, n)))
    tracemalloc.start()
    with pytest.raises(UserError, match="is damaged: it is compressed"):
        load_draft(tmp_path, "head")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize(("bits", "shape"), [
    (np.zeros(2, np.uint8), (0, 4, 4)), (np.zeros(8, np.uint8), (-4, -4, 4)),
    (np.zeros(8, np.uint8), (2**40, 2**40, 2**40)), (np.zeros(8, np.uint8), (4, 4)),
    (np.zeros(8), (4, 4, 4)), (np.zeros(8, np.uint8), (4.0, 4.0, 4.0)),
    (np.zeros((2, 4), np.uint8), (4, 4, 4)), (np.zeros(1, np.int64), (4, 4, 4)),
    (np.zeros(8, np.uint8), np.zeros(10_000, int)),
])  # fmt: skip
def test_a_draft_of_other_numbers_is_told(tmp_path: Path, bits: Any, shape: Any) -> None:
    path = draft_path(tmp_path, "head")
    path.parent.mkdir()
    np.savez(path, bits=bits, shape=np.asarray(shape))
    with pytest.raises(UserError, match=r"head\.npz is damaged"):
        load_draft(tmp_path, "head")


def test_full_disk_is_told_and_the_last_draft_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = np.ones((4, 4, 4), bool)
    save_draft(tmp_path, "head", before)

    def fail(file: object, **arrays: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(UserError, match="disk is full"):
        save_draft(tmp_path, "head", ~before)
    read = load_draft(tmp_path, "head")
    assert read is not None and read.all()


def test_saving_a_whole_head_is_quick(tmp_path: Path) -> None:
    """After each stroke: a few milliseconds on a quiet machine; the limit is for busy ones."""
    mask = np.zeros((256, 256, 256), bool, order="F")
    mask[80:160, 80:160, 80:160] = True
    seconds = []
    for _ in range(3):
        begin = time.process_time()
        save_draft(tmp_path, "head", mask)
        seconds.append(time.process_time() - begin)
    assert min(seconds) < 0.1
