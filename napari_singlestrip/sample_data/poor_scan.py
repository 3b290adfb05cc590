"""Poor scans, as in every real dataset: simulated faults of the acquisition.

The exact mask is that of the head at rest; if the field of view is cut, so is the mask.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy

from napari_singlestrip.engine.arrays import FloatingArray
from napari_singlestrip.sample_data.contrast import bias_field
from napari_singlestrip.sample_data.person import rotation

Rng = np.random.Generator
Affine = npt.NDArray[np.float64]
Spacing = npt.NDArray[np.float64]
Part = tuple[slice, slice, slice]

_POSES = 4  # of a moving head during the scan, one of them at rest
_MOVE_DEG, _MOVE_MM = 12.0, 14.0
_LINES_AT_REST = 1
_LOW_FIELD_VOXEL_MM = (5.0, 7.0)
_LOW_FIELD_NOISE = (0.1, 0.18)  # of the brightest signal
_LOW_FIELD_BIAS = 0.3
_CUT = (0.3, 0.45)  # of the brain's extent


def cut_field_of_view(mask: np.ndarray, rng: Rng) -> Part:
    """Return a field of view that leaves a quarter or more of the brain outside."""
    axis = int(rng.integers(3))
    found = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
    gone = round(rng.uniform(*_CUT) * (found[-1] - found[0]))
    part = [slice(None)] * 3
    part[axis] = slice(found[0] + gone, None) if rng.random() < 0.5 else slice(0, found[-1] - gone)
    return part[0], part[1], part[2]


def spoil(data: np.ndarray, affine: Affine, fault: str, rng: Rng) -> np.ndarray:
    """Simulate head motion or a low field strength.

    Parameters
    ----------
    data : array, shape (i, j, k)
        The good scan.
    affine : array of float, shape (4, 4)
        Voxel index to RAS millimetres.
    fault : {"moved", "lowfield"}
    rng : numpy.random.Generator
        Samples strength and location.

    Returns
    -------
    array of int16, shape (i, j, k)
    """
    spacing = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    spoiled = _SPOILED[fault](data.astype(np.float32), spacing, rng)
    stored: np.ndarray = np.clip(np.rint(spoiled), 0, 32767).astype(np.int16)
    return stored


def moved(data: FloatingArray, spacing: Spacing, rng: Rng) -> FloatingArray:
    """Rotate the head during the acquisition of k-space: ghosts and blurred edges.

    The central lines, which determine the position, are of the head at rest.
    """
    axis = int(rng.integers(3))
    spectrum = np.moveaxis(scipy.fft.fftn(data), axis, 0)
    lines = np.abs(scipy.fft.fftfreq(data.shape[axis], 1 / data.shape[axis]))
    # 0 is at rest
    pose = np.where(lines > _LINES_AT_REST, rng.integers(0, _POSES, lines.shape), 0)
    for n in range(1, _POSES):
        angles, shift = np.radians(rng.normal(0, _MOVE_DEG, 3)), rng.normal(0, _MOVE_MM, 3)
        posed = np.moveaxis(scipy.fft.fftn(_posed(data, spacing, angles, shift)), axis, 0)
        spectrum[pose == n] = posed[pose == n]
    return np.abs(scipy.fft.ifftn(np.moveaxis(spectrum, 0, axis))).astype(np.float32)


def low_field(data: FloatingArray, spacing: Spacing, rng: Rng) -> FloatingArray:
    """Simulate large voxels, strong noise, and an uneven coil."""
    sigma = rng.uniform(*_LOW_FIELD_VOXEL_MM) / 2.355 / spacing
    smooth = scipy.ndimage.gaussian_filter(data, sigma)
    strength = rng.uniform(*_LOW_FIELD_NOISE) * float(np.percentile(data, 99))
    # The noise is as coarse as the large voxels.
    noise = [scipy.ndimage.gaussian_filter(rng.standard_normal(data.shape), sigma)
             for _ in range(2)]
    real, imaginary = (strength * part / part.std() for part in noise)
    uneven = smooth * bias_field(data.shape, rng, _LOW_FIELD_BIAS)
    return np.hypot(uneven + real, imaginary).astype(np.float32)


def _posed(
    data: FloatingArray, spacing: Spacing, angles: FloatingArray, shift_mm: FloatingArray
) -> FloatingArray:
    """Rotate a head about the centre of its grid, and shift it."""
    turn = rotation((float(angles[0]), float(angles[1]), float(angles[2])))
    matrix = turn * spacing / spacing[:, None]
    middle = (np.array(data.shape) - 1) / 2
    offset = middle - matrix @ middle + shift_mm / spacing
    posed: FloatingArray = scipy.ndimage.affine_transform(data, matrix, offset, order=1)
    return posed


_SPOILED: dict[str, Callable[[FloatingArray, Spacing, Rng], FloatingArray]] = {
    "moved": moved, "lowfield": low_field,
}
#: Possible faults, by the word in the name of the scan; in the order of the sample heads.
FAULTS = ("moved", "cut", "lowfield")
