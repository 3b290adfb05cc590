"""Applying a trained network to images within the available memory.

On a graphics card all images of a call form one batch, since a single one leaves the card partly
idle; on a CPU they go one by one, as a batch of six would save 30 ms at 4 mm and lose 180 ms at 2
mm. If memory runs out, they are predicted one by one, then in patches, then on the CPU: a scan that
is too large takes longer, but does not fail.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from napari_singlestrip.engine.arrays import FloatArray
from napari_singlestrip.engine.config import NetworkConfig
from napari_singlestrip.engine.devices import transfer
from napari_singlestrip.engine.devices.memory import is_out_of_memory, release
from napari_singlestrip.engine.devices.precision import REFUSALS, threads_for
from napari_singlestrip.engine.imaging.grid import Shape
from napari_singlestrip.engine.learning.losses import to_probability
from napari_singlestrip.errors import UserError


@dataclass(frozen=True)
class Reader:
    """A network and how it is applied.

    Attributes
    ----------
    net : nn.Module
        In evaluation mode, on its device.
    network : NetworkConfig
        Meaning of its output.
    window : (I, J, K)
        Images larger than this may be split into patches of this size.
    flip : bool
        Average with the prediction for the mirrored image (first axis).
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
    reader: Reader, images: Sequence[FloatArray], remark: Callable[[str], None]
) -> list[FloatArray]:
    """Brain probability of images of one shape.

    Parameters
    ----------
    reader : Reader
    images : sequence of (I, J, K) float32
        0 to 1; sides are multiples that the network can halve.
    remark : callable
        Called with a sentence when memory ran out and a slower or less exact way was taken.

    Raises
    ------
    UserError
        If not even the smallest patch fits.
    """
    words = ""
    for words, attempt in _attempts(reader, images):
        try:
            answers = attempt()
        except REFUSALS as error:
            if not is_out_of_memory(error):
                raise
        else:
            if words:
                remark(words)
            return answers
        release(reader.device)  # only here: until now the error referred to the tensors
    i, j, k = images[0].shape
    raise UserError(
        f"There was not enough memory to predict an image of {i} x {j} x {k} voxels.",
        "Close other programs and start the same command again.",
    )


def _attempts(
    reader: Reader, images: Sequence[FloatArray]
) -> Iterator[tuple[str, Callable[[], list[FloatArray]]]]:
    """Ways to predict, from the fastest to the most memory-saving, each with its remark."""
    device, shape = reader.device, images[0].shape
    too_large = any(n > side for n, side in zip(shape, reader.window, strict=True))
    where = "" if device.type == "cpu" else " of the graphics card"
    if device.type != "cpu" and (len(images) > 1 or reader.flip):
        yield "", lambda: _together(reader, images)
    yield "", lambda: [_one(reader, image) for image in images]
    in_parts = f"it was too large for the memory{where}, and was predicted in patches"
    if too_large:
        yield in_parts, lambda: [_in_parts(reader, image) for image in images]
    if device.type == "cpu":
        return
    slow = replace(reader, net=transfer.copy_on_cpu(reader.net))
    on_cpu = f"it was too large for the memory{where}, and was predicted on the CPU"
    yield on_cpu, lambda: [_one(slow, image) for image in images]
    if too_large:
        yield f"{on_cpu}, in patches", lambda: [_in_parts(slow, image) for image in images]


def _together(reader: Reader, images: Sequence[FloatArray]) -> list[FloatArray]:
    """All images and their mirror images in one batch."""
    n = len(images)
    x = transfer.move(torch.from_numpy(np.stack(images)), reader.device)[:, None]
    with torch.inference_mode():
        seen = torch.cat([x, x.flip(2)]) if reader.flip else x
        found = to_probability(reader.net(seen), reader.network)
        if reader.flip:
            found = (found[:n] + found[n:].flip(2)) / 2
    return list(transfer.read(found)[:, 0])


def _one(reader: Reader, image: FloatArray) -> FloatArray:
    x = transfer.move(torch.from_numpy(np.ascontiguousarray(image)), reader.device)[None, None]
    threads = threads_for(image.size)
    with torch.inference_mode(), threads:
        found = to_probability(reader.net(x), reader.network)
        if reader.flip:
            mirrored = to_probability(reader.net(x.flip(2)), reader.network).flip(2)
            found = (found + mirrored) / 2
    answer: FloatArray = transfer.read(found)[0, 0]
    return answer


def _in_parts(reader: Reader, image: FloatArray) -> FloatArray:
    """Weighted mean of patches that overlap by half, with less weight at their edges."""
    sides = [min(n, side) for n, side in zip(image.shape, reader.window, strict=True)]
    total, weight = np.zeros(image.shape, np.float32), np.zeros(image.shape, np.float32)
    i, j, k = (_hat(side) for side in sides)
    part_weight = i[:, None, None] * j[None, :, None] * k[None, None, :]
    starts = (_starts(n, side) for n, side in zip(image.shape, sides, strict=True))
    for corner in itertools.product(*starts):
        part = tuple(slice(first, first + n) for first, n in zip(corner, sides, strict=True))
        total[part] += part_weight * _one(reader, image[part])
        weight[part] += part_weight
    mean: FloatArray = total / weight
    return mean


def _starts(n: int, side: int) -> list[int]:
    """First voxels of patches that cover n voxels and overlap by at least half."""
    count = 1 + -(-2 * (n - side) // side)
    return [round(first) for first in np.linspace(0, n - side, count)]


def _hat(side: int) -> FloatArray:
    """Weights that rise from the edges of a patch to its middle."""
    index = np.arange(side, dtype=np.float32)
    return np.minimum(index, index[::-1]) + 1


