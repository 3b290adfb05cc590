"""Surfaces of masks: closed, in mm, the right way round, as large as the mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_singlestrip.engine.masks.surface import surface_of


def ball(shape: tuple[int, ...], centre: Any, radius: float, mm: Any = (1, 1, 1)) -> NDArray[Any]:
    """A ball in mm."""
    at = np.indices(shape).transpose(1, 2, 3, 0) * mm
    return np.asarray(((at - centre) ** 2).sum(axis=-1) < radius**2)


@pytest.mark.parametrize(("cell_mm", "lost"), [(0.0, 0.03), (2.0, 0.1), (3.3, 0.2)])
@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_ball_is_where_it_is_and_faces_outwards(
    cell_mm: float, lost: float, flip: float
) -> None:
    mask = ball((40, 44, 48), (20, 22, 24), 15)
    affine = np.diag([flip, 1.0, 1.0, 1.0])
    affine[:3, 3] = (7, -5, 3)
    surface = surface_of(mask, affine, cell_mm)
    middle = (affine @ (20, 22, 24, 1))[:3]
    away = surface.vertices - middle
    assert np.linalg.norm(away, axis=1) == pytest.approx(15, abs=1.5)
    assert surface.volume() == pytest.approx(mask.sum(), rel=lost)
    assert (np.einsum("ij,ij->i", surface.normals(), away) > 0).all()
    assert np.linalg.norm(surface.normals(), axis=1) == pytest.approx(1, abs=1e-4)


def test_surface_is_closed_also_at_the_border() -> None:
    surface = surface_of(np.ones((6, 7, 8), bool), np.eye(4))
    edges = np.concatenate([surface.faces[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    there = {(int(a), int(b)) for a, b in edges}
    assert len(there) == len(edges)
    assert all((b, a) in there for a, b in there)
    assert surface.vertices.min() > -2 and surface.vertices.max() < 9


def test_long_voxels_are_long() -> None:
    mm = (1.0, 1.0, 4.0)
    mask = ball((40, 40, 12), (20, 20, 22), 14, mm)
    surface = surface_of(mask, np.diag([*mm, 1.0]), 2.0)
    size = np.ptp(surface.vertices, axis=0)
    assert size == pytest.approx(28, abs=4.5)  # slices lie 4 mm apart


def test_thin_and_empty_masks() -> None:
    mask = np.zeros((9, 9, 9), bool)
    assert len(surface_of(mask, np.eye(4)).faces) == 0
    assert surface_of(mask, np.eye(4)).volume() == 0
    mask[4, 4, 4] = True  # the Gaussian would take it away
    surface = surface_of(mask, np.eye(4))
    assert len(surface.faces) and surface.vertices.mean(axis=0) == pytest.approx(4)


def test_mask_of_any_order_in_memory_gives_the_same() -> None:
    mask = ball((20, 24, 22), (9, 12, 11), 7).astype(np.uint8)
    first = surface_of(mask, np.eye(4), 2.0)
    second = surface_of(np.asfortranarray(mask)[::-1][::-1], np.eye(4), 2.0)
    assert np.array_equal(first.vertices, second.vertices)
