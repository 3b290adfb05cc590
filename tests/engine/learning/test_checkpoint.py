"""Checkpoints: whole or refused in words, and nothing in a file is ever executed."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_singlestrip.engine.learning.checkpoint import (
    FORMAT,
    load_checkpoint,
    restore_rng,
    rng_state,
    save_checkpoint,
)
from napari_singlestrip.errors import UserError

STATE = {
    "weights": {"a": torch.arange(2000.0).view(20, 100), "b": torch.zeros(3, dtype=torch.int64)},
    "step": 7, "seconds": 1.5, "settings": "{}", "done": False, "shape": [1, 2, 3],
    "optimiser": {"state": {0: {"step": torch.tensor(7.0)}}, "param_groups": [{"lr": 0.1}]},
}  # fmt: skip


class Trap:
    """Unpickling it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "segmenter.pt"
    save_checkpoint(path, "segmenter", STATE)
    return path


def same(a: Any, b: Any) -> bool:
    """Equality through nested dicts with tensors."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else bool(a == b)


def test_what_was_saved_is_loaded(checkpoint: Path) -> None:
    loaded = load_checkpoint(checkpoint, "segmenter")
    assert same({**STATE, "format": FORMAT, "kind": "segmenter"}, loaded)
    assert [p.name for p in checkpoint.parent.iterdir()] == ["segmenter.pt"]


def test_saving_that_fails_keeps_the_old_one(checkpoint: Path) -> None:
    with pytest.raises((AttributeError, pickle.PicklingError, TypeError)):
        save_checkpoint(checkpoint, "segmenter", {"step": 8, "bad": lambda: None})
    assert load_checkpoint(checkpoint, "segmenter")["step"] == 7
    assert [p.name for p in checkpoint.parent.iterdir()] == ["segmenter.pt"]


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model") as caught:
        load_checkpoint(tmp_path / "nothing.pt", "segmenter")
    assert "singlestrip run" in caught.value.hint


def test_wrong_kind_is_refused(checkpoint: Path) -> None:
    with pytest.raises(UserError, match="is not a"):
        load_checkpoint(checkpoint, "autoencoder")


def test_newer_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "new.pt"
    torch.save({"format": FORMAT + 1, "kind": "segmenter"}, path)
    with pytest.raises(UserError, match="newer version") as caught:
        load_checkpoint(path, "segmenter")
    assert "Update" in caught.value.hint


@pytest.mark.parametrize("content", [
    [1, 2], {}, {"kind": "segmenter"}, {"kind": "segmenter", "format": "two"},
    {"kind": "segmenter", "format": None}, torch.zeros(3), "text",
])  # fmt: skip
def test_other_contents_are_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "other.pt"
    torch.save(content, path)
    with pytest.raises(UserError):
        load_checkpoint(path, "segmenter")


# --- nothing is executed


def trapped_file(path: Path, trap: Trap, style: str) -> Path:
    """A file that would run code in a careless reader."""
    content = {"format": FORMAT, "kind": "segmenter", "weights": trap}
    if style == "zip":
        torch.save(content, path)
    elif style == "old torch":
        torch.save(content, path, _use_new_zipfile_serialization=False)
    else:
        path.write_bytes(pickle.dumps(content))
    return path


@pytest.mark.parametrize("style", ["zip", "old torch", "pickle"])
@pytest.mark.filterwarnings("ignore:Environment variable TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
@pytest.mark.parametrize("forced", [False, True])
def test_code_in_a_file_is_not_executed(
    tmp_path: Path, style: str, forced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if forced:  # a careless setting of other programs must not open the door
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    trap = Trap(tmp_path / "executed")
    path = trapped_file(tmp_path / "model.pt", trap, style)
    with pytest.raises(UserError, match="cannot be read"):
        load_checkpoint(path, "segmenter")
    assert not trap.path.exists()


def test_the_trap_works(tmp_path: Path) -> None:
    """In a careless reader it does make its folder: the test above means something."""
    trap = Trap(tmp_path / "executed")
    path = trapped_file(tmp_path / "model.pt", trap, "zip")
    torch.load(path, weights_only=False)
    assert trap.path.is_dir()


# --- damage


@pytest.fixture(scope="module")
def whole() -> bytes:
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "kind": "segmenter", **STATE}, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "segmenter.pt"


@given(data=st.data())
def test_truncated_file_is_a_clear_sentence(whole: bytes, place: Path, data: st.DataObject) -> None:
    for _ in range(10):
        length = data.draw(st.integers(0, len(whole) - 1))
        place.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"segmenter\.pt"):
            load_checkpoint(place, "segmenter")


@given(data=st.data())
def test_altered_file_is_refused_or_loaded_never_a_bug(
    whole: bytes, place: Path, data: st.DataObject
) -> None:
    """A flipped byte in the numbers cannot be seen here; anything else must end in words."""
    for _ in range(10):
        position, value = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 255))
        place.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
        try:
            loaded = load_checkpoint(place, "segmenter")
        except UserError as error:
            assert "segmenter.pt" in str(error)
        else:
            assert loaded["kind"] == "segmenter"


@given(content=st.binary(max_size=300))
def test_any_bytes_are_a_clear_sentence(place: Path, content: bytes) -> None:
    place.write_bytes(content)
    with pytest.raises(UserError):
        load_checkpoint(place, "segmenter")


@pytest.mark.parametrize("lost", ["data.pkl", "version"])
def test_archive_without_a_part_is_a_clear_sentence(
    whole: bytes, place: Path, lost: str
) -> None:
    source = zipfile.ZipFile(io.BytesIO(whole))
    with zipfile.ZipFile(place, "w") as target:
        for name in source.namelist():
            if not name.endswith(lost) or lost == "version":
                target.writestr(name, b"" if name.endswith(lost) else source.read(name))
    with pytest.raises(UserError):
        load_checkpoint(place, "segmenter")


# --- random state


@given(st.integers(0, 2**64), st.integers(0, 50))
def test_generator_goes_on_where_it_was(seed: int, drawn: int) -> None:
    rng = np.random.default_rng(seed)
    rng.integers(5, size=drawn, dtype=np.int32)  # may leave half a number behind
    again = restore_rng(rng_state(rng))
    assert np.array_equal(rng.integers(2**31, size=7), again.integers(2**31, size=7))
    assert np.array_equal(rng.standard_normal(5), again.standard_normal(5))
