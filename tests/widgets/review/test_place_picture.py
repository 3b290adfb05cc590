"""The small image of a place: plane, extent, colours, and black beyond the scan."""

from __future__ import annotations

import numpy as np
import pytest

from napari_singlestrip.engine.masks.doubt import TOO_LITTLE, TOO_MUCH, Place
from napari_singlestrip.widgets.review.place_picture import (
    Display,
    extent_mm,
    place_picture,
    plane_for,
)

SCALE = (3.0, 1.0, 1.0)


def display(kind: int = TOO_MUCH) -> Display:
    """A grey scan, a mask of its lower half, a doubted block."""
    shape = (20, 60, 60)
    marks = np.zeros(shape, np.uint8)
    marks[8:12, 20:30, 20:30] = kind
    mask = np.zeros(shape, bool)
    mask[:, 15:] = True
    return Display(np.full(shape, 0.5, np.float32), mask, marks, SCALE, (0.0, 1.0))


def place(kind: int = TOO_MUCH) -> Place:
    return Place(kind, 1.2, (10, 25, 25), (8, 20, 20), (12, 30, 30))


def test_thick_slices_are_seen_along_themselves() -> None:
    assert plane_for(place(), SCALE, display().marks) == "axial"
    marks = np.zeros((60, 60, 60), np.uint8)
    marks[10:50, 30:32, 10:50] = TOO_MUCH
    flat = Place(TOO_MUCH, 3.0, (30, 30, 30), (10, 30, 10), (50, 32, 50))
    assert plane_for(flat, (1.0, 1.0, 1.0), marks) == "coronal"


def test_a_large_place_is_shown_whole() -> None:
    assert extent_mm(place(), SCALE) == 50
    assert extent_mm(place(), SCALE, least=5) == pytest.approx(18)


@pytest.mark.parametrize(("kind", "strong"), [(TOO_MUCH, 0), (TOO_LITTLE, 2)])
def test_the_place_is_tinted_on_grey_with_the_edge_of_the_mask(kind: int, strong: int) -> None:
    found = place_picture(place(kind), "axial", display(kind), 50)
    middle = found[25, 25].astype(int)
    assert middle[strong] == middle.max() and middle[strong] > middle.min() + 40
    assert tuple(found[45, 45]) == (128, 128, 128)  # the scan
    assert (found[15] == (0, 216, 240)).all(1).sum() > 40  # row 15 of the scan: the mask's edge


def test_beyond_the_scan_it_is_black() -> None:
    at_the_edge = Place(TOO_MUCH, 1.0, (10, 2, 25), (8, 0, 20), (12, 5, 30))
    found = place_picture(at_the_edge, "axial", display(), 50)
    assert not found[:20].any()
    assert found[30:, :].any(2).all()
