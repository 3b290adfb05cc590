"""Heads that lie otherwise than those learned from: chin on the chest, or neck bent back.

Networks learn from heads turned by up to `synthesis.rotation_deg`, which leaves them time for what
matters more. Of a head that is pitched further they find too little. But they are surest of it
where it lies as those they know, so that the way there is uphill: a few steps of turning the scan.
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
        Positive turns the front up: y towards z.
    """
    angle = np.deg2rad(degrees)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn


def climb(
    height: Callable[[float], float], step: float, limit: float, least_gain: float = 0.0
) -> float:
    """Go uphill from 0, step by step in one direction.

    Parameters
    ----------
    height : callable
        What is to be high, at a place.
    step : float
        Not 0; its sign is the direction.
    limit : float
        No place further from 0 is asked for.
    least_gain : float
        0 is only left for a place that is higher by this: small differences are chance.

    Returns
    -------
    float
        The last place that was higher than the one before; 0 if none was.
    """
    reached, top = 0.0, height(0.0) + least_gain
    while abs(reached + step) <= limit and (ahead := height(reached + step)) > top:
        reached, top = reached + step, ahead
    return reached
