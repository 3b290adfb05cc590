"""Detect a head that is rotated by right angles, as a wrong orientation in the header makes it.

The network finds most of a brain that lies on its side, but the mask has a shape that no upright
brain has. So for a mask that is unlike a brain, the scan is predicted in each of the 24 possible
orientations, and the autoencoder tells in which one the mask is most like a brain. The scan is not
reoriented automatically: a wrong guess would be worse than a poor mask.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_singlestrip.engine.config import RankingConfig
from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.learning.autoencoder import Autoencoder
from napari_singlestrip.engine.learning.reconstruction_error import autoencoder_error, best_views
from napari_singlestrip.engine.learning.segmenter import Segmenter, strip_volume
from napari_singlestrip.engine.overrides import override

# Largest ratio of the autoencoder's error after and before reorientation. Rotated heads had 0.12 to
# 0.56; of other unusual scans, one in nine was below 0.6.
LEFT = 0.57
ROOM = 1.2  # the error after reorientation may exceed the largest usual one by this factor


def likely_axes(
    segmenter: Segmenter, autoencoder: Autoencoder, volume: Volume, config: RankingConfig,
    usual: float,
) -> str:
    """Find the probable orientation of a scan, if it differs from its header.

    Takes as long as predicting a dozen masks: use it only if a mask is unlike a brain.

    Parameters
    ----------
    segmenter : Segmenter
    autoencoder : Autoencoder
    volume : Volume
        The scan on its own grid.
    config : RankingConfig
        Defines the autoencoder's error.
    usual : float
        The largest error among good masks.

    Returns
    -------
    str
        The direction of each voxel axis, such as "PSR"; empty if the header seems to be right.
    """
    changes = {
        "prediction.flip": False, "prediction.windows": 1, "prediction.pitch_deg": 0.0,
        "prediction.refine_border": False, "prediction.remove_leaks": False,
    }
    quick = replace(segmenter, settings=override(segmenter.settings, changes), remarks=[])
    once = config.model_copy(update={"views": 1, "pitch_deg": 0.0})

    def error(turn: npt.NDArray[np.float64]) -> float:
        turned = Volume(volume.data, turn @ volume.affine)
        mask = strip_volume(quick, turned)
        if not mask.any():
            return float("inf")
        return autoencoder_error(best_views(autoencoder, mask, turned.grid, once), once.error)

    upright, *others = quarter_turns()
    errors = [error(turn) for turn in others]
    best = int(np.argmin(errors))
    if errors[best] > min(LEFT * error(upright), ROOM * usual):
        return ""
    return Grid(volume.grid.shape, others[best] @ volume.affine).orientation


def in_words(axes: str, grid: Grid) -> str:
    """Describe the probable orientation of a scan for the user."""
    seem, said = ("-".join(codes) for codes in (axes, grid.orientation))
    return f"its voxel axes seem to be {seem}, not {said} as its header says"


def quarter_turns() -> Iterator[npt.NDArray[np.float64]]:
    """The 24 rotations by right angles, for RAS mm; the first one is the identity."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            turn = np.eye(4)
            turn[:3, :3] = np.eye(3)[list(order)] * np.array(signs)
            if np.linalg.det(turn) > 0:
                yield turn
