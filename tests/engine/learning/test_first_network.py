"""The network that comes with the program: that it is there and sound, and for whom it is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.learning import first_network
from napari_singlestrip.engine.learning.checkpoint import CHECKSUM, checksum
from napari_singlestrip.engine.learning.model import load_model
from napari_singlestrip.engine.learning.segmenter import strip_volume
from napari_singlestrip.engine.learning.tensor_file import is_tensor_file, read
from napari_singlestrip.engine.masks.metrics import dice
from napari_singlestrip.sample_data import render_head


def grid(n: int, mm: float) -> Grid:
    return Grid((n, n, n), np.diag([mm, mm, mm, 1.0]))


def test_it_is_whole_small_and_no_pickle() -> None:
    path = first_network.PATH
    assert is_tensor_file(path) and path.stat().st_size < 6e6
    state = read(path)
    stored = state.pop(CHECKSUM)
    assert stored == checksum(state)
    weights = state["segmenter"]["average"].values()
    assert all(value.dtype == torch.float16 for value in weights)


def test_it_finds_the_brain_of_a_drawn_head_it_did_not_learn_from() -> None:
    head = render_head(4242, "T2w", 4.0)
    model = load_model(first_network.PATH, torch.device("cpu"))
    assert "drawn" in model.card.study and len(model.card.training_scans) > 5
    volume = Volume(head.data.astype(np.float32), head.affine)
    assert dice(strip_volume(model.segmenter, volume), head.mask) > 0.93


@pytest.mark.parametrize(("n", "mm", "asked"), ((256, 1.0, True), (128, 0.125, False)))
def test_a_small_field_of_view_is_no_human_head(n: int, mm: float, asked: bool) -> None:
    why = first_network.why_not_asked(grid(n, mm))
    assert not why if asked else "16 mm" in why


@pytest.mark.parametrize(("ml", "believed"), ((0.0, False), (400.0, False), (1400.0, True),
                                              (3000.0, False)))
def test_what_is_no_human_brain_is_not_believed(ml: float, believed: bool) -> None:
    assert (first_network.why_not_believed(ml) == "") == believed
