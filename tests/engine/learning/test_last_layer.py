"""The last layer on a CPU: torch's own transposed convolution, values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_singlestrip.engine.learning import last_layer
from napari_singlestrip.engine.learning.last_layer import LastLayer

SHAPES = [(1, 1, 1), (1, 2, 3), (5, 4, 3), (7, 1, 2), (9, 6, 8)]


def layers(features: int = 3) -> tuple[LastLayer, nn.ConvTranspose3d]:
    torch.manual_seed(0)
    ours = LastLayer(features)
    theirs = nn.ConvTranspose3d(features, 1, 3, stride=2, padding=1, output_padding=1)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("slices_of_a_slab", [1, 2, 100])
def test_values_and_gradients_are_those_of_torch(
    shape: tuple[int, int, int], slices_of_a_slab: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_a_slice = 4 * last_layer.TAPS * shape[1] * shape[2]
    monkeypatch.setattr(last_layer, "SLAB_BYTES", (slices_of_a_slab + 1) * of_a_slice)
    ours, theirs = layers()
    x = torch.randn(2, 3, *shape, requires_grad=True)
    found, expected = ours(x), theirs(x)
    assert torch.allclose(found, expected, atol=1e-5)
    grad = torch.randn_like(found)
    of_ours = torch.autograd.grad(found, [x, *ours.parameters()], grad)
    of_theirs = torch.autograd.grad(expected, [x, *theirs.parameters()], grad)
    for one, other in zip(of_ours, of_theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_it_is_used_in_float32_and_left_to_torch_elsewhere(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[torch.Size] = []

    def noted(x: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        used.append(x.shape)
        return torch.zeros(1, 4, 4, 4)

    monkeypatch.setattr(last_layer, "_doubled", noted)
    ours, theirs = layers()
    x = torch.randn(1, 3, 2, 2, 2)
    ours(x)
    assert used == [(3, 2, 2, 2)]
    assert torch.equal(ours.double()(x.double()), theirs.double()(x.double()))
    ours.float()
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(x).dtype == torch.bfloat16
    assert ours.to("meta")(x.to("meta")).shape == (1, 1, 4, 4, 4)
    assert len(used) == 1


def test_memory_laid_out_by_channels_gives_the_same() -> None:
    ours, theirs = layers()
    x = torch.randn(1, 3, 4, 6, 8)
    with torch.inference_mode():
        found = ours(x.to(memory_format=torch.channels_last_3d))
        assert torch.allclose(found, theirs(x), atol=1e-5)


def test_a_file_for_other_programs_has_the_usual_layer() -> None:
    ours, _ = layers()
    program = torch.export.export(ours, (torch.randn(1, 3, 2, 2, 2),))
    assert "conv_transpose3d" in str(program.graph)
