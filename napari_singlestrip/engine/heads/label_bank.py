"""Labelled scans, cropped around the brain, and the bank of label maps made from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_singlestrip.engine.config import Settings
from napari_singlestrip.engine.devices.memory import host_share
from napari_singlestrip.engine.heads.label_map import (
    OUTSIDE,
    TILE,
    LabelBank,
    LabelMaps,
    make_label_maps,
    signed_distance_units,
    tiled,
)
from napari_singlestrip.engine.imaging.geometry import (
    normalize,
    resample,
    signed_distance,
    unconform,
)
from napari_singlestrip.engine.imaging.grid import Grid, Shape, Volume
from napari_singlestrip.engine.imaging.resampling import inside_view
from napari_singlestrip.engine.masks.cleanup import bounding_box
from napari_singlestrip.errors import UserError

ADULT_BRAIN_ML = 1400.0  # what `conform.spacing_mm` is meant for; Luders et al. 2002: 1.1-1.7 L
HUMAN = (0.75, 1.25)  # relative brain sizes for which the spacing is used unscaled
SOFT_BAND = 2.0  # voxels on both sides of a mask's surface in which labels may be soft
ROOM = 1.5  # side of the crop relative to the training grid: room for shifts and rotations


@dataclass(frozen=True)
class Geometry:
    """The grid that networks are trained on.

    Attributes
    ----------
    spacing_mm : float
        Its isotropic voxel size.
    shape : (I, J, K)
        Of the synthetic images; sides are multiples that the network can halve.
    ratio : int
        Voxels of the label maps per voxel of the grid, along each axis.
    offset : three floats
        From the centre of the grid to the brain's centre of mass (voxels of the grid).
    """

    spacing_mm: float
    shape: Shape
    ratio: int
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Example:
    """A labelled scan on an isotropic grid centred on its brain.

    Attributes
    ----------
    name : str
    data : (X, Y, Z) float32
        Intensities, 0 to 1.
    mask, seen : (X, Y, Z) bool
        The brain; the scan's field of view.
    distance : (X, Y, Z) float32
        Signed distance to the brain's surface in voxels of the training grid, negative inside; of
        soft labels, 0.5 less the probability next to the surface.
    weight : float
        How often it is sampled, relative to the others.
    """

    name: str
    data: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    seen: npt.NDArray[np.bool_]
    distance: npt.NDArray[np.float32]
    weight: float = 1.0


def training_geometry(mask: npt.NDArray[np.bool_], grid: Grid, settings: Settings) -> Geometry:
    """Derive the training grid from the painted brain.

    Parameters
    ----------
    mask : (i, j, k) bool
        The painted brain on its scan's own grid.
    grid : Grid
        That grid.
    settings : Settings
    """
    low, high = brain_box(mask, grid)
    spacing = settings.conform.spacing_mm
    size = float((mask.sum() * grid.voxel_ml / ADULT_BRAIN_ML) ** (1 / 3))
    if settings.conform.scale_to_brain and not HUMAN[0] <= size <= HUMAN[1]:
        spacing *= size
    multiple = settings.network.side_multiple
    wanted = (high - low) * (1 + 2 * settings.conform.margin) / spacing
    sides = np.maximum(np.ceil(wanted / multiple - 0.25), 2).astype(int) * multiple
    i, j, k = (int(n) for n in sides)
    x, y, z = (float(v) for v in (_centre_of_mass(mask, grid) - (low + high) / 2) / spacing)
    return Geometry(spacing, (i, j, k), settings.label_map.oversampling, (x, y, z))


def make_example(
    name: str,
    volume: Volume,
    mask: npt.NDArray[np.bool_],
    geometry: Geometry,
    weight: float = 1.0,
    probability: Volume | None = None,
) -> Example:
    """Crop a labelled scan around its brain.

    Parameters
    ----------
    name : str
        For messages.
    volume : Volume
        The scan on its own grid.
    mask : (i, j, k) bool
        Its brain, on the same grid.
    geometry : Geometry
    weight : float
        See `Example`.
    probability : Volume, optional
        Of the brain, 0 to 1 and 0.5 at the mask's surface: a soft label instead of the mask.

    Raises
    ------
    UserError
        If the mask is empty or covers the whole field of view.
    """
    if not mask.any():
        raise UserError(f"The mask of {name} is empty.", "Paint it again or reject it.")
    grid = _cut_out(mask, volume.grid, geometry)
    seen = inside_view(volume.grid, grid)
    data = resample(volume, grid, fill=float(volume.data.min()))
    data = np.where(seen, normalize(data), 0).astype(np.float32)
    soft = unconform(mask.astype(np.float32), volume.grid, grid)
    brain = soft > 0.5
    if not brain.any() or not (~brain & seen).any():
        raise UserError(
            f"The mask of {name} leaves nothing inside or nothing outside the brain.",
            "Check the mask.",
        )
    spacing = (1 / geometry.ratio,) * 3
    distance = signed_distance(brain, spacing, band_mm=6.0)
    if probability is not None:  # 0.5 - distance is the fraction of a voxel that is brain
        fraction = resample(probability, grid, fill=0.0)
        distance = np.where(np.abs(distance) < SOFT_BAND, 0.5 - fraction, distance)
    return Example(name, data, brain, seen, distance, weight)


def entry_bytes(geometry: Geometry, settings: Settings, n_maps: int | None) -> int:
    """Memory of one scan in the label bank (bytes).

    Parameters
    ----------
    geometry, settings, n_maps
        As for `BankBuilder`.
    """
    n_voxels = int(np.prod(_cut_out_shape(geometry)))
    if n_maps == 0:
        return n_voxels  # its distances
    all_maps = len(settings.label_map.n_bins)
    # Distances and intensities, and each map, in bytes.
    return n_voxels * (2 + (all_maps if n_maps is None else min(n_maps, all_maps)))


def places_for(n_scans: int, geometry: Geometry, settings: Settings, n_maps: int | None) -> int:
    """How many of the scans the label bank may hold at once.

    Raises
    ------
    UserError
        If a single scan needs more memory than is free.
    """
    each, share = entry_bytes(geometry, settings, n_maps), host_share()
    if each > 2 * share:
        raise UserError(
            f"There is not enough memory for label maps: those of one scan take "
            f"{each / 2**30:.1f} GiB.",
            "Close other programs, or make the job smaller: `--set label_map.oversampling=1` or a "
            "larger voxel size, such as `--set conform.spacing_mm=5`.",
        )
    return min(n_scans, max(2, share // each))


class BankBuilder:
    """Makes the label maps of examples one by one and stacks them for synthesis.

    Only packed volumes are kept, a quarter of an example's memory, so that many scans fit.

    Parameters
    ----------
    geometry : Geometry
    settings : Settings
    rng : numpy.random.Generator
    n_maps : int, optional
        Number of label maps of each scan, with numbers of bins sampled from the settings;
        with 0, the bank holds signed distances only.
    """

    def __init__(
        self,
        geometry: Geometry,
        settings: Settings,
        rng: np.random.Generator,
        n_maps: int | None = None,
    ) -> None:
        self._ratio, self._settings = geometry.ratio, settings
        self._rng, self._n_maps = rng, n_maps
        self._labels: list[torch.Tensor] = []
        self._distances: list[torch.Tensor] = []
        self._intensities: list[torch.Tensor] = []
        self._facts: list[tuple[Any, ...]] = []

    def add(self, example: Example, rng: np.random.Generator | None = None) -> None:
        """Make the label maps of an example and pack them."""
        labels, distance, intensities, facts = self._pack(example, rng)
        self._labels.append(labels)
        self._distances.append(distance)
        self._intensities.append(intensities)
        self._facts.append(facts)

    def put(
        self, bank: LabelBank, place: int, example: Example, rng: np.random.Generator
    ) -> None:
        """Replace a scan of a bank that was built to change."""
        labels, distance, intensities, facts = self._pack(example, rng)
        bank.labels[place].copy_(labels)
        bank.distance[place].copy_(distance)
        bank.intensities[place].copy_(intensities)
        assert isinstance(bank.backgrounds, list) and isinstance(bank.twins, list)
        bank.backgrounds[place], bank.twins[place] = facts[:2]
        self._facts[place] = facts
        bank.weights[:] = self._weights()

    def build(self, *, changes: bool = False) -> LabelBank:
        """Stack the examples that were added (at least one); the builder is empty afterwards.

        Parameters
        ----------
        changes : bool
            Whether `put` will replace some.
        """
        backgrounds, twins, n_labels, _ = zip(*self._facts, strict=True)
        most = self._settings.label_map
        return LabelBank(
            labels=_stack(self._labels),
            distance=_stack(self._distances),
            intensities=_stack(self._intensities),
            backgrounds=list(backgrounds) if changes else backgrounds,
            twins=list(twins) if changes else twins,
            # Scans that are exchanged later may have more.
            n_labels=1 + most.parts * max(map(sum, most.n_bins)) if changes else max(n_labels),
            ratio=self._ratio,
            weights=self._weights(),
            changes=changes,
        )

    def _weights(self) -> npt.NDArray[np.float64]:
        drawn = np.asarray([weight for *_, weight in self._facts], float)
        return drawn / drawn.sum()

    def _pack(
        self, example: Example, rng: np.random.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, tuple[Any, ...]]:
        distance = _tiles(signed_distance_units(example.distance))
        if self._n_maps == 0:  # a single label without voxels: only distances are needed
            none = distance.new_zeros((0,) * distance.dim(), dtype=torch.uint8)
            return none[None], distance, none, ((OUTSIDE,), ((),), 1, example.weight)
        maps = _label_maps(example, self._settings, rng or self._rng, self._n_maps)
        intensities = _tiles(np.rint(255 * example.data).astype(np.uint8))
        facts = (maps.backgrounds, maps.twins, maps.n_labels, example.weight)
        return _tiles(maps.labels), distance, intensities, facts


def _tiles(volume: npt.NDArray[Any]) -> torch.Tensor:
    return tiled(torch.from_numpy(volume))


def _stack(parts: list[torch.Tensor]) -> torch.Tensor:
    """Stack tensors and release them, so that at most one kind is in memory twice."""
    stacked = torch.stack(parts)
    parts.clear()
    return stacked


def _label_maps(
    example: Example, settings: Settings, rng: np.random.Generator, n_maps: int | None
) -> LabelMaps:
    pairs = settings.label_map.n_bins
    if n_maps is not None and n_maps < len(pairs):
        pairs = tuple(pairs[i] for i in rng.choice(len(pairs), n_maps, replace=False))
    return make_label_maps(
        example.data, example.mask, example.seen, settings.label_map, rng, pairs
    )


def _cut_out(mask: npt.NDArray[np.bool_], grid: Grid, geometry: Geometry) -> Grid:
    """The fine isotropic RAS grid around a brain."""
    low, high = brain_box(mask, grid)
    fine = geometry.spacing_mm / geometry.ratio
    shape = _cut_out_shape(geometry)
    affine = np.diag([fine] * 3 + [1.0])
    affine[:3, 3] = (low + high) / 2 - (shape - 1) / 2 * fine
    i, j, k = (int(n) for n in shape)
    return Grid((i, j, k), affine)


def _cut_out_shape(geometry: Geometry) -> npt.NDArray[np.int64]:
    sides = np.asarray(geometry.shape) * geometry.ratio * ROOM
    return np.ceil(sides / TILE).astype(int) * TILE


def _centre_of_mass(mask: npt.NDArray[np.bool_], grid: Grid) -> npt.NDArray[np.float64]:
    """RAS mm, to within a voxel."""
    centre: npt.NDArray[np.float64] = _some_positions(mask, grid).mean(0)
    return centre


def brain_box(
    mask: npt.NDArray[np.bool_], grid: Grid
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Lowest and highest RAS corner of a mask's bounding box (mm), to within a voxel."""
    position = _some_positions(mask, grid)
    return position.min(0), position.max(0)


def _some_positions(mask: npt.NDArray[np.bool_], grid: Grid) -> npt.NDArray[np.float64]:
    """RAS mm of every other voxel of a mask per axis: accurate enough, 8 times faster."""
    box = bounding_box(mask)
    if box is None:
        raise ValueError("the mask is empty")
    index = 2 * np.argwhere(mask[box][::2, ::2, ::2]) + [part.start for part in box]
    return index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
