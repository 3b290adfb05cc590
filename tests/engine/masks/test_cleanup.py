from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from napari_singlestrip.engine.config import PredictionConfig
from napari_singlestrip.engine.imaging.grid import Grid
from napari_singlestrip.engine.masks.cleanup import (
    bounding_box,
    clean_mask,
    largest_component,
    mask_report,
    mask_volume_ml,
)

ONE_MM = (1.0, 1.0, 1.0)


def config(**changes: Any) -> PredictionConfig:
    made: PredictionConfig = PredictionConfig(**changes)
    return made


def ball(radius: float, centre: tuple[int, int, int] = (20, 20, 20), n: int = 40) -> np.ndarray:
    x: Any = np.indices((n, n, n)) - np.reshape(centre, (3, 1, 1, 1))
    return np.asarray((x**2).sum(axis=0) < radius**2)


def dirty() -> np.ndarray:
    """A ball with a cavity, and a speck apart."""
    mask: np.ndarray = ball(10) & ~ball(3)
    mask[2:4, 2:4, 2:4] = True
    return mask


def test_the_largest_piece_stays_and_its_holes_are_filled() -> None:
    mask = dirty()
    before = mask.copy()
    np.testing.assert_array_equal(clean_mask(mask, ONE_MM, config()), ball(10))
    np.testing.assert_array_equal(mask, before)


def test_each_step_can_be_switched_off() -> None:
    nothing = config(largest_component=False, fill_holes=False)
    np.testing.assert_array_equal(clean_mask(dirty(), ONE_MM, nothing), dirty())
    only_holes = config(largest_component=False)
    np.testing.assert_array_equal(clean_mask(dirty(), ONE_MM, only_holes), dirty() | ball(10))
    only_largest = config(fill_holes=False)
    np.testing.assert_array_equal(clean_mask(dirty(), ONE_MM, only_largest), dirty() & ball(10))


@pytest.mark.parametrize("border", [-4.0, -1.0, 1.0, 4.0])
@pytest.mark.parametrize("spacing", [ONE_MM, (0.5, 1.0, 2.0)])
def test_the_border_moves_by_millimetres(
    border: float, spacing: tuple[float, float, float]
) -> None:
    x: Any = np.indices((80, 40, 20)) - np.reshape([39.5, 19.5, 9.5], (3, 1, 1, 1))
    radius = np.sqrt(((x * np.reshape(spacing, (3, 1, 1, 1))) ** 2).sum(axis=0))
    grown = clean_mask(radius < 9, spacing, config(border_mm=border))
    assert grown[radius < 9 + border - max(spacing)].all()
    assert not grown[radius > 9 + border + max(spacing)].any()


@pytest.mark.parametrize("border", [0.0, -30.0 + 10.0, 3.0])
def test_empty_and_vanishing_masks_are_empty(border: float) -> None:
    assert not clean_mask(np.zeros((5, 6, 7), bool), ONE_MM, config(border_mm=border)).any()
    if border < 0:
        assert not clean_mask(ball(10), ONE_MM, config(border_mm=border)).any()


def test_a_mask_up_to_the_edge_of_the_picture() -> None:
    mask = ball(10, centre=(0, 20, 39))
    mask[2, 20, 36] = False
    np.testing.assert_array_equal(clean_mask(mask, ONE_MM, config()), ball(10, centre=(0, 20, 39)))


def test_the_report_counts() -> None:
    grid = Grid((40, 40, 40), np.diag([1.0, 2.0, 3.0, 1.0]))
    mask = dirty()
    report = mask_report(mask, grid)
    assert (report.pieces, report.holes, report.touches_border) == (2, 1, False)
    assert report.volume_ml == pytest.approx(mask.sum() * 0.006)
    assert report.volume_ml == mask_volume_ml(mask, grid)
    assert mask_report(ball(10, centre=(20, 20, 35)), grid).touches_border
    empty = mask_report(mask & False, grid)
    assert (empty.pieces, empty.holes, empty.volume_ml, empty.touches_border) == (0, 0, 0, False)


def test_helpers() -> None:
    assert bounding_box(np.zeros((3, 3, 3), bool)) is None
    assert bounding_box(dirty())[0] == slice(2, 30)  # type: ignore[index]


@pytest.mark.parametrize("flips", list(itertools.product((1, -1), repeat=3)))
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_the_box_of_a_view_that_runs_backwards_is_that_of_its_copy(
    flips: tuple[int, ...], order: tuple[int, ...]
) -> None:
    mask = np.zeros((9, 8, 7), bool)
    mask[1:4, 3:5, 5:7] = True
    view = mask.transpose(order)[tuple(slice(None, None, step) for step in flips)]
    assert bounding_box(view) == bounding_box(view.copy())
    assert not largest_component(np.zeros((3, 3, 3), bool)).any()
