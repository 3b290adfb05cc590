"""Checkpoints: sufficient to resume or apply, and loaded without executing code.

A file holds weights, running average, optimiser, config, loop state and random state, all as
tensors and plain values, in the format of `torch.save` or (models to share) as safetensors. It is
written to a temporary file and moved into place: a killed process leaves the previous file intact.

A checksum of the content (weights, settings, card) is stored as well: disks and transfers flip
bits, torch does not notice, and a network with a wrong weight still returns a plausible mask.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import pickle
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError

from napari_singlestrip.engine.learning import tensor_file
from napari_singlestrip.engine.learning.archive import (
    DAMAGE,
    MAX_BYTES,
    Archive,
    WrongChecksum,
    open_archive,
)
from napari_singlestrip.errors import FromNewerVersion, UserError
from napari_singlestrip.files.atomic import atomic_path

FORMAT = 2  # since this format, settings state their own format
CHECKSUM = "checksum"  # missing in files of earlier versions, which still have CRCs
MAX_VALUES = 1_000_000  # in a file, counting shared values each time
MAX_NESTING = 20
# torch.save's names of storage types.
STORAGES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}  # fmt: skip
HINT = (
    "Restore it from an intact copy, or train again: "
    "`singlestrip run STUDY --restart` keeps the earlier rounds."
)


def save_checkpoint(path: Path, kind: str, state: dict[str, Any]) -> None:
    """Write a checkpoint, replacing an older one atomically.

    Parameters
    ----------
    path : Path
        With the extension .safetensors in that format, otherwise in torch's.
    kind : str
        Kind of network, such as "segmenter" or "autoencoder".
    state : dict
        Tensors and plain values only.

    Raises
    ------
    UserError
        If the disk is full or read-only, or the folder is not writable.
    TypeError
        If the state contains anything else.
    """
    # torch's own writer hides the reason of a full disk.
    state = {"format": FORMAT, "kind": kind, **state}
    state = {**state, CHECKSUM: checksum(state)}
    if path.suffix == tensor_file.EXTENSION:
        written = tensor_file.write(state)
    else:
        content = io.BytesIO()
        torch.save(state, content)
        written = content.getvalue()
    with atomic_path(path) as temporary:
        temporary.write_bytes(written)


def load_checkpoint(path: Path, kind: str) -> dict[str, Any]:
    """Read a checkpoint written by `save_checkpoint`.

    Raises
    ------
    UserError
        If the file is missing, damaged, of another program, or of a newer version.
    """
    state = _load(path)
    if not isinstance(state, dict) or state.get("kind") != kind:
        raise UserError(
            f"{path} is not a {kind} of napari-singlestrip.", "Choose a study or a model file."
        )
    if type(state.get("format")) is not int:
        raise _not_ours(path, "no format number")
    if state["format"] > FORMAT:
        raise FromNewerVersion(path, f"format {state['format']}, where {FORMAT} is read")
    stored = state.pop(CHECKSUM, None)
    try:
        found = checksum(state)
    except TypeError as error:
        raise _not_ours(path, str(error)) from error
    if stored is not None and stored != found:
        raise damaged(path)
    return state


def _load(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"There is no model at {path}.", "Train one: `singlestrip run STUDY`.")
    try:
        if tensor_file.is_tensor_file(path):
            return tensor_file.read(path)
        with open_archive(path) as archive:
            return _Unpickler(archive).load()
    except UserError as error:
        raise UserError(error.what, HINT) from error
    except WrongChecksum as error:
        raise damaged(path) from error
    except (*DAMAGE, pickle.UnpicklingError, SafetensorError) as error:
        raise _not_ours(path, type(error).__name__) from error


class _Unpickler(pickle.Unpickler):
    """Reads tensors and plain values written by torch.save; resolves no other names."""

    def __init__(self, archive: Archive) -> None:
        super().__init__(io.BytesIO(archive.pickle()))
        if archive.read("version").strip() != b"3" or archive.read("byteorder") != b"little":
            raise ValueError("another version")
        self._archive = archive
        self._storages: dict[str, torch.Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Resolve the only names allowed: the two functions that torch.save uses, and types."""
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, about: Any) -> torch.Tensor:
        """Read the numbers of a tensor."""
        _, dtype, key, _, n = about
        if key not in self._storages:
            content = bytearray(self._archive.read(f"data/{key}"))
            whole = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0).to(dtype)
            self._storages[key] = whole
        if self._storages[key].dtype != dtype or len(self._storages[key]) != n:
            raise pickle.UnpicklingError(f"{n} numbers")
        return self._storages[key]


def _tensor(
    storage: torch.Tensor, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> torch.Tensor:
    """Make a tensor on a storage; torch checks that it lies within."""
    if math.prod(shape) > len(storage):  # strides that repeat values can claim any size
        raise pickle.UnpicklingError(f"shape {shape}")
    return storage.as_strided(shape, strides, offset)


def checksum(state: dict[str, Any]) -> str:
    """Return the SHA-256 of all values of a state, in order (4 ms for the quick network).

    Independent of memory layout and sharing: only the values count.

    Raises
    ------
    TypeError
        If there is anything but plain values and tensors, or too many of them.
    """
    total, n_bytes = hashlib.sha256(), 0
    for n, (value, depth) in enumerate(_walk(state, 0)):
        if n > MAX_VALUES or depth > MAX_NESTING:
            raise TypeError("too many values")
        if isinstance(value, torch.Tensor):
            content = _bytes_of(value)
            about = f"{value.dtype} {tuple(value.shape)}"
        else:
            content = _text_of(value).encode("utf-8", "surrogatepass")
            about = f"{type(value).__name__} {len(content)}"
        n_bytes += len(content)
        if n_bytes > MAX_BYTES:
            raise TypeError("too many values")
        total.update(f"{about}:".encode())
        total.update(content)
    return total.hexdigest()


def _walk(value: Any, depth: int) -> Iterator[tuple[Any, int]]:
    """The parts of a value, depth first."""
    yield value, depth
    if depth > MAX_NESTING:
        return
    if isinstance(value, dict):
        for key, part in value.items():
            yield key, depth
            yield from _walk(part, depth + 1)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _walk(part, depth + 1)


def _text_of(value: Any) -> str:
    if isinstance(value, (dict, list, tuple)):
        return str(len(value))
    if value is None or type(value) in (bool, float):
        return repr(value)
    if type(value) is int and abs(value) < 2**63:
        return repr(value)
    if type(value) is str:
        return value
    raise TypeError(f"a {type(value).__name__} in it")


def _bytes_of(tensor: torch.Tensor) -> memoryview | bytes:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def rng_state(rng: np.random.Generator) -> str:
    """A generator's state as JSON text (its integers are too large for tensors)."""
    return json.dumps(rng.bit_generator.state)


def restore_rng(text: str) -> np.random.Generator:
    """Inverse of `rng_state`.

    Raises
    ------
    ValueError
        If the text is no such state.
    """
    rng = np.random.default_rng()
    try:
        rng.bit_generator.state = json.loads(text)
    except (TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ValueError(f"no state of a generator ({type(error).__name__})") from error
    return rng


def damaged(path: Path) -> UserError:
    """Return the error for a file with a wrong checksum."""
    return UserError(f"{path} is damaged: its weights do not match their checksum.", HINT)


def _not_ours(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} cannot be read as a model ({why}).",
        f"It is damaged or not a model of napari-singlestrip. {HINT}",
    )
