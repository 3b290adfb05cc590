"""Leaks of a predicted mask: what lies far outside of a brain of its shape, such as orbits.

The autoencoder knows brains only, so that its reconstruction of a mask has no leaks. It is too
coarse to be a mask itself, but what is several mm outside of it is not brain. Where it cannot
reconstruct the rest of a mask either, as that of a cut or a turned head, it says nothing.
"""

from __future__ import annotations

import numpy as np

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.config import RankingConfig
from napari_singlestrip.engine.imaging.geometry import signed_distance
from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.imaging.resampling import resample
from napari_singlestrip.engine.learning.autoencoder import Autoencoder, Reconstruction
from napari_singlestrip.engine.learning.reconstruction_error import autoencoder_error, best_views
from napari_singlestrip.engine.masks.cleanup import bounding_box
from napari_singlestrip.engine.masks.work_grid import FINE_MM, relative_size

OUTSIDE_MM = 3.5  # of the reconstruction, where a mask is a leak
LARGEST_ERROR = 0.05  # of a reconstruction that can be relied on


def remove_leaks(mask: Mask, grid: Grid, autoencoder: Autoencoder, config: RankingConfig) -> Mask:
    """Remove what lies more than 3.5 mm outside of a mask's reconstruction.

    Parameters
    ----------
    mask : ndarray of bool, shape (i, j, k)
        Not changed.
    grid : Grid
        Its grid.
    autoencoder : Autoencoder
    config : RankingConfig
        How far a mask may be pitched for the autoencoder, and what its error is.

    Returns
    -------
    ndarray of bool, shape (i, j, k)
        As `mask` if that is empty, or if the error of its reconstruction (1 - Dice) is above 0.05.
        The 3.5 mm are those of an adult's brain, and less for a smaller one.
    """
    out, box = mask.copy(), bounding_box(mask)
    room = room_for_brain(mask, grid, autoencoder, config)
    if box is None or room is None:
        return out
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [side.start for side in box]
    here = Grid(out[box].shape, affine)
    out[box] &= resample(room, here, fill=-np.inf) >= 0
    return out


def room_for_brain(
    mask: Mask, grid: Grid, autoencoder: Autoencoder, config: RankingConfig
) -> Volume | None:
    """Say where there may be brain, by a mask's reconstruction.

    Parameters
    ----------
    mask, grid, autoencoder, config
        As `remove_leaks`.

    Returns
    -------
    Volume or None
        Distance to the surface beyond which all is leak (mm, negative there), as far as it is
        needed; outside of the volume there is no brain. None where the reconstruction says nothing.
    """
    box = bounding_box(mask)
    if box is None:
        return None
    (view,) = best_views(autoencoder, mask, grid, config.model_copy(update={"views": 1}))
    if autoencoder_error([view], "dice") > LARGEST_ERROR:
        return None
    size = relative_size(mask[box], grid.spacing)
    limit = OUTSIDE_MM * size
    distance = _distance(view, FINE_MM * size, limit)
    return Volume(limit - distance.data, distance.affine)


def _distance(view: Reconstruction, step_mm: float, limit: float) -> Volume:
    """Distance to the reconstruction's surface (mm, negative inside), as far as it is needed.

    On voxels of about `step_mm`, since the autoencoder's own are coarser than the limit.
    """
    n = max(1, round(view.grid.spacing[0] / step_mm))
    finer = np.diag([1 / n, 1 / n, 1 / n, 1.0])
    finer[:3, 3] = (1 / n - 1) / 2  # the same field of view
    i, j, k = (n * side for side in view.grid.shape)
    grid = Grid((i, j, k), view.grid.affine @ finer)
    brain = resample(Volume(view.reconstructed, view.grid.affine), grid) > 0.5
    return Volume(signed_distance(brain, grid.spacing, limit + 2 * step_mm), grid.affine)
