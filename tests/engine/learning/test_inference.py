"""A network at work where memory ends: slower ways are found, said, and give the same mask."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from napari_singlestrip.engine.config import NetworkConfig
from napari_singlestrip.engine.devices import transfer
from napari_singlestrip.engine.devices.memory import is_out_of_memory
from napari_singlestrip.engine.learning import inference
from napari_singlestrip.engine.learning.inference import Reader, probabilities
from napari_singlestrip.engine.learning.networks import build_segmenter
from napari_singlestrip.errors import UserError

CPU, META = torch.device("cpu"), torch.device("meta")
WINDOW = (16, 16, 16)
NO_MEMORY: list[Callable[[], BaseException]] = [
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate "
                         "memory: you tried to allocate 8 bytes."),
    lambda: RuntimeError("MPS backend out of memory (MPS allocated: 5.00 GB)"),
    lambda: RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    MemoryError,
]  # fmt: skip


class Bright(nn.Module):
    """Bright is brain, in images of no more than so many voxels in all."""

    def __init__(self, room: int, error: Callable[[], BaseException] = NO_MEMORY[0]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(40.0))
        self.room, self.error = room, error
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(x.shape))
        if x.numel() > self.room:
            raise self.error()
        return self.weight * (x - 0.5)


def pictures(n: int = 1, side: int = 24) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.random((side, side, side), dtype=np.float32) for _ in range(n)]


def ask(net: nn.Module, seen: list[Any], *, flip: bool = False) -> tuple[list[Any], list[str]]:
    said: list[str] = []
    found = probabilities(Reader(net.eval(), NetworkConfig(), WINDOW, flip), seen, said.append)
    return found, said


def expected(picture: Any) -> Any:
    return 1 / (1 + np.exp(-40 * (picture - 0.5)))


@pytest.mark.parametrize("error", NO_MEMORY)
def test_what_is_too_large_is_looked_at_in_parts(error: Callable[[], BaseException]) -> None:
    net = Bright(16**3, error)
    (found,), said = ask(net, pictures())
    assert np.allclose(found, expected(pictures()[0]), atol=1e-5)
    assert {shape[2:] for shape in net.seen[1:]} == {WINDOW}
    (text,) = said
    assert "too large for the memory" in text and "in patches" in text


def test_nothing_is_said_where_all_fits() -> None:
    net = Bright(10**9)
    found, said = ask(net, pictures(3), flip=True)
    assert said == []
    assert len(found) == 3
    assert {shape[0] for shape in net.seen} == {1}  # on a CPU one by one


def test_when_nothing_fits_a_person_is_told() -> None:
    with pytest.raises(UserError, match="not enough memory to predict an image of 24 x 24 x 24"):
        ask(Bright(5), pictures())


def test_other_errors_are_not_taken_for_memory() -> None:
    with pytest.raises(RuntimeError, match="illegal"):
        ask(Bright(5, lambda: RuntimeError("an illegal instruction")), pictures())
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(KeyError("out of memory"))


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A net on the CPU passes for one on a card; what is sent to the card stays where it is."""
    monkeypatch.setattr(Reader, "device", property(lambda reader: getattr(
        reader.net, "place", CPU)))
    monkeypatch.setattr(transfer, "move", lambda tensor, _: tensor)


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize(("room", "flip", "sizes", "words"), [
    (10**9, True, [6], None),  # three images and their mirror images at once
    (10**9, False, [3], None),
    (24**3, True, [6, 1, 1, 1, 1, 1, 1], None),  # the same answer: nothing to be said
    (16**3, False, [3, 1], "in patches"),
])  # fmt: skip
def test_on_a_card_all_at_once_then_one_by_one_then_in_parts(
    room: int, flip: bool, sizes: list[int], words: str | None
) -> None:
    net = Bright(room)
    net.place = META  # type: ignore[assignment]
    found, said = ask(net, pictures(3), flip=flip)
    for answer, picture in zip(found, pictures(3), strict=True):
        assert np.allclose(answer, expected(picture), atol=1e-5)
    assert [shape[0] for shape in net.seen[: len(sizes)]] == sizes
    assert [words is not None and words in text for text in said] == [True] * (words is not None)


@pytest.mark.usefixtures("card")
def test_what_the_card_cannot_hold_at_all_goes_to_the_cpu(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    net, slow = Bright(5), Bright(10**9)
    net.place = META  # type: ignore[assignment]
    monkeypatch.setattr(transfer, "copy_on_cpu", lambda _: slow)
    (found,), said = ask(net, pictures())
    assert np.allclose(found, expected(pictures()[0]), atol=1e-5)
    assert "on the CPU" in said[0] and "graphics card" in said[0]
    (again,), _ = ask(Bright(10**9), pictures())  # and the next scan continues as usual
    assert np.allclose(again, found)


@pytest.mark.parametrize(("n", "side"), [(16, 16), (17, 16), (24, 16), (31, 16), (100, 16)])
def test_parts_cover_all_and_overlap_by_half(n: int, side: int) -> None:
    starts = inference._starts(n, side)
    assert starts[0] == 0 and starts[-1] == n - side
    assert all(b - a <= side // 2 for a, b in itertools.pairwise(starts))


def test_a_copy_on_the_cpu_is_the_same_net_and_none_of_its_memory() -> None:
    net = build_segmenter(NetworkConfig(channels=(4, 8)))
    copied = transfer.copy_on_cpu(net)
    x = torch.rand(1, 1, 16, 16, 16)
    assert torch.equal(net(x), copied(x))
    theirs = {weight.data_ptr() for weight in net.parameters()}
    assert theirs.isdisjoint(weight.data_ptr() for weight in copied.parameters())
