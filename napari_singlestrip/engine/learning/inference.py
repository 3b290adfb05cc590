"""A trained network at work on pictures, in whatever memory there is.

On a graphics card all pictures of a call go through the network together, since each alone leaves
the card idle; on a CPU one by one, where six together would save 30 ms at 4 mm and lose 180 ms at
2 mm. Where memory ends, they go one by one, then in parts, then on the CPU: a scan that is too
large costs time, and not the job.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from napari_singlestrip.engine.config import NetworkConfig
from napari_singlestrip.engine.devices import transfer
from napari_singlestrip.engine.devices.memory import is_out_of_memory, release
from napari_singlestrip.engine.devices.precision import REFUSALS, threads_for
from napari_singlestrip.engine.imaging.grid import Shape
from napari_singlestrip.engine.learning.losses import to_probability
from napari_singlestrip.errors import UserError

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Reader:
    """A network and how it is to be asked.

    Attributes
    ----------
    net : nn.Module
        In evaluation mode, on its device.
    network : NetworkConfig
        What its output means.
    window : (I, J, K)
        Pictures that are larger than this may be taken in parts of this size.
    flip : bool
        Average with the answer to the mirrored picture (first axis).
    """

    net: nn.Module
    network: NetworkConfig
    window: Shape
    flip: bool

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.net.parameters()).device


def probabilities(
    reader: Reader, pictures: Sequence[Array], remark: Callable[[str], None]
) -> list[Array]:
    """Brain probability of pictures of one shape.

    Parameters
    ----------
    reader : Reader
    pictures : sequence of (I, J, K) float32
        0 to 1; sides suit the network.
    remark : callable
        Gets a sentence when memory ended and a slower way, or a rougher one, was taken.

    Raises
    ------
    UserError
        If not even the smallest part fits.
    """
    words = ""
    for words, attempt in _attempts(reader, pictures):
        try:
            answers = attempt()
        except REFUSALS as error:
            if not is_out_of_memory(error):
                raise
        else:
            if words:
                remark(words)
            return answers
        release(reader.device)  # only here, as the error held on to what did not fit
    i, j, k = pictures[0].shape
    raise UserError(
        f"There was not enough memory to predict a picture of {i} x {j} x {k} voxels.",
        "Close other programs and start the same command again.",
    )


def _attempts(
    reader: Reader, pictures: Sequence[Array]
) -> Iterator[tuple[str, Callable[[], list[Array]]]]:
    """Ways to go, from the fastest to the one that needs least memory, and what to say of them."""
    device, shape = reader.device, pictures[0].shape
    too_large = any(n > side for n, side in zip(shape, reader.window, strict=True))
    where = "" if device.type == "cpu" else " of the graphics card"
    if device.type != "cpu" and (len(pictures) > 1 or reader.flip):
        yield "", lambda: _together(reader, pictures)
    yield "", lambda: [_one(reader, picture) for picture in pictures]
    in_parts = f"it was too large for the memory{where}, and was looked at in parts"
    if too_large:
        yield in_parts, lambda: [_in_parts(reader, picture) for picture in pictures]
    if device.type == "cpu":
        return
    slow = replace(reader, net=transfer.copy_on_cpu(reader.net))
    on_cpu = f"it was too large for the memory{where}, and was predicted on the CPU"
    yield on_cpu, lambda: [_one(slow, picture) for picture in pictures]
    if too_large:
        yield f"{on_cpu}, in parts", lambda: [_in_parts(slow, picture) for picture in pictures]


def _together(reader: Reader, pictures: Sequence[Array]) -> list[Array]:
    """All pictures and their mirror images in one batch."""
    n = len(pictures)
    x = transfer.move(torch.from_numpy(np.stack(pictures)), reader.device)[:, None]
    with torch.inference_mode():
        seen = torch.cat([x, x.flip(2)]) if reader.flip else x
        found = to_probability(reader.net(seen), reader.network)
        if reader.flip:
            found = (found[:n] + found[n:].flip(2)) / 2
    return list(transfer.read(found)[:, 0])


def _one(reader: Reader, picture: Array) -> Array:
    x = transfer.move(torch.from_numpy(np.ascontiguousarray(picture)), reader.device)[None, None]
    threads = threads_for(picture.size)
    with torch.inference_mode(), threads:
        found = to_probability(reader.net(x), reader.network)
        if reader.flip:
            mirrored = to_probability(reader.net(x.flip(2)), reader.network).flip(2)
            found = (found + mirrored) / 2
    answer: Array = transfer.read(found)[0, 0]
    return answer


def _in_parts(reader: Reader, picture: Array) -> Array:
    """Mean of what is seen in parts that overlap by half, less at the edges of each."""
    sides = [min(n, side) for n, side in zip(picture.shape, reader.window, strict=True)]
    total, weight = np.zeros(picture.shape, np.float32), np.zeros(picture.shape, np.float32)
    i, j, k = (_hat(side) for side in sides)
    part_weight = i[:, None, None] * j[None, :, None] * k[None, None, :]
    starts = (_starts(n, side) for n, side in zip(picture.shape, sides, strict=True))
    for corner in itertools.product(*starts):
        part = tuple(slice(first, first + n) for first, n in zip(corner, sides, strict=True))
        total[part] += part_weight * _one(reader, picture[part])
        weight[part] += part_weight
    mean: Array = total / weight
    return mean


def _starts(n: int, side: int) -> list[int]:
    """First voxels of parts that cover n voxels and overlap by at least half."""
    count = 1 + -(-2 * (n - side) // side)
    return [round(first) for first in np.linspace(0, n - side, count)]


def _hat(side: int) -> Array:
    """Weights that rise from the edges of a part to its middle."""
    index = np.arange(side, dtype=np.float32)
    return np.minimum(index, index[::-1]) + 1


