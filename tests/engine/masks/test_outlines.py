"""What an outline encloses."""

from __future__ import annotations

import numpy as np
import pytest

from napari_singlestrip.engine.masks.outlines import beyond, enclosed, is_closed

SQUARE = [(1.5, 2.5), (1.5, 6.5), (4.5, 6.5), (4.5, 2.5)]


def test_a_square_encloses_its_centres() -> None:
    found = enclosed(SQUARE, (8, 9))
    assert np.array_equal(np.argwhere(found).min(axis=0), (2, 3))
    assert np.array_equal(np.argwhere(found).max(axis=0), (4, 6))
    assert found.sum() == 3 * 4


@pytest.mark.parametrize("seed", range(5))
def test_any_outline_encloses_what_the_definition_says(seed: int) -> None:
    """Against the winding number by angles, at centres that the line does not touch."""
    rng = np.random.default_rng(seed)
    outline = rng.uniform(-3, 23, (9, 2))
    found = enclosed(outline, (20, 20))
    centres = np.argwhere(np.ones((20, 20)))
    towards = outline[None] - centres[:, None]
    angles = np.arctan2(towards[..., 0], towards[..., 1])
    turns = np.diff(angles, axis=1, append=angles[:, :1])
    winding = ((turns + np.pi) % (2 * np.pi) - np.pi).sum(axis=1) / (2 * np.pi)
    assert np.array_equal(found.ravel(), np.abs(winding) > 0.5)


def test_a_line_drawn_too_far_leaves_no_hole() -> None:
    once = enclosed(SQUARE, (8, 9))
    assert np.array_equal(enclosed([*SQUARE, *SQUARE[:2]], (8, 9)), once)


def test_the_direction_does_not_matter_and_the_border_cuts() -> None:
    outline = np.array([(-5, -5), (-5, 3.5), (3.5, 3.5), (3.5, -5)])
    found = enclosed(outline, (6, 6))
    assert found[:4, :4].all()
    assert found.sum() == 16
    assert np.array_equal(found, enclosed(outline[::-1], (6, 6)))


THIN = [(2.2, 1), (2.4, 5), (2.2, 3)]  # between two rows of centres


@pytest.mark.parametrize("outline", [[], [(1, 1)], [(1, 1), (4, 4)], THIN])
def test_a_line_round_no_centre_encloses_nothing(outline: list[tuple[float, float]]) -> None:
    assert not enclosed(outline, (6, 6)).any()


LINES = {
    "across": [(10.2, -3.0), (9.8, 23.0)],
    "short": [(10.2, 8.0), (9.8, 12.0)],
    "up and back": [(10.2, 2.0), (4.3, 10.0), (10.2, 18.0)],
    "down the slice": [(1.0, 10.3), (18.0, 10.3)],
    "turned round": [(18.0, 10.3), (1.0, 10.3)],
}


@pytest.mark.parametrize("name", LINES)
def test_a_line_cuts_a_slice_in_two(name: str) -> None:
    side = beyond(LINES[name], (20, 20))
    down = name in ("down the slice", "turned round")
    corners = side[0, 0], side[0, 19], side[19, 0], side[19, 19]
    expected = (0, 1, 0, 1) if down else (0, 0, 1, 1)
    assert corners == expected or corners == tuple(1 - e for e in expected)
    if name == "up and back":  # a dent of the side below
        assert side[7, 10] == side[19, 19]
    elif not down:
        assert len(np.unique(side[:10])) == len(np.unique(side[11:])) == 1


def test_a_point_cuts_nothing() -> None:
    assert not beyond([(3, 3)], (6, 6)).any()
    assert not beyond([(3, 3), (3, 3)], (6, 6)).any()


def test_what_comes_back_is_an_outline() -> None:
    turn = np.linspace(0, 1.9 * np.pi, 30)
    assert is_closed(np.stack([np.sin(turn), np.cos(turn)], axis=1))
    assert not is_closed(LINES["up and back"])
    assert not is_closed([(0, 0), (1, 1)])
