"""Individual anatomy: parameters that are sampled first and applied later."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_singlestrip.sample_data.shapes import Noise, Space

# The anatomy is defined in MNI152 coordinates, whose brain is large: about 1.9 litres against a
# mean of about 1.3 for adults (Allen et al. 2002, range roughly 1.0 to 1.7).
_MNI_TO_ADULT = 0.905
_N_WAVES = 4


@dataclass(frozen=True)
class Person:
    """Parameters of one person; lengths in mm of the template, which is scaled by ``size``.

    Parameters
    ----------
    size : tuple of float
        Scale of the template along x, y, z.
    angles : tuple of float
        Pose of the head about x, y, z (radians; within 12 degrees).
    shift : tuple of float
        Position of the head in the scanner (mm).
    waves : array, shape (3, 4, 5)
        Smooth warp: for each direction four plane waves (wave vector in 1/mm, phase, amplitude).
    """

    size: tuple[float, float, float]
    angles: tuple[float, float, float]
    shift: tuple[float, float, float]
    waves: npt.NDArray[np.float64]
    skull: float
    fat: float
    skin: float
    csf_gap: float
    ventricles: float
    sulcus_width: float
    sulcus_depth: float
    cortex: float
    fold_length: float
    nose: float
    chin: float
    sinuses: float
    neck: float

    def to_head(self, affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Voxel to template coordinates, for a grid whose voxel to scanner map is ``affine``."""
        pose = np.eye(4)
        pose[:3, :3] = rotation(self.angles) @ np.diag(self.size)
        pose[:3, 3] = self.shift
        return np.linalg.inv(pose) @ affine

    def space(self, shape: tuple[int, int, int], affine: npt.NDArray[np.float64]) -> Space:
        """Template coordinates of every voxel of a grid, smooth warp included."""
        to_head = self.to_head(affine)
        axes = [np.arange(n, dtype=np.float64) for n in shape]
        points = []
        for row, waves in zip(to_head[:3], self.waves, strict=True):
            i, j, k = (step * axis for step, axis in zip(row[:3], axes, strict=True))
            linear = (i[:, None, None] + j[:, None] + k + row[3]).astype(np.float32)
            for wave in waves:
                linear += _plane_wave(wave, to_head, axes)
            points.append(linear)
        return Space(points[0], points[1], points[2], to_head)


def _plane_wave(
    wave: npt.NDArray[np.float64],
    to_head: npt.NDArray[np.float64],
    axes: list[npt.NDArray[np.float64]],
) -> npt.NDArray[np.float32]:
    """One sine over the grid, as an outer product: a plane wave is separable, hence cheap."""
    vector, phase, amplitude = wave[:3], wave[3], wave[4]
    along = vector @ to_head[:3, :3]
    i, j, k = (
        np.exp(1j * a * axis).astype(np.complex64) for a, axis in zip(along, axes, strict=True)
    )
    start = np.complex64(amplitude * np.exp(1j * (phase + vector @ to_head[:3, 3])))
    wave_on_grid: npt.NDArray[np.float32] = ((start * i[:, None] * j)[:, :, None] * k).imag
    return wave_on_grid


def rotation(angles: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """Rotation matrix for angles (radians) about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[b, a] = np.sin(angle)
        turn[a, b] = -turn[b, a]
        matrix = turn @ matrix
    return matrix


def _draw_waves(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    waves = np.empty((3, _N_WAVES, 5))
    direction = rng.standard_normal((3, _N_WAVES, 3))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    length = rng.uniform(80, 170, (3, _N_WAVES, 1))
    waves[..., :3] = 2 * np.pi / length * direction
    waves[..., 3] = rng.uniform(0, 2 * np.pi, (3, _N_WAVES))
    # Amplitude grows with wavelength: the slope, and with it every thickness, stays near true.
    waves[..., 4] = length[..., 0] * rng.uniform(0.003, 0.013, (3, _N_WAVES))
    return waves


def draw_person(rng: np.random.Generator) -> Person:
    """Sample one adult.

    Lengths are of the template; once scaled to adult size the skull is about 5 to 8 mm thick and
    the cortex 2.3 to 2.8 mm, within the normal range (Lynnerup 2001; Fischl and Dale 2000).
    """
    overall = _MNI_TO_ADULT * np.clip(rng.normal(1, 0.022), 0.955, 1.045)
    width, length, height = overall * np.clip(rng.normal(1, 0.022, 3), 0.955, 1.045)
    pitch, roll, yaw = np.radians(np.clip(rng.normal(0, (5, 3, 3.5)), -12, 12))
    shift = rng.uniform(-4, 4, 3)
    return Person(
        size=(float(width), float(length), float(height)),
        angles=(float(pitch), float(roll), float(yaw)),
        shift=(float(shift[0]), float(shift[1]), float(shift[2])),
        waves=_draw_waves(rng),
        skull=float(rng.uniform(5.5, 9.0)),
        fat=float(rng.uniform(2.2, 5.2)),
        skin=float(rng.uniform(1.5, 2.2)),
        csf_gap=float(rng.uniform(1.0, 2.3)),
        ventricles=float(np.clip(rng.normal(0.4, 1.1), -1.2, 3.0)),
        sulcus_width=float(rng.uniform(0.45, 0.95)),
        sulcus_depth=float(rng.uniform(16.5, 20.5)),
        cortex=float(rng.uniform(2.5, 3.1)),
        fold_length=float(rng.uniform(18.5, 22.5)),
        nose=float(rng.uniform(0.0, 9.0)),
        chin=float(rng.uniform(-4.0, 5.0)),
        sinuses=float(rng.uniform(-2.5, 1.5)),
        neck=float(rng.uniform(-5.0, 5.0)),
    )


@dataclass(frozen=True)
class Patterns:
    """The random fields of one person, fixed to the head independent of the grid."""

    folds: Noise
    dimples: Noise
    depth: Noise
    wobble: Noise
    tissue: Noise
    grain: Noise


def draw_patterns(rng: np.random.Generator, person: Person) -> Patterns:
    """Sample the folding of the cortex and the texture of soft tissue."""
    return Patterns(
        folds=Noise.draw(rng, person.fold_length),
        dimples=Noise.draw(rng, 0.8 * person.fold_length),
        depth=Noise.draw(rng, 45.0),
        wobble=Noise.draw(rng, 34.0),
        tissue=Noise.draw(rng, 20.0),
        grain=Noise.draw(rng, 12.0),
    )
