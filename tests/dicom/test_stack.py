from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_singlestrip.dicom.stack import Frame, orientation_words, stack
from napari_singlestrip.errors import UserError

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def frames(*places: float, directions: tuple[float, ...] = AXIAL) -> list[Frame]:
    along = np.cross(directions[:3], directions[3:])
    return [Frame(tuple(along * mm + 5), directions, (2.5, 2.0), (16, 20)) for mm in places]


def test_slices_are_sorted_by_place_whatever_the_order_of_files() -> None:
    found = stack(frames(6, 0, 9, 3))
    assert found.slices == ((1,), (3,), (0,), (2,))
    assert found.shape == (20, 16, 4)


def test_affine_leads_from_column_row_and_slice_to_ras() -> None:
    found = stack(frames(0, 3, 6))
    np.testing.assert_allclose(
        found.affine,
        np.array([[-2, 0, 0, -5], [0, -2.5, 0, -5], [0, 0, 3, 5], [0, 0, 0, 1]], dtype=np.float64),
    )


def test_images_of_one_place_are_volumes() -> None:
    assert stack(frames(0, 3, 6, 0, 3, 6)).n_volumes == 2


def test_rounded_positions_are_no_gap() -> None:
    assert stack(frames(0, 1.01, 2.0, 2.99, 4.0)).shape[2] == 5


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ((0, 3, 6, 15, 18), "2 slices are missing; the first gap is after slice 3 of 5"),
        ((0, 3, 6, 9, 15), "1 slice is missing"),
        ((0, 2, 5, 6, 9, 13), "1 to 4 mm apart"),
        ((0, 3, 6, 0, 3), "of some there are 2 images, of others 1"),
        ((0, 3), "only 2 slices"),
    ],
)
def test_what_makes_no_volume_is_said(places: tuple[float, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        stack(frames(*places))


def test_a_localiser_is_told() -> None:
    mixed = frames(0, 3, 6) + frames(0, 3, 6, directions=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0))
    with pytest.raises(UserError, match="2 orientations, as those of a localiser"):
        stack(mixed)


def test_several_sizes_are_told() -> None:
    some = frames(0, 3, 6)
    with pytest.raises(UserError, match="several sizes"):
        stack([*some[:2], replace(some[2], shape=(32, 20))])


def test_slices_of_a_tilted_gantry_are_told() -> None:
    tilted = [
        replace(frame, position=(frame.position[0], frame.position[1] + n, frame.position[2]))
        for n, frame in enumerate(frames(0, 3, 6))
    ]
    with pytest.raises(UserError, match="gantry"):
        stack(tilted)


@pytest.mark.parametrize(
    ("directions", "words"),
    [
        (AXIAL, "axial"),
        ((0.0, 1.0, 0.0, 0.0, 0.0, -1.0), "sagittal"),
        ((1.0, 0.0, 0.0, 0.0, 0.0, -1.0), "coronal"),
        ((1.0, 0.0, 0.0, 0.0, 0.9397, 0.3420), "axial, oblique 20°"),
    ],
)
def test_orientation_in_words(directions: tuple[float, ...], words: str) -> None:
    assert orientation_words(frames(0, directions=directions)[0]) == words
