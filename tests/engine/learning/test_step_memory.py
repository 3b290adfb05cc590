"""A training step that cannot fit into memory is refused before it is tried."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest
import torch
from torch import nn

from napari_singlestrip.engine.config import NetworkConfig
from napari_singlestrip.engine.devices.memory import GIB
from napari_singlestrip.engine.devices.precision import Precision
from napari_singlestrip.engine.learning.networks import build_segmenter
from napari_singlestrip.engine.learning.step_memory import check_memory, least_memory

FLOAT32, BFLOAT16 = Precision(), Precision("bfloat16")


def test_what_is_kept_for_the_backward_pass_is_counted_once() -> None:
    # The square keeps its input, the two products the square and their weights: 3 images of 4 KB.
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.requires_grad_()
            square = x * x
            return square.sin() + square.cos()

    assert least_memory(Net(), (1, 1, 10, 10, 10), BFLOAT16) == 2 * 4000


def test_memory_grows_with_the_image_and_the_batch() -> None:
    net = build_segmenter(NetworkConfig())
    small = least_memory(net, (1, 1, 64, 64, 64), FLOAT32)
    assert least_memory(net, (1, 1, 128, 128, 128), FLOAT32) == pytest.approx(8 * small, rel=0.1)
    assert least_memory(net, (2, 1, 64, 64, 64), FLOAT32) == pytest.approx(2 * small, rel=0.1)
    assert least_memory(net, (1, 1, 64, 64, 64), BFLOAT16) == pytest.approx(small / 2)
    assert next(net.parameters()).device.type == "cpu"  # the network itself keeps its weights


def test_synthstrips_network_at_one_millimetre_is_refused_on_a_computer_of_24_gib(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=21 * GIB))
    net = build_segmenter(NetworkConfig(architecture="synthstrip"))
    with pytest.raises(MemoryError, match=r"at 240 x 288 x 240 voxels it takes at least \d+\.\d GiB"
                       ", and 21.0 GiB are free"):  # fmt: skip
        check_memory(net, (1, 1, 240, 288, 240), FLOAT32)
    check_memory(net, (1, 1, 96, 96, 96), FLOAT32)
