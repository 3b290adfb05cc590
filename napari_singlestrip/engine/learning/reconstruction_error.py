"""How far a mask is from its reconstruction, whatever the pose of the head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from napari_singlestrip.engine.config import RankingConfig
from napari_singlestrip.engine.imaging.grid import Grid
from napari_singlestrip.engine.imaging.pose import climb
from napari_singlestrip.engine.learning.autoencoder import Autoencoder, Reconstruction, reconstruct

PITCH_STEP = 10.0  # degrees


def best_views(
    autoencoder: Autoencoder, mask: npt.NDArray[np.bool_], grid: Grid, config: RankingConfig
) -> list[Reconstruction]:
    """Reconstruct a mask at the pitch with the lowest error, since pose is no fault of a mask.

    Parameters
    ----------
    autoencoder : Autoencoder
    mask : (i, j, k) bool
        On a scan's own grid, not empty.
    grid : Grid
        That grid.
    config : RankingConfig
        Number of views, definition of their error, and largest pitch.

    Returns
    -------
    list of Reconstruction
        Its views, for `autoencoder_error`.
    """

    def views(degrees: float, n: int) -> list[Reconstruction]:
        return reconstruct(autoencoder, mask, grid, n, degrees)

    @cache
    def height(degrees: float) -> float:
        return -autoencoder_error(views(degrees, 1), config.error)  # one view is enough

    if config.pitch_deg < PITCH_STEP:
        return views(0.0, config.views)
    side = max((PITCH_STEP, -PITCH_STEP), key=height)
    return views(climb(height, side, config.pitch_deg), config.views)


def autoencoder_error(views: Sequence[Reconstruction], kind: str) -> float:
    """Reconstruction error of a mask, mean over its views; 0 is perfect.

    Parameters
    ----------
    views : sequence of Reconstruction
        Of one mask, from `autoencoder.reconstruct`.
    kind : {"dice", "mse", "surface"}
        1 - soft Dice; mean squared error over the mask's volume; mean distance of the surfaces
        (mm).
    """
    return float(np.mean([_ERRORS[kind](view) for view in views]))


def _dice_error(r: Reconstruction) -> float:
    overlap = float((r.mask * r.reconstructed).sum())
    total = float(np.square(r.mask).sum() + np.square(r.reconstructed).sum())
    return 1 - 2 * overlap / total if total else 1.0


def _mse_error(r: Reconstruction) -> float:
    return float(np.square(r.mask - r.reconstructed).sum() / max(float(r.mask.sum()), 1.0))


def _surface_error(r: Reconstruction) -> float:
    from napari_singlestrip.engine.masks.metrics import mean_surface_distance_mm

    return mean_surface_distance_mm(r.mask > 0.5, r.reconstructed > 0.5, r.grid.spacing)


_ERRORS: Mapping[str, Callable[[Reconstruction], float]] = {
    "dice": _dice_error, "mse": _mse_error, "surface": _surface_error,
}
