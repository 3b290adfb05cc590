"""Models as safetensors: tensors that any program reads, with a JSON header.

The header holds everything but the tensors: settings, card and checksum, with references to the
tensors. Nothing in such a file can be executed.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from napari_singlestrip.engine.learning.archive import MAX_BYTES
from napari_singlestrip.files.atomic import open_bounded

EXTENSION = ".safetensors"
MAX_HEADER_BYTES = 32 * 2**20
_STATE = "napari-singlestrip"  # the metadata entry with everything but the tensors
_TENSOR, _TUPLE, _LIST = "tensor:", "tuple:", "list:"
_ESCAPE = "text:"


def is_tensor_file(path: Path) -> bool:
    """Whether a file begins like safetensors: the size of its header, and JSON."""
    with open_bounded(path, MAX_BYTES) as file:
        start = file.read(9)
    return len(start) == 9 and start[8:] == b"{" and _size(start) <= MAX_HEADER_BYTES


def read_header(path: Path) -> Any:
    """Read everything but the tensors, without torch.

    Raises
    ------
    FileNotFoundError, UserError
        If the file is missing, no regular file or too large.
    ValueError, LookupError, TypeError
        If it is not such a file.
    """
    with open_bounded(path, MAX_BYTES) as file:
        n_bytes = _size(file.read(8))
        if n_bytes > MAX_HEADER_BYTES:
            raise ValueError(f"a header of {n_bytes} bytes")
        header = json.loads(file.read(n_bytes))
    return json.loads(header["__metadata__"][_STATE])


def write(state: dict[str, Any]) -> bytes:
    """Serialise tensors and plain values.

    Raises
    ------
    TypeError
        If there is anything else in the state.
    """
    from safetensors.torch import save  # imported here: the card is read without torch

    tensors: dict[str, Any] = {}
    plain = _taken_apart(state, "", tensors)
    apart = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    content: bytes = save(apart, {_STATE: json.dumps(plain)})
    return content


def read(path: Path) -> Any:
    """Read a file made by `write`, with torch tensors.

    Raises
    ------
    FileNotFoundError, UserError, ValueError, LookupError, TypeError, safetensors.SafetensorError
        If it is missing, or not such a file.
    """
    from safetensors.torch import load

    plain = read_header(path)
    with open_bounded(path, MAX_BYTES) as file:
        tensors = load(file.read())
    return _put_together(plain, tensors)


def _size(start: bytes) -> int:
    (n_bytes,) = struct.unpack("<Q", start[:8])
    return int(n_bytes)


def _taken_apart(value: Any, place: str, tensors: dict[str, Any]) -> Any:
    """A state with its tensors replaced by references."""
    if isinstance(value, dict):
        if not all(type(key) is str for key in value):
            raise TypeError("a key that is no text")
        return {
            key: _taken_apart(part, f"{place}.{key}".lstrip("."), tensors)
            for key, part in value.items()
        }
    if isinstance(value, list | tuple):
        parts = [_taken_apart(p, f"{place}.{n}", tensors) for n, p in enumerate(value)]
        return [_TUPLE, *parts] if isinstance(value, tuple) else [_LIST, *parts]
    if isinstance(value, str):
        return _ESCAPE + value if value.startswith((_TENSOR, _ESCAPE)) else value
    if value is None or type(value) in (bool, int, float):
        return value
    if hasattr(value, "detach"):
        tensors[place] = value
        return _TENSOR + place
    raise TypeError(f"a {type(value).__name__} in it")


def _put_together(value: Any, tensors: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _put_together(part, tensors) for key, part in value.items()}
    if isinstance(value, list):
        parts = [_put_together(part, tensors) for part in value[1:]]
        return tuple(parts) if value[:1] == [_TUPLE] else parts
    if isinstance(value, str) and value.startswith(_TENSOR):
        return tensors[value.removeprefix(_TENSOR)]
    return value.removeprefix(_ESCAPE) if isinstance(value, str) else value
