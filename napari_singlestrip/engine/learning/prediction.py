"""From the probability that a network predicts to a mask on the scan's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.engine.imaging.geometry import unconform
from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.imaging.resampling import resample
from napari_singlestrip.engine.imaging.shading import Shading, flattened
from napari_singlestrip.engine.learning.autoencoder import Autoencoder
from napari_singlestrip.engine.learning.leaks import remove_leaks, room_for_brain
from napari_singlestrip.engine.masks.border_refinement import BorderRefiner, refine_border
from napari_singlestrip.engine.masks.cleanup import clean_mask

FIT_VOXELS = 5000  # to learn what the border looks like, where masks need not be exact


@dataclass(frozen=True)
class Prediction:
    """Brain probability of a scan on the grid of the network's input.

    Attributes
    ----------
    probability : (I, J, K) float32
        0 to 1.
    conformed : Volume
        The network's input: intensities on an isotropic grid, RAS unless the head is pitched.
    shading : Shading or None
        What the input is without.
    """

    probability: npt.NDArray[np.float32]
    conformed: Volume
    shading: Shading | None = None

    @property
    def grid(self) -> Grid:
        """Grid of the probability."""
        return self.conformed.grid


def to_mask(
    prediction: Prediction,
    volume: Volume,
    settings: Settings,
    autoencoder: Autoencoder | None = None,
) -> npt.NDArray[np.bool_]:
    """Turn a prediction into a postprocessed mask on a scan's own grid.

    The probability is resampled before thresholding; a resampled binary mask would show coarse
    voxels. Then leaks are removed (`remove_leaks`), and the surface is moved to the border that the
    scan itself shows (`refine_border`), also where a leak began.

    Parameters
    ----------
    prediction : Prediction
    volume : Volume
        The scan on its own grid.
    settings : Settings
        Those of `prediction` are used, and of `ranking` how the autoencoder looks at a mask.
    autoencoder : Autoencoder, optional
        To recognise leaks, which stay without it.

    Returns
    -------
    ndarray of bool, shape of the volume
    """
    config, spacing = settings.prediction, volume.grid.spacing
    # Interpolation between values below the threshold stays below it.
    probability = unconform(
        prediction.probability, prediction.grid, volume.grid, fill=0.0,
        negligible=config.threshold,
    )
    mask = probability > config.threshold
    as_it_is = config.model_copy(update={"border_mm": 0.0})
    if config.remove_leaks and autoencoder is not None:
        mask = clean_mask(mask, spacing, as_it_is)
        mask = remove_leaks(mask, volume.grid, autoencoder, settings.ranking)
    if config.refine_border:
        flat = flattened(volume, prediction.shading)
        mask = refine_border(clean_mask(mask, spacing, as_it_is), flat.data, spacing)
    return clean_mask(mask, spacing, config)


def similar_masks(
    probabilities: Sequence[npt.NDArray[np.float32]],
    grid: Grid,
    mask: npt.NDArray[np.bool_],
    volume: Volume,
    settings: Settings,
    autoencoder: Autoencoder | None = None,
) -> list[npt.NDArray[np.bool_]]:
    """Turn several predictions of one scan into masks, to compare them.

    As `to_mask` would, but many times faster: on voxels of about 2 mm; what leaks and how the
    border looks is learned once, from the scan's mask.

    Parameters
    ----------
    probabilities : sequence of (I, J, K) float32
    grid : Grid
        Theirs.
    mask : (i, j, k) bool
        That of the scan.
    volume : Volume
        The scan on its own grid, that of `mask`.
    settings, autoencoder
        As of `to_mask`.

    Returns
    -------
    list of ndarray of bool, all of one shape
        Without refined borders, those of the network, on its own grid.
    """
    config = settings.prediction
    if not config.refine_border:
        return [probability > config.threshold for probability in probabilities]
    refiner = BorderRefiner.around(mask, volume.data, volume.grid.spacing)
    if refiner is None:
        return [np.zeros((0, 0, 0), bool) for _ in probabilities]
    there, room = refiner.grid_in(volume.grid), None
    if config.remove_leaks and autoencoder is not None:
        room = room_for_brain(mask, volume.grid, autoencoder, settings.ranking)
    is_room = True if room is None else resample(room, there, fill=-np.inf) >= 0
    as_it_is = config.model_copy(update={"border_mm": 0.0})
    masks = []
    for probability in probabilities:
        seen = unconform(probability, grid, there, fill=0.0, negligible=config.threshold)
        start = clean_mask(seen > config.threshold, there.spacing, as_it_is) & is_room
        inside = refiner.inside(start, FIT_VOXELS)
        masks.append(start if inside is None else clean_mask(inside > 0.5, there.spacing, as_it_is))
    return masks
