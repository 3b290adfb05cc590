from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_singlestrip.engine.imaging.display_orientation import Upright
from napari_singlestrip.engine.imaging.grid import Volume
from napari_singlestrip.engine.masks.growing import coarse_head, grow_from_seeds, suggest_brain
from napari_singlestrip.engine.masks.mask_tools import painted_slices

if TYPE_CHECKING:
    from napari_singlestrip.sample_data import SampleHead


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


@pytest.fixture(scope="module")
def head() -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """Picture, exact mask and voxel size of a sample head, as displayed."""
    from napari_singlestrip.sample_data import render_head

    made = render_head(1, "T1w", spacing_mm=4.0)
    upright = Upright(made.affine)
    picture = upright.to_display(made.data.astype(np.float32))
    return picture, upright.to_display(made.mask > 0), upright.scale


def test_a_brain_is_suggested_whatever_the_size_of_the_head(head: tuple[Any, ...]) -> None:
    picture, truth, spacing = head
    tenth = (spacing[0] / 10, spacing[1] / 10, spacing[2] / 10)  # a mouse is as good as a man

    assert dice(suggest_brain(picture, tenth), truth) > 0.8


def test_strokes_grow_to_the_border_of_the_brain(head: tuple[Any, ...]) -> None:
    picture, truth, spacing = head
    used = painted_slices(truth, 0)
    strokes = np.zeros_like(truth)
    for slice_ in used[[len(used) // 3, len(used) // 2]]:
        p, l = (int(n) for n in np.argwhere(truth[slice_]).mean(axis=0))  # noqa: E741
        strokes[slice_, p - 8 : p + 8, l - 4 : l + 4] = True
    strokes &= truth

    grown = grow_from_seeds(strokes, picture, spacing)

    assert (grown & strokes).sum() == strokes.sum()
    assert dice(grown, truth) > 0.8


def test_without_strokes_nothing_grows(head: tuple[Any, ...]) -> None:
    picture, truth, spacing = head

    assert not grow_from_seeds(np.zeros_like(truth), picture, spacing).any()


def test_a_picture_without_a_head_gives_no_brain() -> None:
    flat = np.zeros((20, 20, 20), dtype=np.float32)

    assert not suggest_brain(flat, (1.0, 1.0, 1.0)).any()


def test_what_the_picture_cuts_off_is_not_air(phantom: SampleHead) -> None:
    picture = np.asarray(phantom.data, dtype=np.float32)
    brain = np.argwhere(phantom.mask).mean(axis=0).astype(int)
    half = Volume(picture[: brain[0]], phantom.affine)

    cut = coarse_head(half, 32)

    middle = tuple(n // 2 for n in cut.inside.shape[1:])
    assert cut.inside[-1][middle]
    assert cut.air_distance[-1][middle] > 4


@pytest.mark.parametrize("shape", ((3, 64, 64), (64, 64, 3), (1, 64, 64), (2, 2, 2), (1, 1, 1)))
def test_a_scan_of_a_few_slices(shape: tuple[int, int, int]) -> None:
    places = np.meshgrid(*((np.arange(n) + 0.5) / n * 2 - 1 for n in shape), indexing="ij")
    far = np.sum([place**2 for place in places], axis=0)
    picture = np.asarray(1.0 * (far < 0.9) + 2.0 * (far < 0.4))
    seeds = np.zeros(shape, bool)
    seeds[tuple(n // 2 for n in shape)] = True

    suggested = suggest_brain(picture, (1.0, 1.0, 1.0))
    grown = grow_from_seeds(seeds, picture, (1.0, 1.0, 1.0))

    assert suggested.shape == grown.shape == shape
    assert grown[seeds].all()
    assert suggested.any() or max(shape) < 3
