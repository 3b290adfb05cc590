"""Poor scans beside the good ones, for the accuracy experiment: a pool in which selection matters.

    python benchmarks/accuracy/poor_scans.py DATA OUT [--seed 0]
    python benchmarks/accuracy/experiment.py OUT OUT2 --arms initial ae_k tta_k random_k ...

OUT gets all scans and masks of DATA (links), and beside each scan a copy of it that was spoiled,
sub-01_anything_poor_T1w: as the scan that had to be repeated. Each is spoiled in one way of
`SPOILED`, taken in turn, with a strength that is drawn. experiment.py takes such scans into pools
only; the people that are measured are those of the good scans. Masks are those of the good scan,
cut where the scan is cut.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from experiment import POOR, in_the_experiment
from scipy import fft, ndimage

Array = np.ndarray
Spacing = tuple[float, float, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    scans = in_the_experiment(options.data)
    if not scans:
        print(f"skipped: there are no scans in {options.data}")
        return
    for n, path in enumerate(scans):
        for kind in ("scans", "masks"):
            link(options.data / kind / path.name, options.out / kind / path.name)
        how = list(SPOILED)[n % len(SPOILED)]
        name = poor_name(path.name)
        mask = nib.load(options.data / "masks" / path.name)
        rng = np.random.default_rng([options.seed, n])
        poor, its_mask = spoil(nib.load(path), mask, how, rng)
        nib.save(poor, options.out / "scans" / name)
        nib.save(its_mask, options.out / "masks" / name)
        print(f"{name}: {how}", flush=True)


def poor_name(name: str) -> str:
    """Name of a spoiled copy: the person still comes first, the contrast last."""
    before, contrast = name.rsplit("_", 1)
    return f"{before}{POOR}{contrast}"


def link(source: Path, target: Path) -> None:
    """Make a file known by another path, unless it is already."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.is_symlink():
        os.symlink(source.resolve(), target)


def spoil(
    scan: nib.Nifti1Image, mask: nib.Nifti1Image, how: str, rng: np.random.Generator
) -> tuple[nib.Nifti1Image, nib.Nifti1Image]:
    """Spoil a scan in one way; its mask follows where the field of view is cut.

    Parameters
    ----------
    scan, mask : Nifti1Image
        On the same grid.
    how : str
        One of `SPOILED`.
    rng : numpy.random.Generator
        Draws how strongly, and where.
    """
    if how == CUT:
        part = cut(np.asarray(mask.dataobj) > 0, rng)
        return scan.slicer[part], mask.slicer[part]
    data = scan.get_fdata(dtype=np.float32)
    spoiled = SPOILED[how](data, scan.header.get_zooms()[:3], rng)
    top = max(float(np.percentile(data, 99.9)), 1e-6)
    whole = np.rint(np.clip(spoiled / top, 0, 1.5) * 1000).astype(np.int16)
    return nib.Nifti1Image(whole, scan.affine), mask


def moved(data: Array, spacing: Spacing, rng: np.random.Generator) -> Array:
    """The head turns and shifts a few times while k-space is filled slab by slab."""
    axis = int(rng.integers(3))
    borders = np.sort(rng.integers(0, data.shape[axis], 4))
    mixed = fft.fftn(data)
    for start, stop in zip(borders, [*borders[1:], data.shape[axis]], strict=True):
        posed = fft.fftn(_posed(data, spacing, rng.normal(0, 5, 3), rng.normal(0, 5, 3)))
        lines = (slice(None),) * axis + (slice(start, stop),)
        mixed[lines] = posed[lines]
    return np.abs(fft.ifftn(mixed)).astype(np.float32)


def ghosts(data: Array, spacing: Spacing, rng: np.random.Generator) -> Array:
    """Every few lines of k-space are weaker, as with each heartbeat: faint copies of the head."""
    axis = int(rng.integers(3))
    lines = fft.fftfreq(data.shape[axis], 1 / data.shape[axis])
    weight = 1 - rng.uniform(0.6, 0.9) * (lines.astype(int) % int(rng.integers(2, 5)) == 0)
    weight[np.abs(lines) < 2] = 1  # the mean stays
    shape = [1, 1, 1]
    shape[axis] = -1
    return np.abs(fft.ifftn(fft.fftn(data) * weight.reshape(shape))).astype(np.float32)


def low_field(data: Array, spacing: Spacing, rng: np.random.Generator) -> Array:
    """Large voxels, and noise nearly as strong as the signal."""
    sigma = [rng.uniform(4, 6) / 2.355 / step for step in spacing]
    smooth = ndimage.gaussian_filter(data, sigma)
    strength = rng.uniform(0.15, 0.3) * float(np.percentile(data, 99))
    # Noise of large voxels is as coarse as they are.
    noise = [ndimage.gaussian_filter(rng.standard_normal(data.shape), sigma) for _ in range(2)]
    real, imaginary = (strength * part / part.std() for part in noise)
    return np.hypot(smooth + real, imaginary).astype(np.float32)


def surface_coil(data: Array, spacing: Spacing, rng: np.random.Generator) -> Array:
    """Bright beside the coil, dark on the other side of the head."""
    extent = np.array(data.shape) * spacing
    away = rng.standard_normal(3)
    centre = extent / 2 + away / np.linalg.norm(away) * extent / 2
    axes = [np.arange(n) * step - c for n, step, c in
            zip(data.shape, spacing, centre, strict=True)]
    squared = sum(a**2 for a in np.ix_(*axes))
    reach = rng.uniform(0.35, 0.5) * float(extent.mean())
    return (data * (0.03 + np.exp(-squared / (2 * reach**2)))).astype(np.float32)


def folded(data: Array, spacing: Spacing, rng: np.random.Generator) -> Array:
    """The field of view is too small: what lies beyond one side shows up at the other."""
    axis = int(rng.integers(3))
    n = data.shape[axis]
    kept = round(rng.uniform(0.55, 0.7) * n)
    first = (n - kept) // 2
    aliased = np.zeros_like(data)
    here = np.moveaxis(aliased, axis, 0)
    for i, layer in enumerate(np.moveaxis(data, axis, 0)):
        here[first + (i - first) % kept] += layer
    return aliased


def cut(mask: Array, rng: np.random.Generator) -> tuple[slice, slice, slice]:
    """Leave out a quarter to a half of the brain's extent, at one side of one axis."""
    axis = int(rng.integers(3))
    found = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
    gone = round(rng.uniform(0.25, 0.5) * (found[-1] - found[0]))
    part = [slice(None)] * 3
    part[axis] = slice(found[0] + gone, None) if rng.random() < 0.5 else slice(0, found[-1] - gone)
    return part[0], part[1], part[2]


def _posed(data: Array, spacing: Spacing, degrees: Array, shift_mm: Array) -> Array:
    """The head turned about the middle of its grid, and shifted."""
    turn = np.eye(3)
    for (a, b), angle in zip(((1, 2), (0, 2), (0, 1)), np.radians(degrees), strict=True):
        one = np.eye(3)
        one[a, a] = one[b, b] = np.cos(angle)
        one[a, b], one[b, a] = -np.sin(angle), np.sin(angle)
        turn = turn @ one
    matrix = turn * np.asarray(spacing) / np.asarray(spacing)[:, None]
    middle = (np.array(data.shape) - 1) / 2
    offset = middle - matrix @ middle + shift_mm / np.asarray(spacing)
    return ndimage.affine_transform(data, matrix, offset, order=1)


CUT = "cut"
SPOILED: dict[str, Callable[[Array, Spacing, np.random.Generator], Array] | None] = {
    "moved": moved, "ghosts": ghosts, "low field": low_field, "surface coil": surface_coil,
    "folded": folded, CUT: None,
}


if __name__ == "__main__":
    main()
