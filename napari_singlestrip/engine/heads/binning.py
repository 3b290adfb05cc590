"""Intensity bins: which voxels of a scan have similar intensities.

The bias field is flattened first, so that the same tissue falls into the same bin everywhere.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import scipy

from napari_singlestrip.engine.arrays import Mask

LEVELS = 512  # grey levels of the lookup table of bins

Volume32 = npt.NDArray[np.float32]


def supervoxel_means(data: Volume32, mask: Mask, side: int) -> Volume32:
    """Replace the voxels of each supervoxel by their mean: bins then form regions, not specks.

    Supervoxels grow from a lattice of seeds to where the intensity changes (Neubert & Protzel
    2014, compact watershed, without the compactness); they never cross the mask's border.

    Parameters
    ----------
    data : (X, Y, Z) float32
    mask : (X, Y, Z) bool
    side : int
        Distance of the seeds (voxels).
    """
    edges = scipy.ndimage.gaussian_gradient_magnitude(data, 1.0)
    scale = 65535 / max(float(edges.max()), 1e-6)
    seeds = np.zeros(data.shape, np.int32)
    lattice = seeds[side // 2 :: side, side // 2 :: side, side // 2 :: side]
    lattice[...] = np.arange(1, lattice.size + 1, dtype=np.int32).reshape(lattice.shape)
    grown = scipy.ndimage.watershed_ift((edges * scale).astype(np.uint16), seeds)
    piece = (2 * grown + mask).ravel()
    sums = np.bincount(piece, weights=data.ravel())
    means = sums / np.maximum(np.bincount(piece), 1)
    return means.astype(np.float32)[piece].reshape(data.shape)


def bin_intensities(
    values: Volume32, n_bins: int, method: str, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Assign each value to a bin, from 0 (dark) to `n_bins` - 1 (bright).

    Parameters
    ----------
    values : (V,) float32
    n_bins : int
    method : {"kmeans", "quantiles", "gmm"}
    rng : numpy.random.Generator

    Returns
    -------
    (V,) uint8
    """
    low, high = np.quantile(_some(values, rng), [0.001, 0.999])
    if n_bins == 1 or is_constant(low, high):
        return np.zeros(len(values), np.uint8)
    sample = np.clip(_some(values, rng), low, high).astype(np.float64)
    fit = {"kmeans": _kmeans, "quantiles": _quantiles, "gmm": _mixture}[method]
    if len(np.unique(sample)) <= n_bins:  # already segmented or quantised: a bin for each value
        fit = _each_value
    with warnings.catch_warnings():  # an empty bin, or one that has not quite converged, will do
        warnings.simplefilter("ignore")
        table = fit(sample, n_bins, np.linspace(low, high, LEVELS), rng)
    level = np.clip((values - low) / (high - low) * (LEVELS - 1) + 0.5, 0, LEVELS - 1)
    return table[level.astype(np.int16)]


def is_constant(low: float, high: float) -> bool:
    """Whether a range is no larger than rounding errors."""
    return high - low <= 1e-5 * max(abs(low), abs(high))


def _some(values: Volume32, rng: np.random.Generator, n: int = 20000) -> Volume32:
    return values if len(values) <= n else values[rng.integers(len(values), size=n)]


def _each_value(
    sample: npt.NDArray[np.float64], n: int, levels: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> npt.NDArray[np.uint8]:
    values = np.unique(sample)
    return np.digitize(levels, (values[1:] + values[:-1]) / 2).astype(np.uint8)


def _kmeans(
    sample: npt.NDArray[np.float64], n: int, levels: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> npt.NDArray[np.uint8]:
    # Initialised at quantiles, k-means in one dimension needs no restarts.
    start = np.unique(np.quantile(sample, (np.arange(n) + 0.5) / n))
    centres, _ = scipy.cluster.vq.kmeans2(
        sample[:, None], start[:, None], iter=30, minit="matrix", missing="warn"
    )
    centres = np.sort(centres[:, 0])
    return np.digitize(levels, (centres[1:] + centres[:-1]) / 2).astype(np.uint8)


def _quantiles(
    sample: npt.NDArray[np.float64], n: int, levels: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> npt.NDArray[np.uint8]:
    edges = np.unique(np.quantile(sample, np.arange(1, n) / n))
    return np.digitize(levels, edges).astype(np.uint8)


def _mixture(
    sample: npt.NDArray[np.float64], n: int, levels: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> npt.NDArray[np.uint8]:
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(n, reg_covar=1e-6, random_state=int(rng.integers(2**31)))
    model.fit(sample[:, None])
    rank = np.argsort(np.argsort(model.means_[:, 0]))
    return rank[model.predict(levels[:, None])].astype(np.uint8)
