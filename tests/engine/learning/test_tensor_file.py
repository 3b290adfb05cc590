"""Models as safetensors: what goes in comes out, and nothing else is believed."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import pytest
import torch

from napari_singlestrip.engine.learning.checkpoint import load_checkpoint, save_checkpoint
from napari_singlestrip.engine.learning.tensor_file import is_tensor_file, read, read_header, write
from napari_singlestrip.errors import UserError

STATE = {
    "plain": [1, 2.5, math.inf, None, True, "tensor:x", "text:", "tuple:"],
    "shape": (3, 4), "nested": {"weights": {"a.b": torch.arange(6.0).reshape(2, 3)}}, "none": {},
    "several": [torch.ones(2, dtype=torch.float16), (torch.tensor(7),)],
}  # fmt: skip


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def test_a_state_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(write(STATE))
    assert is_tensor_file(path)
    assert same(read(path), STATE)


def test_the_header_is_json_without_the_numbers(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(write(STATE))
    assert read_header(path)["nested"] == {"weights": {"a.b": "tensor:nested.weights.a.b"}}
    n_bytes = struct.unpack("<Q", path.read_bytes()[:8])[0]
    assert "nested.weights.a.b" in json.loads(path.read_bytes()[8 : 8 + n_bytes])


def test_only_tensors_and_plain_values_go_in() -> None:
    with pytest.raises(TypeError, match="set"):
        write({"a": {1}})


def test_a_checkpoint_is_written_in_the_form_of_its_name(tmp_path: Path) -> None:
    for name in ("m.safetensors", "m.pt"):
        path = tmp_path / name
        save_checkpoint(path, "model", {"weights": {"a": torch.ones(3)}})
        assert is_tensor_file(path) is name.endswith("safetensors")
        assert torch.equal(load_checkpoint(path, "model")["weights"]["a"], torch.ones(3))


@pytest.mark.parametrize("where", ["header", "numbers"])
def test_a_flipped_bit_is_noticed(tmp_path: Path, where: str) -> None:
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, "model", {"text": "value", "weights": {"a": torch.ones(30)}})
    content = bytearray(path.read_bytes())
    place = content.index(b"value") if where == "header" else len(content) - 3
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="do not match"):
        load_checkpoint(path, "model")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x10\0\0\0\0\0\0\0{", b"\xff" * 8 + b"{}", b"\x02\0\0\0\0\0\0\0{}",
     struct.pack("<Q", 20) + b'{"__metadata__": {}}'],
)  # fmt: skip
def test_other_files_are_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as a model"):
        load_checkpoint(path, "model")


def test_a_cut_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, "model", {"weights": {"a": torch.ones(300)}})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="cannot be read as a model"):
        load_checkpoint(path, "model")
