from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest

from napari_singlestrip.engine.imaging.grid import Grid, Volume, reorient, signed_permutation

ALL_48 = [
    tuple(np.sign(s) * (a + 1) for a, s in zip(axes, signs, strict=True))
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((-1, 1), repeat=3)
]


def oblique(angle: float = 0.3, spacing: tuple[float, float, float] = (1, 2, 3)) -> np.ndarray:
    turn = nib.eulerangles.euler2mat(angle, -angle / 2, angle / 3)
    return np.asarray(nib.affines.from_matvec(turn @ np.diag(spacing), [3.5, -20, 11]))


def test_properties_of_a_grid() -> None:
    grid = Grid((4, 5, 6), np.diag([-1.0, 2.0, 5.0, 1.0]))
    assert grid.spacing == (1.0, 2.0, 5.0)
    assert grid.orientation == "LAS"
    assert grid.voxel_ml == pytest.approx(0.01)
    assert grid.obliquity_deg == pytest.approx(0, abs=1e-6)
    assert str(grid) == "4 x 5 x 6 voxels of 1 x 2 x 5 mm, LAS"
    assert Grid((4, 5, 6), oblique(0.3)).obliquity_deg > 5
    assert Volume(np.zeros((4, 5, 6), np.float32), grid.affine).grid.same_as(grid)


def test_a_grid_cannot_be_changed_behind_its_back() -> None:
    affine = np.eye(4)
    grid = Grid((2, 2, 2), affine)
    affine[0, 3] = 100
    assert grid.affine[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 3] = 1
    with pytest.raises(ValueError, match="affine"):
        Grid((2, 2, 2), np.eye(3))


@pytest.mark.parametrize(("shift", "same"), [(0.0, True), (0.04, True), (0.2, False)])
def test_same_as_forgives_rounding_only(shift: float, same: bool) -> None:
    grid = Grid((10, 10, 10), oblique())
    moved = grid.affine.copy()
    moved[1, 3] += shift
    assert grid.same_as(Grid((10, 10, 10), moved)) is same
    assert not grid.same_as(Grid((10, 10, 11), grid.affine))


def test_a_small_turn_is_seen_at_the_far_corner() -> None:
    a, b = (Grid((200, 200, 200), oblique(angle, (1, 1, 1))) for angle in (0.3, 0.302))
    assert not a.same_as(b)


@pytest.mark.parametrize("turn", ALL_48)
def test_reorienting_puts_every_value_at_its_place(turn: tuple[int, int, int]) -> None:
    """Against nibabel's own reorientation, which moves the affine along."""
    data = np.random.default_rng(0).random((3, 4, 5))
    source = Grid((3, 4, 5), oblique())
    ornt = np.array([(abs(t) - 1, np.sign(t)) for t in turn])
    turned = nib.orientations.apply_orientation(data, ornt)
    affine = source.affine @ nib.orientations.inv_ornt_aff(ornt, data.shape)
    target = Grid(turned.shape, affine)
    there = reorient(data, source, target)
    assert there is not None
    np.testing.assert_array_equal(there, turned)
    back = reorient(turned, target, source)
    assert back is not None
    np.testing.assert_array_equal(back, data)


def test_grids_that_are_not_the_same_voxels_are_refused() -> None:
    source = Grid((3, 4, 5), oblique())
    other_angle = Grid((3, 4, 5), oblique(0.5))
    shifted = Grid((3, 4, 5), source.affine + np.eye(4, k=3) * 5)
    finer = Grid((6, 8, 10), source.affine @ np.diag([0.5, 0.5, 0.5, 1]))
    data = np.zeros((3, 4, 5))
    assert signed_permutation(source, other_angle) is None
    assert all(reorient(data, source, g) is None for g in (other_angle, shifted, finer))
