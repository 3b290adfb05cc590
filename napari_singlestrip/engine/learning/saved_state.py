"""Validation of checkpoints and models before anything is built from them.

A file that parses may still hold anything: a voxel size of zero, with which resampling would never
end, or weights of another network. Each problem is reported in a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from torch import nn

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.engine.devices.precision import TOLERANCE, Precision
from napari_singlestrip.engine.imaging.grid import Shape
from napari_singlestrip.engine.learning.checkpoint import HINT
from napari_singlestrip.engine.stored_settings import NewerSettings, settings_from
from napari_singlestrip.errors import FromNewerVersion, UserError

MAX_SIDE = 4096  # voxels
MAX_VOXELS = 2**27  # of a training grid: four times those of a head at 0.5 mm
MAX_CHANNELS = 8192
MAX_THREADS = 4096

Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Place = Annotated[float, Field(ge=-MAX_SIDE, le=MAX_SIDE)]
M = TypeVar("M", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, arbitrary_types_allowed=True)


class _Network(_Strict):
    settings: str
    spacing_mm: float = Field(ge=1e-3, le=1e3)  # from an insect's brain to a whale's
    shape: list[Side] = Field(min_length=3, max_length=3)
    offset: list[Place] = Field([0.0, 0.0, 0.0], min_length=3, max_length=3)
    average: dict[str, torch.Tensor]


class _Group(_Strict):
    lr: float = Field(ge=0, allow_inf_nan=False)


class _Optimiser(_Strict):
    state: dict[int, dict[str, torch.Tensor]]
    param_groups: list[_Group] = Field(min_length=1)


class _Loop(_Strict):
    step: int = Field(ge=0)
    seconds: float = Field(ge=0, allow_inf_nan=False)
    rng: str
    precision: dict[str, Any]
    device: str = ""
    scaler: dict[str, int | float] = {}
    weights: dict[str, torch.Tensor]
    average: dict[str, torch.Tensor]
    optimiser: _Optimiser


@dataclass(frozen=True)
class SavedNetwork:
    """A network as stored in a file.

    Attributes
    ----------
    settings : Settings
    spacing_mm : float
    shape : (I, J, K)
    offset : three floats
    average : dict of str to tensor
        The weights.
    """

    settings: Settings
    spacing_mm: float
    shape: Shape
    offset: tuple[float, float, float]
    average: Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class SavedLoop:
    """State of an unfinished training.

    Attributes
    ----------
    step : int
    seconds : float
    rng : str
        State of the generator, as JSON.
    precision : Precision
    device : str
        Device of the training; empty in files of older versions.
    scaler : dict of str to number
        State of the gradient scaler, if used.
    weights, average : dict of str to tensor
    optimiser : dict
        State of each parameter.
    learning_rate : float
    """

    step: int
    seconds: float
    rng: str
    precision: Precision
    device: str
    scaler: Mapping[str, int | float]
    weights: Mapping[str, torch.Tensor]
    average: Mapping[str, torch.Tensor]
    optimiser: Mapping[int, Mapping[str, torch.Tensor]]
    learning_rate: float


def read_network(saved: Any, path: Path) -> SavedNetwork:
    """Validate the description of a network; the weights are checked by `build`.

    Raises
    ------
    UserError
        If an entry is missing, of the wrong type or out of range.
    """
    found = _validated(_Network, saved, path)
    try:
        settings = settings_from(json.loads(found.settings))
    except NewerSettings as error:
        raise FromNewerVersion(path, str(error)) from error
    except ValidationError as error:
        raise malformed(path, f"settings: {_first(error)}") from error
    except (ValueError, RecursionError) as error:
        raise malformed(path, f"settings: {error}") from error
    i, j, k = found.shape
    if i * j * k > MAX_VOXELS:
        raise malformed(path, f"shape: {i} x {j} x {k} voxels")
    x, y, z = found.offset
    return SavedNetwork(settings, float(found.spacing_mm), (i, j, k), (x, y, z), found.average)


def build(
    saved: SavedNetwork, path: Path, make: Callable[[], nn.Module], channels: tuple[int, ...],
    multiple: int,
) -> nn.Module:
    """Make a network with the weights of a file, after checking that they fit.

    Parameters
    ----------
    saved : SavedNetwork
    path : Path
        The file, for the message.
    make : callable
        Makes the network.
    channels : tuple of int
        Features of its levels.
    multiple : int
        Sides of its images are multiples of this.

    Raises
    ------
    UserError
        If weights are missing, unknown, of the wrong shape, or not finite.
    """
    if any(n % multiple for n in saved.shape):
        raise malformed(path, f"shape: {saved.shape} are no multiples of {multiple}")
    if not all(1 <= n <= MAX_CHANNELS for n in channels):
        raise malformed(path, f"settings: channels {channels}")
    with torch.device("meta"):  # of the size the file claims, without memory until it is checked
        expected = make().state_dict()
    check_weights(saved.average, expected, path)
    net = make()
    net.load_state_dict(dict(saved.average))
    return net


def check_weights(
    weights: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], path: Path
) -> None:
    """Refuse weights that do not fit a network.

    Raises
    ------
    UserError
        If one is missing, unknown, of the wrong shape, or not finite.
    """
    if unlike := sorted(set(weights) ^ set(expected)):
        word = "missing" if unlike[0] in expected else "unknown"
        raise malformed(path, f"the weights {unlike[0]!r:.80} are {word}")
    for name, value in weights.items():
        if value.shape != expected[name].shape:
            shapes = f"{tuple(value.shape)}, not {tuple(expected[name].shape)}"
            raise malformed(path, f"the weights {name!r} have the shape {shapes}")
        if not value.is_floating_point() or not value.isfinite().all():
            raise malformed(path, f"the weights {name!r} are not finite numbers")


def read_loop(
    saved: Any, path: Path, net: nn.Module, optimiser: torch.optim.Optimizer
) -> SavedLoop:
    """Validate the state of an unfinished training of `net`.

    Raises
    ------
    UserError
        If an entry is missing, of the wrong type, out of range, or of another network.
    """
    found = _validated(_Loop, saved, path)
    for weights in (found.weights, found.average):
        check_weights(weights, net.state_dict(), path)
    steps = found.optimiser
    if not _suits(steps.state, found.step, optimiser):
        raise malformed(path, "optimiser: not of this network")
    try:
        precision = TypeAdapter(Precision).validate_python(found.precision)
    except ValidationError as error:
        raise malformed(path, f"precision: {_first(error)}") from error
    if precision.dtype not in TOLERANCE:
        raise malformed(path, f"precision: {precision.dtype!r:.40}")
    if not 0 <= precision.threads <= MAX_THREADS:
        raise malformed(path, f"precision: {precision.threads} threads")
    return SavedLoop(
        found.step, found.seconds, found.rng, precision, found.device, found.scaler,
        found.weights, found.average, steps.state, steps.param_groups[0].lr,
    )


def _suits(
    state: Mapping[int, Mapping[str, torch.Tensor]], step: int, optimiser: torch.optim.Optimizer
) -> bool:
    """Whether the state fits the parameters: a fused step would write beyond a smaller tensor."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    if list(state) != list(range(len(parameters) if step else 0)):
        return False
    scalar = torch.Size(())
    return all(
        {name: value.shape for name, value in of_one.items()}
        == {"step": scalar, "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
        and all(bool(value.isfinite().all()) for value in of_one.values())
        for parameter, of_one in zip(parameters, state.values(), strict=False)
    )


def malformed(path: Path, why: str) -> UserError:
    """Return the error for a file with invalid content."""
    return UserError(f"{path} is not what it should be: {why}.", HINT)


def _validated(model: type[M], saved: Any, path: Path) -> M:
    try:
        return model.model_validate(saved)
    except ValidationError as error:
        raise malformed(path, _first(error)) from error


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    place = ".".join(str(part)[:80] for part in problem["loc"]) or "its content"
    found = f"{problem['input']!r:.60}" if problem["type"] != "missing" else "nothing"
    return f"{place}: {problem['msg'][:200]}, found {found}"
