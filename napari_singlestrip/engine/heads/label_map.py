"""Label maps from one mask: bins of the voxel intensities inside and outside the brain.

A label map groups voxels of similar intensity; synthesis assigns each label a random intensity.
Several maps with different numbers of bins are made from one mask, since a network that has seen
only one partition of a head overfits to it (Specktor-Fadida & Hoffmann 2025 bin automatically; the
rule, the numbers of bins and the use of several maps are our own choice).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy
import torch

from napari_singlestrip.engine.arrays import Mask
from napari_singlestrip.engine.config import LabelMapConfig
from napari_singlestrip.engine.devices import transfer
from napari_singlestrip.engine.devices.memory import device_share
from napari_singlestrip.engine.heads.binning import bin_intensities, is_constant, supervoxel_means
from napari_singlestrip.engine.imaging.bias_field import flatten_bias
from napari_singlestrip.engine.imaging.geometry import otsu_threshold
from napari_singlestrip.engine.masks.morphology import dilated, eroded, filled

OUTSIDE = 0  # label of the air around the head and of voxels beyond the field of view
DISTANCE_UNIT = 1 / 24  # voxels of the training grid per unit of the int8 signed distance
MAX_DISTANCE = 127 * DISTANCE_UNIT
LOG2_TILE = 2
TILE = 2**LOG2_TILE  # voxels; 4 * 4 * 4 bytes are one cache line

Volume32 = npt.NDArray[np.float32]
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
        For each label inside the brain, the label outside with the most similar intensity in the
        scan: fluid on both sides of the mask's border, for example.
    """

    labels: npt.NDArray[np.uint8]
    backgrounds: tuple[int, ...]
    n_labels: int
    twins: tuple[Twins, ...] = ()


@dataclass(frozen=True)
class LabelBank:
    """The input of the synthesis: label maps and signed distances of all training scans.

    Volumes are stored tile by tile (`tiled`): sampling along rotated axes then mostly hits cached
    memory, and takes a third of the time.

    Attributes
    ----------
    labels : (N, M, X / 4, Y / 4, Z / 4, 4, 4, 4) uint8 tensor
    distance : (N, X / 4, Y / 4, Z / 4, 4, 4, 4) int8 tensor
        Signed distance to the brain's surface, negative inside, in `DISTANCE_UNIT`.
    intensities : (N, X / 4, Y / 4, Z / 4, 4, 4, 4) uint8 tensor
        The scans themselves, 0 to 255.
    backgrounds : N tuples of M ints
    twins : N tuples of M tuples of pairs
        See `LabelMaps`; lists if the bank changes.
    n_labels : int
    ratio : float
        Voxels of the label maps per voxel of the training grid, along each axis.
    weights : (N,) float64
        Probability of sampling each scan.
    device : torch.device
        Where images are synthesised. The volumes are there too, or in the computer's memory if they
        do not all fit on the device: then each is sent when it is needed.
    changes : bool
        Whether volumes are replaced during training; they are then never copied to a device as a
        whole.
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
        """One label map of one scan, on the bank's device."""
        return transfer.move(self.labels[entry, label_map], self.device)

    def distance_of(self, entry: int) -> torch.Tensor:
        """The signed distance of one scan, on the bank's device."""
        return transfer.move(self.distance[entry], self.device)

    def intensities_of(self, entry: int) -> torch.Tensor:
        """The intensities of one scan, on the bank's device."""
        return transfer.move(self.intensities[entry], self.device)

    def to(self, device: torch.device) -> LabelBank:
        """Synthesise on a device; the volumes are copied there if they fit."""
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
        Samples the voxels to which bins are fitted.
    n_bins : pairs of int, optional
        (inside, outside) of each map; those of `config` by default.

    Raises
    ------
    ValueError
        If there is nothing inside or nothing outside the mask.
    """
    if not (mask & seen).any() or not (~mask & seen).any():
        raise ValueError("the mask must leave voxels inside and outside")
    even = data
    if config.bias_field:
        sigma = config.bias_field * min(data.shape) / 2.355
        even = flatten_bias(data, mask, (sigma, sigma, sigma))
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
    """Head mask: bright voxels, closed and filled, together with the brain.

    Parameters
    ----------
    data : (X, Y, Z) float32
    mask, seen : (X, Y, Z) bool
        The brain; the field of view.
    """
    if is_constant(float(data[seen].min()), float(data[seen].max())):
        return seen  # no contrast between air and head
    bright = data > otsu_threshold(data[seen])
    bright = dilated(eroded(bright)) | mask
    # Padding, since the closing would erode the head at the border of the array.
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


def _divide(labels: npt.NDArray[np.uint8], n: int, rng: np.random.Generator) -> None:
    """Give the bins of each region of the head labels of their own, in place.

    Regions are the Voronoi cells of n random voxels of the head. The darkest bin outside the brain
    stays one label, since it may be air.
    """
    places = np.argwhere(labels > 0)
    centres = places[rng.integers(len(places), size=n)]
    _, part = scipy.spatial.cKDTree(centres).query(places)
    inside_head = tuple(places.T)
    old = labels[inside_head].astype(int)
    labels[inside_head] = np.where(old == 1, 1, 1 + (old - 1) * n + part)


def _twins(labels: npt.NDArray[np.uint8], data: Volume32, pair: tuple[int, int]) -> Twins:
    """For each label that occurs inside, the label outside that is nearest in mean intensity."""
    inside, outside = pair
    head = labels > 0  # a third of the voxels; air has no twin
    counts = np.bincount(labels[head], minlength=1 + inside + outside)
    sums = np.bincount(labels[head], weights=data[head], minlength=1 + inside + outside)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    around = means[1 : 1 + outside]
    return tuple(
        (label, 1 + int(np.argmin(np.abs(around - means[label]))))
        for label in range(1 + outside, 1 + outside + inside)
        if counts[label]
    )


def signed_distance_units(distance_voxels: Volume32) -> npt.NDArray[np.int8]:
    """Signed distance in voxels of the training grid, as int8 in `DISTANCE_UNIT`, clipped."""
    return np.clip(np.rint(distance_voxels / DISTANCE_UNIT), -127, 127).astype(np.int8)
