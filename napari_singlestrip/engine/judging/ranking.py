"""From reconstructions to scores, from scores to ranks, from ranks to a selection."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_singlestrip.engine.config import RankingConfig
from napari_singlestrip.engine.imaging.grid import Grid
from napari_singlestrip.engine.learning.autoencoder import Autoencoder, Reconstruction
from napari_singlestrip.engine.learning.reconstruction_error import autoencoder_error, best_views
from napari_singlestrip.engine.masks.cleanup import bounding_box

Looks = list[npt.NDArray[np.float64]]  # appearance features of scans, from `appearance`
UNLIKE = "unlike a brain"  # a flag
QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)


@dataclass(frozen=True, eq=False)
class MaskScore:
    """The measurements of a mask.

    Attributes
    ----------
    error : float
        Of the autoencoder; NaN without one.
    volume_ml : float
    views : list of Reconstruction
        The autoencoder's reconstructions; empty without one.
    """

    error: float
    volume_ml: float
    views: list[Reconstruction]


def score_mask(
    autoencoder: Autoencoder | None,
    mask: npt.NDArray[np.bool_],
    grid: Grid,
    config: RankingConfig,
) -> MaskScore:
    """Measure a mask, whether of a study or of a new scan.

    Parameters
    ----------
    autoencoder : Autoencoder or None
    mask : (i, j, k) bool
        On a scan's own grid, not empty.
    grid : Grid
        That grid.
    config : RankingConfig
    """
    volume_ml = float(np.count_nonzero(mask) * grid.voxel_ml)
    if autoencoder is None:
        return MaskScore(math.nan, volume_ml, [])
    views = best_views(autoencoder, mask, grid, config)
    return MaskScore(autoencoder_error(views, config.error), volume_ml, views)


def rank(errors: Sequence[float]) -> npt.NDArray[np.int64]:
    """Rank errors: 1 is the smallest; equal errors keep their order; NaN comes last.

    Parameters
    ----------
    errors : sequence of N floats

    Returns
    -------
    (N,) int64
    """
    filled = np.where(np.isfinite(errors), errors, np.inf)
    ranks = np.empty(len(filled), np.int64)
    ranks[np.argsort(filled, kind="stable")] = np.arange(1, len(filled) + 1)
    return ranks


def select(
    errors: Sequence[float], config: RankingConfig, looks: Looks | None = None
) -> npt.NDArray[np.bool_]:
    """Select the undecided masks that are good enough to train on.

    Parameters
    ----------
    errors : sequence of N floats
        Lower is better; NaN is never selected.
    config : RankingConfig
        The rule: the best `top_k`, the best `fraction` (at least one), all errors up to
        `max_error`, or (varied) a `fraction` made up of the best of each group of similar scans.
    looks : list of N arrays, optional
        From `appearance`; only the rule "varied" needs them.

    Returns
    -------
    (N,) bool
    """
    usable = np.isfinite(np.asarray(errors, float))
    order = rank(errors)
    if config.select == "top_k":
        chosen = order <= config.top_k
    elif config.select == "threshold":
        chosen = np.asarray(errors, float) <= config.max_error
    else:
        n = max(1, round(config.fraction * int(usable.sum())))
        if config.select == "varied" and looks and usable.any():
            order = _in_turn(order, usable, np.stack(looks), n)
        chosen = order <= n
    return chosen & usable


def _in_turn(
    order: npt.NDArray[np.int64], usable: npt.NDArray[np.bool_], looks: npt.NDArray[np.float64],
    n: int,
) -> npt.NDArray[np.int64]:
    """Rank the best of each of n groups of similar scans before all others."""
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.preprocessing import scale

    group = np.full(len(order), -1)
    group[usable] = 0
    if n > 1:
        group[usable] = AgglomerativeClustering(n).fit_predict(scale(looks[usable]))
    first = np.zeros(len(order), bool)
    for g in range(n):
        members = np.flatnonzero(group == g)
        first[members[np.argmin(order[members])]] = True
    return rank(np.where(first, order, order + len(order)).tolist())


def appearance(
    data: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Appearance of a scan: its intensities inside the brain, and around it.

    Parameters
    ----------
    data : (I, J, K) float32
    mask : (I, J, K) bool
        The brain, not empty.

    Returns
    -------
    (10,) float64
        Quantiles inside the mask and in the rest of its bounding box, relative to the median
        inside.
    """
    box = bounding_box(mask)
    if box is None:
        raise ValueError("the mask is empty")
    near, brain = data[box], mask[box]
    around = near[~brain] if not brain.all() else near[brain]
    inside, outside = (np.quantile(part, QUANTILES) for part in (near[brain], around))
    middle = abs(float(inside[len(QUANTILES) // 2])) or 1.0
    return np.concatenate([inside, outside]) / middle


def unusual(errors: Sequence[float], volumes_ml: Sequence[float]) -> list[str]:
    """Flag outliers in error or volume, which should be inspected.

    Far is more than three robust standard deviations (1.4826 times the median absolute
    deviation) from the median, at least 0.02 in error and a quarter in volume.

    Parameters
    ----------
    errors, volumes_ml : sequences of N floats

    Returns
    -------
    list of N str
        Empty if nothing is unusual.
    """
    high_error = _far(errors, 0.02) > 0
    volume = _far(np.log(np.maximum(volumes_ml, 1e-9)), np.log(1.25))
    words = {-1: "small", 1: "large"}
    return [
        ", ".join(filter(None, [UNLIKE if e else "", words.get(int(v), "")]))
        for e, v in zip(high_error, volume, strict=True)
    ]


def _far(values: npt.ArrayLike, least: float) -> npt.NDArray[np.int64]:
    """-1, 0 or 1 for values far below, near or far above the median; NaN is near."""
    x = np.asarray(values, float)
    if not np.isfinite(x).any():
        return np.zeros(len(x), np.int64)
    offset = x - np.nanmedian(x)
    limit = max(least, 3 * 1.4826 * float(np.nanmedian(np.abs(offset))))
    return np.where(np.abs(offset) > limit, np.sign(offset), 0).astype(np.int64)
