"""Checkpoints: enough by themselves to resume or to apply, and loaded without executing anything.

A file holds weights, running average, optimiser, config, loop state and random state, all as
tensors and plain values, so that `torch.load(..., weights_only=True)` reads it. It is written to
a temporary file and moved into place: a killed process leaves the last whole one.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_singlestrip.errors import UserError
from napari_singlestrip.files import atomic_path

FORMAT = 1


def save_checkpoint(path: Path, kind: str, state: dict[str, Any]) -> None:
    """Write a checkpoint, replacing an older one atomically.

    Parameters
    ----------
    path : Path
    kind : str
        What it holds, such as "segmenter" or "autoencoder".
    state : dict
        Tensors and plain values only.

    Raises
    ------
    UserError
        If the disk is full or read-only, or the folder may not be written.
    """
    # torch's own writer turns a full disk into an error that does not say so.
    content = io.BytesIO()
    torch.save({"format": FORMAT, "kind": kind, **state}, content)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_checkpoint(path: Path, kind: str) -> dict[str, Any]:
    """Read a checkpoint written by `save_checkpoint`.

    Raises
    ------
    UserError
        If the file is missing, damaged, not ours, or of a newer version.
    """
    if not path.is_file():
        raise UserError(f"There is no model at {path}.", "Train one: `singlestrip run STUDY`.")
    try:
        with warnings.catch_warnings():  # about how others pickled what is refused anyhow
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes stop torch's reader anywhere
        raise _not_ours(path, error) from error
    if not isinstance(state, dict) or state.get("kind") != kind:
        raise UserError(
            f"{path} is not a {kind} of napari-singlestrip.", "Choose a study or a model file."
        )
    if not isinstance(state.get("format"), int):
        raise _not_ours(path, KeyError("format"))
    if state["format"] > FORMAT:
        raise UserError(
            f"{path} was written by a newer version (format {state['format']}).",
            "Upgrade napari-singlestrip.",
        )
    return state


def rng_state(rng: np.random.Generator) -> str:
    """A generator's state as JSON text (its integers are too large for tensors)."""
    import json

    return json.dumps(rng.bit_generator.state)


def restore_rng(text: str) -> np.random.Generator:
    """Inverse of `rng_state`."""
    import json

    rng = np.random.default_rng()
    rng.bit_generator.state = json.loads(text)
    return rng


def _not_ours(path: Path, error: BaseException) -> UserError:
    return UserError(
        f"{path} cannot be read as a model ({type(error).__name__}).",
        "It is damaged or not a model of napari-singlestrip: train again or use another file.",
    )
