"""Label maps from one mask: bins of the voxel intensities inside and outside the brain.

A label map says which voxels look alike; synthesis paints each label anew. Several maps with
different numbers of bins are made from one mask, since a network that has seen only one way of
dividing a head learns that way by heart (Specktor-Fadida & Hoffmann 2025 bin automatically; the
rule, the numbers and that there are several maps are our own choice).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy
import torch

from napari_singlestrip.engine.config import LabelMapConfig
from napari_singlestrip.engine.devices import transfer
from napari_singlestrip.engine.devices.memory import device_share
from napari_singlestrip.engine.heads.separable import stride_matrix
from napari_singlestrip.engine.imaging.geometry import otsu_threshold
from napari_singlestrip.engine.masks.morphology import dilated, eroded, filled

OUTSIDE = 0  # the label of air around the head and of what lies beyond the field of view
LEVELS = 512  # grey levels that bins are looked up from
DISTANCE_UNIT = 1 / 24  # voxels of the training grid per unit of the int8 signed distance
MAX_DISTANCE = 127 * DISTANCE_UNIT
TILE = 4  # voxels; 4 * 4 * 4 bytes are what a processor fetches from memory at once

Volume32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Twins = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class LabelMaps:
    """Label maps of one scan.

    Attributes
    ----------
    labels : (M, X, Y, Z) uint8
        M maps; 0 is air around the head and beyond the field of view, then the bins outside the
        brain from dark to bright, then those inside.
    backgrounds : M ints
        The darkest label outside the brain but within the head, of each map.
    n_labels : int
        Largest label + 1.
    twins : M tuples of pairs of ints
        For each label inside the brain, the label outside that looks most like it in the scan:
        fluid on both sides of the mask's edge, for example.
    """

    labels: npt.NDArray[np.uint8]
    backgrounds: tuple[int, ...]
    n_labels: int
    twins: tuple[Twins, ...] = ()


@dataclass(frozen=True)
class LabelBank:
    """What synthesis draws from: label maps and signed distances of all training scans.

    Volumes are stored tile by tile (`tiled`): a rotated walk through them then meets what it needs
    next in memory that was just fetched, and takes a third of the time.

    Attributes
    ----------
    labels : (N, M, X / 4, Y / 4, Z / 4, 4, 4, 4) uint8 tensor
    distance : (N, X / 4, Y / 4, Z / 4, 4, 4, 4) int8 tensor
        Signed distance to the brain's surface, negative inside, in `DISTANCE_UNIT`.
    intensities : (N, X / 4, Y / 4, Z / 4, 4, 4, 4) uint8 tensor
        The scans themselves, 0 to 255.
    backgrounds : N tuples of M ints
    twins : N tuples of M tuples of pairs
        See `LabelMaps`; lists where the bank changes.
    n_labels : int
    ratio : float
        Voxels of the label maps per voxel of the training grid, along each axis.
    weights : (N,) float64
        Probability of drawing each scan.
    device : torch.device
        Where pictures are made. The volumes are there, or in the computer's memory where all of
        them would be too much for the device: then each is sent when it is needed.
    changes : bool
        Whether volumes are replaced while pictures are made from them: then they are never copied.
    """

    labels: torch.Tensor
    distance: torch.Tensor
    intensities: torch.Tensor
    backgrounds: tuple[tuple[int, ...], ...] | list[tuple[int, ...]]
    twins: tuple[tuple[Twins, ...], ...] | list[tuple[Twins, ...]]
    n_labels: int
    ratio: float
    weights: npt.NDArray[np.float64]
    device: torch.device = torch.device("cpu")  # noqa: RUF009 - immutable
    changes: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of the volumes along each axis, (X, Y, Z)."""
        x, y, z = (TILE * n for n in self.distance.shape[1:4])
        return x, y, z

    @property
    def nbytes(self) -> int:
        """Memory that all volumes take."""
        volumes = (self.labels, self.distance, self.intensities)
        return sum(volume.untyped_storage().nbytes() for volume in volumes)

    def labels_of(self, entry: int, label_map: int) -> torch.Tensor:
        """One label map of one scan, where pictures are made."""
        return transfer.move(self.labels[entry, label_map], self.device)

    def distance_of(self, entry: int) -> torch.Tensor:
        """The signed distance of one scan, where pictures are made."""
        return transfer.move(self.distance[entry], self.device)

    def intensities_of(self, entry: int) -> torch.Tensor:
        """The intensities of one scan, where pictures are made."""
        return transfer.move(self.intensities[entry], self.device)

    def to(self, device: torch.device) -> LabelBank:
        """Make pictures on a device; the volumes are copied there unless they are too many."""
        if self.changes or (device.type != "cpu" and self.nbytes > device_share(device)):
            return replace(self, device=device)
        return replace(
            self, device=device, labels=transfer.move(self.labels, device),
            distance=transfer.move(self.distance, device),
            intensities=transfer.move(self.intensities, device),
        )


def tiled(volume: torch.Tensor) -> torch.Tensor:
    """Store a volume tile by tile, (..., X, Y, Z) to (..., X / 4, Y / 4, Z / 4, 4, 4, 4).

    Raises
    ------
    ValueError
        If a side is no multiple of `TILE`.
    """
    *before, x, y, z = volume.shape
    if any(n % TILE for n in (x, y, z)):
        raise ValueError(f"sides of {(x, y, z)} are not multiples of {TILE}")
    n = len(before)
    parts = volume.reshape(*before, x // TILE, TILE, y // TILE, TILE, z // TILE, TILE)
    order = [n, n + 2, n + 4, n + 1, n + 3, n + 5]
    return parts.permute(*range(n), *order).contiguous()


def untiled(tiles: torch.Tensor) -> torch.Tensor:
    """Inverse of `tiled`."""
    *before, x, y, z, _, _, _ = tiles.shape
    n = len(before)
    order = [n, n + 3, n + 1, n + 4, n + 2, n + 5]
    parts = tiles.permute(*range(n), *order)
    return parts.reshape(*before, TILE * x, TILE * y, TILE * z)


def make_label_maps(
    data: Volume32,
    mask: Mask,
    seen: Mask,
    config: LabelMapConfig,
    rng: np.random.Generator,
    n_bins: Sequence[tuple[int, int]] | None = None,
) -> LabelMaps:
    """Bin the intensities inside and outside a mask.

    Parameters
    ----------
    data : (X, Y, Z) float32
        Intensities, any range.
    mask : (X, Y, Z) bool
        The brain.
    seen : (X, Y, Z) bool
        Voxels within the scan's field of view.
    config : LabelMapConfig
    rng : numpy.random.Generator
        Draws the voxels that bins are fitted to.
    n_bins : pairs of int, optional
        (inside, outside) of each map; those of `config` by default.

    Raises
    ------
    ValueError
        If there is nothing inside or nothing outside the mask.
    """
    if not (mask & seen).any() or not (~mask & seen).any():
        raise ValueError("the mask must leave voxels inside and outside")
    even = flatten_bias(data, mask, config.bias_field)
    even = scipy.ndimage.gaussian_filter(even, config.denoise) if config.denoise else even
    pairs = tuple(n_bins or config.n_bins)
    head = find_head(even, mask, seen)
    if config.supervoxels:
        even = supervoxel_means(even, mask, config.supervoxels)
    labels = np.zeros((len(pairs), *data.shape), np.uint8)
    for m, (inside, outside) in enumerate(pairs):
        for part, n, first in ((~mask & head, outside, 1), (mask & seen, inside, 1 + outside)):
            labels[m][part] = first + bin_intensities(even[part], n, config.method, rng)
    if config.parts > 1:
        for one in labels:
            _divide(one, config.parts, rng)
        pairs = tuple((inside * config.parts, outside * config.parts) for inside, outside in pairs)
    n_labels = 1 + max(sum(pair) for pair in pairs)
    twins = tuple(_twins(m, even, pair) for m, pair in zip(labels, pairs, strict=True))
    return LabelMaps(labels, (1,) * len(pairs), n_labels, twins)


def find_head(data: Volume32, mask: Mask, seen: Mask) -> Mask:
    """What is not air around the head: bright voxels, closed and filled, and the brain.

    Parameters
    ----------
    data : (X, Y, Z) float32
    mask, seen : (X, Y, Z) bool
        The brain; the field of view.
    """
    if _is_constant(float(data[seen].min()), float(data[seen].max())):
        return seen  # nothing tells air from head
    bright = data > otsu_threshold(data[seen])
    bright = dilated(eroded(bright)) | mask
    # Padding lets the closing reach the border without eating it.
    closed = np.pad(bright, 4)
    for step in (dilated,) * 3 + (eroded,) * 3:
        closed = step(closed)
    closed = closed[4:-4, 4:-4, 4:-4]
    pieces, n = scipy.ndimage.label(closed)
    if n > 1:
        sizes = np.bincount(pieces.ravel())
        closed = pieces == 1 + np.argmax(sizes[1:])
    head = filled(closed) | mask
    return seen & head if (head & seen & ~mask).any() else seen


def supervoxel_means(data: Volume32, mask: Mask, side: int) -> Volume32:
    """Give all voxels of a supervoxel their mean: bins are then in pieces, not in specks.

    Supervoxels grow from a lattice of seeds to where the intensity changes (Neubert & Protzel
    2014, compact watershed, without the compactness); the mask's edge always divides them.

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


def _divide(labels: npt.NDArray[np.uint8], n: int, rng: np.random.Generator) -> None:
    """Number the bins of each part of the head anew, in place.

    Parts are what lies nearest to each of n voxels of the head. The darkest bin outside the brain
    stays one, since it may be air.
    """
    places = np.argwhere(labels > 0)
    centres = places[rng.integers(len(places), size=n)]
    _, part = scipy.spatial.cKDTree(centres).query(places)
    inside_head = tuple(places.T)
    old = labels[inside_head].astype(int)
    labels[inside_head] = np.where(old == 1, 1, 1 + (old - 1) * n + part)


def _twins(labels: npt.NDArray[np.uint8], data: Volume32, pair: tuple[int, int]) -> Twins:
    """For each inside label that occurs, the outside label nearest in mean intensity."""
    inside, outside = pair
    head = labels > 0  # a third of the voxels, and air has no twin
    counts = np.bincount(labels[head], minlength=1 + inside + outside)
    sums = np.bincount(labels[head], weights=data[head], minlength=1 + inside + outside)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    around = means[1 : 1 + outside]
    return tuple(
        (label, 1 + int(np.argmin(np.abs(around - means[label]))))
        for label in range(1 + outside, 1 + outside + inside)
        if counts[label]
    )


def bin_intensities(
    values: Volume32, n_bins: int, method: str, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Number each value's bin, 0 (dark) to `n_bins` - 1 (bright).

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
    if n_bins == 1 or _is_constant(low, high):
        return np.zeros(len(values), np.uint8)
    sample = np.clip(_some(values, rng), low, high).astype(np.float64)
    fit = {"kmeans": _kmeans, "quantiles": _quantiles, "gmm": _mixture}[method]
    if len(np.unique(sample)) <= n_bins:  # segmented or quantised before: a bin for each value
        fit = _each_value
    with warnings.catch_warnings():  # an empty bin, or one that has not quite settled, will do
        warnings.simplefilter("ignore")
        table = fit(sample, n_bins, np.linspace(low, high, LEVELS), rng)
    level = np.clip((values - low) / (high - low) * (LEVELS - 1) + 0.5, 0, LEVELS - 1)
    return table[level.astype(np.int16)]


def flatten_bias(data: Volume32, mask: Mask, width: float) -> Volume32:
    """Divide by a smooth field estimated inside the mask, where tissues are few.

    Parameters
    ----------
    data : (X, Y, Z) float32
    mask : (X, Y, Z) bool
    width : float
        FWHM of the smoothing as a fraction of the grid's shortest side; 0 returns `data`.
    """
    if width <= 0:
        return data
    brain = data[mask]
    floor = max(float(np.quantile(brain, 0.05)), 1e-3)
    log = np.zeros_like(data)
    log[mask] = np.log(np.maximum(brain, floor))
    sigma = width * min(data.shape) / 2.355
    weight = _smooth(mask.astype(np.float32), sigma)
    mean = float(log[mask].mean())
    field = (_smooth(log, sigma) + 1e-2 * mean) / (weight + 1e-2) - mean
    return (data * np.exp(-field)).astype(np.float32)


def signed_distance_units(distance_voxels: Volume32) -> npt.NDArray[np.int8]:
    """Signed distance in voxels of the training grid, as int8 in `DISTANCE_UNIT`, clipped."""
    return np.clip(np.rint(distance_voxels / DISTANCE_UNIT), -127, 127).astype(np.int8)


def _smooth(x: Volume32, sigma: float) -> Volume32:
    """Gaussian smoothing of a wide kernel, on a grid coarse enough for it."""
    step = max(1, int(sigma / 3))
    coarse = x
    for axis in range(3) if step > 1 else ():
        coarse = scipy.ndimage.uniform_filter1d(coarse, step, axis)
        coarse = coarse[(slice(None),) * axis + (slice(None, None, step),)]
    smooth = scipy.ndimage.gaussian_filter(coarse, sigma / step, mode="constant")
    if step == 1:
        return smooth
    a, b, c = (stride_matrix(n, step) for n in x.shape)
    return np.einsum("xi,yj,zk,ijk->xyz", a, b, c, smooth, optimize=True)


def _is_constant(low: float, high: float) -> bool:
    """Whether a range is no more than rounding."""
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
    # Quantiles as first centres: k-means in one dimension then needs no restarts.
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
