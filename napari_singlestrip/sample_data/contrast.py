"""From tissue to intensity: contrasts, texture and imaging artefacts."""

from __future__ import annotations

import numpy as np
import scipy

from napari_singlestrip.engine.arrays import FloatingArray

CONTRASTS = ("T1w", "T2w", "FLAIR", "PDw")

# Signal relative to the brightest brain tissue of each contrast. The order follows relaxation times
# at 1.5 to 3 T (Wansapura et al. 1999; Stanisz et al. 2005) for MPRAGE, turbo spin echo and
# FLAIR protocols; the levels were set by eye against clinical scans.
_SIGNAL: dict[str, tuple[float, float, float, float]] = {
    #                   T1w   T2w   FLAIR PDw
    "air": (0.00, 0.00, 0.00, 0.00),
    "skin": (0.48, 0.30, 0.45, 0.50),
    "fat": (1.25, 0.72, 0.95, 0.92),
    "muscle": (0.46, 0.16, 0.26, 0.42),
    "tongue": (0.55, 0.24, 0.33, 0.50),
    "bone": (0.07, 0.04, 0.06, 0.08),
    "marrow": (0.92, 0.45, 0.58, 0.66),
    "disc": (0.38, 0.30, 0.30, 0.45),
    "mucosa": (0.50, 0.58, 0.48, 0.66),
    "dura": (0.28, 0.12, 0.22, 0.30),
    "vessel": (0.14, 0.07, 0.12, 0.15),
    "csf": (0.16, 1.00, 0.09, 0.80),
    "ventricles": (0.15, 1.03, 0.07, 0.80),
    "cortex": (0.66, 0.50, 0.62, 0.93),
    "cerebellar_cortex": (0.68, 0.48, 0.60, 0.90),
    "white_matter": (1.00, 0.34, 0.50, 0.72),
    "deep_grey": (0.78, 0.43, 0.58, 0.85),
    "pallidum": (0.88, 0.27, 0.46, 0.72),
    "brainstem": (0.90, 0.38, 0.53, 0.77),
    "spinal_cord": (0.85, 0.38, 0.52, 0.74),
    "nerve": (0.75, 0.36, 0.48, 0.68),
    "sclera": (0.35, 0.15, 0.25, 0.35),
    "vitreous": (0.17, 1.05, 0.10, 0.78),
    "lens": (0.42, 0.14, 0.28, 0.42),
}

#: Tissue name to the id in `SampleHead.labels`; 0 is air.
TISSUES: dict[str, int] = {name: n for n, name in enumerate(_SIGNAL)}

# Relative spread of the signal within a tissue.
_TEXTURE = {"fat": 0.08, "muscle": 0.12, "tongue": 0.15, "marrow": 0.10, "skin": 0.08, "bone": 0.1}

_SCALE = 600.0  # stored value of a relative signal of 1
_PSF_FWHM_VOXELS = 0.8


def draw_signals(rng: np.random.Generator, contrast: str) -> dict[str, float]:
    """Signal of every tissue for one person: a few per cent around the typical value."""
    column = CONTRASTS.index(contrast)
    spread = {name: rng.normal(1, 0.025) for name in _SIGNAL}
    return {name: levels[column] * spread[name] for name, levels in _SIGNAL.items()}


def textured(signal: FloatingArray, labels: np.ndarray, grain: FloatingArray) -> FloatingArray:
    """Add texture: fat and muscle are streaky, the brain nearly uniform."""
    strength = np.full(len(TISSUES), 0.012, np.float32)
    for name, value in _TEXTURE.items():
        strength[TISSUES[name]] = value
    uneven: FloatingArray = signal * (1 + strength[labels] * grain)
    return uneven


def bias_field(shape: tuple[int, ...], rng: np.random.Generator, strength: float) -> FloatingArray:
    """Smooth receive field, mean near 1: a product of three slow curves and a tilt."""
    field = np.ones(shape, np.float32)
    for axis, n in enumerate(shape):
        u = np.linspace(-1, 1, n, dtype=np.float32)
        tilt, bow = rng.normal(0, strength, 2)
        curve = 1 + tilt * u + bow * (u * u - 1 / 3)
        field *= curve.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    return np.maximum(field, 0.3)


def acquire(signal: FloatingArray, rng: np.random.Generator, noise: float) -> np.ndarray:
    """Simulate the acquisition: bias, point spread, Rician noise, rounding to integers.

    Parameters
    ----------
    signal : array of float32, shape (i, j, k)
        Relative signal.
    rng : numpy.random.Generator
        Generates the bias and the noise.
    noise : float
        Standard deviation of the noise, relative to white matter on T1w.

    Returns
    -------
    array of int16, shape (i, j, k)
    """
    biased = signal * bias_field(signal.shape, rng, 0.07)
    blurred = scipy.ndimage.gaussian_filter(biased, _PSF_FWHM_VOXELS / 2.355, truncate=3)
    real = blurred + noise * rng.standard_normal(signal.shape, dtype=np.float32)
    imaginary = noise * rng.standard_normal(signal.shape, dtype=np.float32)
    magnitude = _SCALE * np.sqrt(real * real + imaginary * imaginary)
    stored: np.ndarray = np.clip(np.rint(magnitude), 0, 32767).astype(np.int16)
    return stored
