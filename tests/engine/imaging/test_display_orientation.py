"""Volumes between the grid of a scan and the display: all 48 orientations, there and back."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from napari_singlestrip.engine.imaging.display_orientation import AXIS_ENDS, Upright

ORIENTATIONS = [
    "".join(letters)
    for axes in itertools.permutations(("LR", "PA", "IS"))
    for letters in itertools.product(*axes)
]
SHAPE, SPACING = (4, 5, 6), (1.0, 2.0, 3.0)  # of the RAS original


def turned(codes: str) -> tuple[np.ndarray, np.ndarray]:
    """The same head with its axes in another order and direction, and its affine."""
    data = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    affine = np.diag([*SPACING, 1.0])
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    return nib.apply_orientation(data, turn), affine @ inv_ornt_aff(turn, SHAPE)


def test_there_are_48_orientations() -> None:
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_display_is_the_same_whatever_the_orientation(codes: str) -> None:
    data, affine = turned(codes)
    upright = Upright(affine)
    shown = upright.to_display(data)
    original, _ = turned("RAS")
    # Rows down the head, to the back, to the patient's left: RAS turned round on all axes.
    assert np.array_equal(shown, original[::-1, ::-1, ::-1].transpose(2, 1, 0))
    assert upright.scale == (3.0, 2.0, 1.0)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_there_and_back_are_views(codes: str) -> None:
    data, affine = turned(codes)
    upright = Upright(affine)
    shown = upright.to_display(data)
    back = upright.to_scan(shown)
    assert np.array_equal(back, data)
    assert np.shares_memory(shown, data) and np.shares_memory(back, data)
    shown[0, 1, 2] = -1
    assert (data == -1).sum() == 1


@pytest.mark.parametrize("codes", ("RAS", "LPS", "PIR", "ASL"))
def test_oblique_scans_take_the_nearest_axes(codes: str) -> None:
    data, affine = turned(codes)
    angle = np.deg2rad(20)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert np.array_equal(
        Upright(turn @ affine).to_display(data), Upright(affine).to_display(data)
    )  # fmt: skip


def test_axes_end_at_opposite_sides() -> None:
    assert AXIS_ENDS == (("S", "I"), ("A", "P"), ("R", "L"))
