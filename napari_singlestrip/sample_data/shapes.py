"""Signed distances (mm, negative inside) of simple bodies, evaluated on a grid of points.

Every body is symmetric about the sagittal plane x = 0: it is defined once for the right side, and
the person's smooth warp makes the sides differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import scipy

from napari_singlestrip.engine.arrays import FloatingArray

Box = tuple[slice, slice, slice]
Triple = tuple[float, float, float]

WHOLE: Box = (slice(None), slice(None), slice(None))
_LATTICE_SIZE = 72  # nodes per side of a periodic noise lattice: 216 mm at the step below
_LATTICE_STEP_MM = 3.0
_BANDWIDTH = 0.28  # of the noise, relative to its central frequency


@dataclass(frozen=True)
class Space:
    """The points of a grid in head coordinates (mm; x right, y front, z up).

    Parameters
    ----------
    x, y, z : array of float32, shape (i, j, k)
        Coordinates of the voxel centres.
    to_head : array of float, shape (4, 4)
        Voxel index to head coordinates, without the person's smooth warp.
    """

    x: FloatingArray
    y: FloatingArray
    z: FloatingArray
    to_head: npt.NDArray[np.float64]

    @property
    def side(self) -> FloatingArray:
        """Distance from the sagittal plane (mm)."""
        return np.abs(self.x)

    @property
    def steps(self) -> npt.NDArray[np.float64]:
        """Length (mm, head coordinates) of one step along each of the three grid axes."""
        steps: npt.NDArray[np.float64] = np.linalg.norm(self.to_head[:3, :3], axis=0)
        return steps

    def box(self, low: Triple, high: Triple, margin: float = 8.0) -> Box:
        """Index ranges that hold the body between two corners, widened for the smooth warp."""
        corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1)
        inverse = np.linalg.inv(self.to_head)
        index = inverse[:3, :3] @ corners + inverse[:3, 3:]
        pad = margin / self.steps
        first = np.floor(index.min(axis=1) - pad).astype(int)
        last = np.ceil(index.max(axis=1) + pad).astype(int) + 1
        shape = np.array(self.x.shape)
        # At least two points along each axis, so that differences exist on a coarse grid.
        first = np.clip(first, 0, shape - 2)
        last = np.clip(last, first + 2, shape)
        i, j, k = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
        return i, j, k

    def crop(self, box: Box) -> Space:
        """The same points inside a box."""
        to_head = self.to_head.copy()
        start = np.array([s.start or 0 for s in box])
        to_head[:3, 3] += to_head[:3, :3] @ start
        return Space(self.x[box], self.y[box], self.z[box], to_head)

    def slope(self, field: FloatingArray) -> FloatingArray:
        """Length of the gradient of a field (per mm)."""
        # Python floats, so that the field stays in single precision.
        parts: list[FloatingArray] = list(np.gradient(field, *self.steps.tolist()))
        return length(*parts)

    def gradient(self, field: FloatingArray) -> tuple[FloatingArray, FloatingArray, FloatingArray]:
        """Gradient of a field along head x, y, z (per mm)."""
        parts = np.stack(list(np.gradient(field)))
        turn = np.linalg.inv(self.to_head[:3, :3]).T.astype(np.float32)
        gx, gy, gz = np.tensordot(turn, parts, axes=1)
        return gx, gy, gz


def length(x: FloatingArray, y: FloatingArray, z: FloatingArray) -> FloatingArray:
    """Euclidean length of vectors given by their parts."""
    out: FloatingArray = np.sqrt(x * x + y * y + z * z)
    return out


class Body(Protocol):
    """Anything with a signed distance and a bounding box."""

    def distance(self, space: Space) -> FloatingArray:
        """Signed distance (mm), negative inside."""

    def box(self, space: Space) -> Box:
        """Bounding box in the space."""


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid and its mirror image; ``centre`` and ``radii`` in mm."""

    centre: Triple
    radii: Triple

    def distance(self, space: Space) -> FloatingArray:
        """First-order distance; exact on the surface, good to about a tenth nearby."""
        coordinates = (space.side, space.y, space.z)
        unit = [(p - c) / r for p, c, r in zip(coordinates, self.centre, self.radii, strict=True)]
        near = length(*unit)
        slope = length(*(u / r for u, r in zip(unit, self.radii, strict=True)))
        distance: FloatingArray = near * (near - 1) / np.maximum(slope, 1e-4)
        return distance

    def box(self, space: Space) -> Box:
        """Bounding box in the space, including its mirror image."""
        (cx, cy, cz), (rx, ry, rz) = self.centre, self.radii
        return space.box((-cx - rx, cy - ry, cz - rz), (cx + rx, cy + ry, cz + rz))


@dataclass(frozen=True)
class Tube:
    """A chain of points with a radius at each, and its mirror image (mm)."""

    points: Sequence[Triple]
    radii: Sequence[float]

    def distance(self, space: Space) -> FloatingArray:
        """Distance to the nearest of the tapered links."""
        best = self._link(space, 0)
        for n in range(1, len(self.points) - 1):
            np.minimum(best, self._link(space, n), out=best)
        return best

    def links(self) -> list[Tube]:
        """The tube split into segments of two points, each with a smaller box."""
        pairs = range(len(self.points) - 1)
        return [Tube(self.points[n : n + 2], self.radii[n : n + 2]) for n in pairs]

    def _link(self, space: Space, n: int) -> FloatingArray:
        start = np.array(self.points[n], np.float32)
        along = np.array(self.points[n + 1], np.float32) - start
        px, py, pz = space.side - start[0], space.y - start[1], space.z - start[2]
        t = (px * along[0] + py * along[1] + pz * along[2]) / np.float32(along @ along)
        t = np.clip(t, 0, 1)
        px, py, pz = px - t * along[0], py - t * along[1], pz - t * along[2]
        radius = self.radii[n] + t * np.float32(self.radii[n + 1] - self.radii[n])
        distance: FloatingArray = length(px, py, pz) - radius
        return distance

    def box(self, space: Space) -> Box:
        """Bounding box in the space, including its mirror image."""
        points, radius = np.array(self.points), max(self.radii)
        low, high = points.min(axis=0) - radius, points.max(axis=0) + radius
        return space.box((-high[0], low[1], low[2]), (high[0], high[1], high[2]))


def smooth_min(a: FloatingArray, b: FloatingArray, k: float) -> FloatingArray:
    """Union of two bodies with a seam rounded over ``k`` mm (polynomial; Quilez 2013)."""
    h = np.maximum(np.float32(k) - np.abs(a - b), 0)
    rounded: FloatingArray = np.minimum(a, b) - h * h / np.float32(4 * k)
    return rounded


def smooth_max(a: FloatingArray, b: FloatingArray, k: float) -> FloatingArray:
    """Intersection of two bodies with a rounded edge."""
    return -smooth_min(-a, -b, k)


@dataclass(frozen=True)
class Noise:
    """A periodic isotropic random field of unit variance."""

    lattice: FloatingArray

    @classmethod
    def draw(cls, rng: np.random.Generator, wavelength: float) -> Noise:
        """Band-pass noise around ``wavelength`` mm: white noise through a soft spectral shell."""
        white = rng.standard_normal((_LATTICE_SIZE,) * 3, dtype=np.float32)
        full = scipy.fft.fftfreq(_LATTICE_SIZE, _LATTICE_STEP_MM).astype(np.float32)
        half = scipy.fft.rfftfreq(_LATTICE_SIZE, _LATTICE_STEP_MM).astype(np.float32)
        waves = np.sqrt(full[:, None, None] ** 2 + full[:, None] ** 2 + half**2)
        band = np.exp(-(((waves * wavelength - 1) / _BANDWIDTH) ** 2))
        lattice = scipy.fft.irfftn(scipy.fft.rfftn(white) * band, white.shape)
        return cls(lattice / lattice.std())

    def __call__(self, x: FloatingArray, y: FloatingArray, z: FloatingArray) -> FloatingArray:
        """Value of the field at points (mm)."""
        index = np.stack([x, y, z]) / np.float32(_LATTICE_STEP_MM)
        out = np.empty(x.shape, np.float32)
        scipy.ndimage.map_coordinates(self.lattice, index, output=out, order=1, mode="grid-wrap")
        return out

    def where(self, chosen: npt.NDArray[np.bool_], space: Space) -> FloatingArray:
        """Value at the chosen points and 0 elsewhere, since evaluation is slow."""
        out = np.zeros(chosen.shape, np.float32)
        out[chosen] = self(space.x[chosen], space.y[chosen], space.z[chosen])
        return out
