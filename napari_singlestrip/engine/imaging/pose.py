"""Heads in a pose that training does not cover: chin on the chest, or neck extended.

Networks are trained on rotations of up to `synthesis.rotation_deg`, since a wider range costs
accuracy elsewhere; of a head that is pitched further they find too little. Their certainty is
highest in the training pose, so hill climbing over the pitch finds it in a few steps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def pitch(degrees: float) -> NDArray[np.float64]:
    """Rotation about the axis from left to right, shape (4, 4), for RAS mm.

    Parameters
    ----------
    degrees : float
        Positive raises the front: y towards z.
    """
    angle = np.deg2rad(degrees)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn


def climb(
    height: Callable[[float], float], step: float, limit: float, least_gain: float = 0.0
) -> float:
    """Hill climbing from 0, step by step in one direction.

    Parameters
    ----------
    height : callable
        The function to maximise.
    step : float
        Not 0; its sign is the direction.
    limit : float
        Largest distance from 0 that is evaluated.
    least_gain : float
        Least gain of the first step from 0: smaller differences are chance.

    Returns
    -------
    float
        The last position that was higher than the one before; 0 if none was.
    """
    reached, top = 0.0, height(0.0) + least_gain
    while abs(reached + step) <= limit and (ahead := height(reached + step)) > top:
        reached, top = reached + step, ahead
    return reached
