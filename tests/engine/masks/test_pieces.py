"""Pieces of a mask, one by one."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy
from hypothesis import given
from hypothesis import strategies as st

from napari_singlestrip.engine.masks.pieces import piece_at, without_small_pieces


def pieces() -> np.ndarray:
    """One of 27, one of 8 and one of 1 voxel."""
    mask = np.zeros((12, 12, 12), dtype=bool)
    mask[1:4, 1:4, 1:4] = mask[6:8, 6:8, 6:8] = mask[10, 10, 10] = True
    return mask


def test_a_piece_is_what_shares_faces_with_the_voxel() -> None:
    mask = pieces()
    mask[4, 4, 4] = True  # touches the first by a corner only
    found = piece_at(mask, (2, 2, 2))
    assert found.sum() == 27 and not (found & ~mask).any()
    assert piece_at(mask, (4, 4, 4)).sum() == 1
    assert not piece_at(mask, (0, 0, 0)).any()
    assert not piece_at(np.zeros((3, 3, 3), bool), (1, 1, 1)).any()


@given(st.integers(0, 2**32 - 1), st.sampled_from(["C", "F"]))
def test_pieces_are_those_of_labelling(seed: int, order: Literal["C", "F"]) -> None:
    rng = np.random.default_rng(seed)
    mask = np.asarray(rng.random(rng.integers(1, 8, 3)) < rng.random(), order=order)
    labels, _ = scipy.ndimage.label(mask)
    for i, j, k in np.argwhere(mask)[:3]:
        assert np.array_equal(piece_at(mask, (i, j, k)), labels == labels[i, j, k])


def test_small_pieces_go_by_their_volume() -> None:
    mask = pieces()
    assert without_small_pieces(mask, 0.008, 0.001).sum() == 35
    assert without_small_pieces(mask, 0.0081, 0.001).sum() == 27
    assert not without_small_pieces(mask, 1.0, 0.001).any()
    assert np.array_equal(without_small_pieces(mask, 0, 0.001), mask)
    assert not without_small_pieces(np.zeros((2, 2, 2), bool), 1, 1).any()
