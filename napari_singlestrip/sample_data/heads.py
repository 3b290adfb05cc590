"""Sample heads: simulated scans with exact brain masks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import scipy
from nibabel import orientations

from napari_singlestrip.engine.arrays import FloatingArray
from napari_singlestrip.files import portable
from napari_singlestrip.sample_data.brain import Layer, hulls
from napari_singlestrip.sample_data.contrast import (
    CONTRASTS,
    TISSUES,
    acquire,
    draw_signals,
    textured,
)
from napari_singlestrip.sample_data.head import head_layers
from napari_singlestrip.sample_data.person import draw_patterns, draw_person, rotation
from napari_singlestrip.sample_data.poor_scan import FAULTS, cut_field_of_view, spoil
from napari_singlestrip.sample_data.shapes import Space

Affine = npt.NDArray[np.float64]
Shape = tuple[int, int, int]
Angles = tuple[float, float, float]

_FIELD_OF_VIEW_MM = np.array([192.0, 240.0, 240.0])
_FIELD_CENTRE_MM = np.array([0.0, 0.0, -20.0])
_THICK_MM = 3.0  # voxels at least this much longer than their shortest side are thick slices
_CLEAN_NOISE = 0.012
_TYPICAL_NOISE = 0.025
_PERIOD, _POOR = 7, (3, 6)  # in each seven heads these two are poor scans, in every contrast
_ORIENTATIONS = ("LPS", "LAS", "RAS", "PIR", "PSR", "RSA", "LIP")


@dataclass(frozen=True)
class SampleHead:
    """One scan of one simulated person.

    Parameters
    ----------
    name : str
        For example ``sample-03_T2w``.
    data : array of int16, shape (i, j, k)
        Intensities (arbitrary units, 0 or more) in stored orientation.
    mask : array of bool, shape (i, j, k)
        The brain down to the foramen magnum: cortex, white matter, deep grey matter, ventricles,
        fluid in sulci and fissures, cerebellum, brainstem. One body without holes.
    affine : array of float, shape (4, 4)
        Voxel index to RAS millimetres.
    labels : array of uint8, shape (i, j, k)
        Tissue at the voxel centre, see `TISSUES`.
    """

    name: str
    data: np.ndarray
    mask: np.ndarray
    affine: np.ndarray
    labels: np.ndarray


def render_head(
    seed: int,
    contrast: str = "T1w",
    spacing_mm: float | tuple[float, float, float] = 2.0,
    orientation: str = "RAS",
    noise: float = _TYPICAL_NOISE,
    oblique_deg: float = 0.0,
) -> SampleHead:
    """Simulate a scan of one person.

    Parameters
    ----------
    seed : int
        The person, 0 or more. The same seed gives the same anatomy in every contrast, spacing and
        orientation; the same arguments give the same bits.
    contrast : str
        One of `CONTRASTS`.
    spacing_mm : float or tuple of float
        Voxel size (mm) along the stored axes, for example ``(1, 1, 5)`` for thick slices.
    orientation : str
        Orientation of the stored axes, for example ``"LPS"``.
    noise : float
        Standard deviation of the noise, relative to white matter on T1w; 0 or more.
    oblique_deg : float
        Rotation of the grid about the left-right and the up-down axis (degrees).

    Returns
    -------
    SampleHead
        Field of view 192 x 240 x 240 mm (right, front, up).

    Raises
    ------
    ValueError
        If the contrast or the orientation is unknown, or a voxel size is not positive.
    """
    spacing = _ras_spacing(spacing_mm, orientation)
    if contrast not in CONTRASTS:
        raise ValueError(f"contrast {contrast!r} is not one of {', '.join(CONTRASTS)}")
    turn = float(np.radians(oblique_deg))
    shape, affine = _grid(spacing, (turn, 0.0, 0.5 * turn))
    signal, labels, mask = _scan(seed, contrast, shape, affine)
    data = acquire(signal, np.random.default_rng([seed, 3, CONTRASTS.index(contrast)]), noise)
    to_stored = orientations.ornt_transform(
        orientations.axcodes2ornt("RAS"), orientations.axcodes2ornt(orientation)
    )
    data, labels, mask = (
        np.ascontiguousarray(orientations.apply_orientation(v, to_stored))
        for v in (data, labels, mask)
    )
    affine = affine @ orientations.inv_ornt_aff(to_stored, shape)
    return SampleHead(f"sample-{seed}_{contrast}", data, mask, affine, labels)


def _ras_spacing(
    spacing_mm: float | tuple[float, float, float], orientation: str
) -> npt.NDArray[np.float64]:
    """Voxel sizes along right, front, up for sizes given along the stored axes."""
    if sorted("RAS"["RASLPI".index(c) % 3] for c in orientation if c in "RASLPI") != list("ARS"):
        raise ValueError(f"orientation {orientation!r} is not three letters such as RAS or PIR")
    spacing = np.empty(3)
    axes = orientations.axcodes2ornt(orientation)[:, 0].astype(int)
    spacing[axes] = spacing_mm
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise ValueError(f"spacing_mm {spacing_mm!r} must be positive")
    return spacing


def _grid(spacing: npt.NDArray[np.float64], angles: Angles) -> tuple[Shape, Affine]:
    """Shape and affine of the field of view, axes along right, front, up."""
    i, j, k = (int(n) for n in np.ceil(_FIELD_OF_VIEW_MM / spacing))
    affine = np.eye(4)
    affine[:3, :3] = rotation(angles) @ np.diag(spacing)
    affine[:3, 3] = _FIELD_CENTRE_MM - affine[:3, :3] @ ((np.array([i, j, k]) - 1) / 2)
    return (i, j, k), affine


def _split(shape: Shape, affine: Affine) -> tuple[npt.NDArray[np.int_], Shape, Affine]:
    """Split thick voxels into an odd number of parts: a slice is the mean of its parts."""
    steps = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    ratio = np.where(steps - steps.min() > _THICK_MM - 0.5, steps / steps.min(), 1.0)
    parts = 2 * np.ceil((ratio - 1) / 2 - 1e-6).astype(int) + 1
    finer = np.diag([*(1 / parts), 1.0])
    finer[:3, 3] = -(parts - 1) / (2 * parts)
    i, j, k = (int(n) for n in np.array(shape) * parts)
    return parts, (i, j, k), affine @ finer


def _scan(
    seed: int, contrast: str, shape: Shape, affine: Affine
) -> tuple[FloatingArray, np.ndarray, np.ndarray]:
    """Signal before noise, labels and mask of one person on a grid."""
    person = draw_person(np.random.default_rng([seed, 0]))
    patterns = draw_patterns(np.random.default_rng([seed, 1]), person)
    levels = draw_signals(np.random.default_rng([seed, 2, CONTRASTS.index(contrast)]), contrast)
    parts, fine_shape, fine_affine = _split(shape, affine)
    space = person.space(fine_shape, fine_affine)
    surfaces = hulls(space)
    signal, labels = _paint(space, head_layers(space, surfaces, person, patterns), levels)
    signal = textured(signal, labels, patterns.grain.where(labels > 0, space))
    blocks = signal.reshape([n for pair in zip(shape, parts, strict=True) for n in pair])
    middle = tuple(slice(n // 2, None, n) for n in parts)
    return blocks.mean(axis=(1, 3, 5)), labels[middle], _one_body(surfaces.brain[middle] < 0)


def _paint(
    space: Space, layers: Iterator[Layer], levels: dict[str, float]
) -> tuple[FloatingArray, np.ndarray]:
    """Paint tissues over each other, with partial volumes at borders."""
    signal = np.zeros(space.x.shape, np.float32)
    labels = np.zeros(space.x.shape, np.uint8)
    per_voxel = np.float32(1 / space.steps.mean())
    for layer in layers:
        share = np.clip(np.float32(0.5) - layer.distance * per_voxel, 0, 1)
        below = signal[layer.box]
        below += share * (np.float32(levels[layer.tissue]) - below)
        labels[layer.box][layer.distance < 0] = TISSUES[layer.tissue]
    return signal, labels


def _one_body(mask: np.ndarray) -> np.ndarray:
    """The largest connected component, without holes."""
    parts, n = scipy.ndimage.label(mask)
    if n > 1:
        mask = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
    filled: np.ndarray = scipy.ndimage.binary_fill_holes(mask)
    return filled


def sample_heads(n: int, seed: int = 0, spacing_mm: float = 2.0) -> Iterator[SampleHead]:
    """Simulate a clinical dataset of ``n`` people: mixed contrasts, orientations and slices.

    Parameters
    ----------
    n : int
        Number of heads.
    seed : int
        Different seeds give different people.
    spacing_mm : float
        Voxel size (mm); about a third of the heads have slices 3 mm thicker than that.

    Yields
    ------
    SampleHead
        The first is always a clean T1w with isotropic voxels in RAS: the one to be painted. About
        a quarter are poor scans, and their names state the fault (see `fault_of`).
    """
    for index in range(n):
        yield sample_head(index, seed, spacing_mm)


def sample_head(index: int, seed: int = 0, spacing_mm: float = 2.0) -> SampleHead:
    """Simulate the scan of `sample_heads` at `index` (from 0)."""
    person = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
    contrast = CONTRASTS[index % len(CONTRASTS)]
    if index == 0:
        head = render_head(person, contrast, spacing_mm, noise=_CLEAN_NOISE)
    else:
        head = _everyday_scan(person, contrast, spacing_mm, thick=index % 3 == 2)
    if fault := fault_of(index):
        head = _poor(head, fault, np.random.default_rng([person, 5]))
    return replace(head, name=sample_name(index))


def sample_name(index: int) -> str:
    """Name of the scan of `sample_head` at `index`.

    Such as ``sample-03_FLAIR``, or ``sample-04_moved_PDw`` for a poor scan.
    """
    fault, contrast = fault_of(index), CONTRASTS[index % len(CONTRASTS)]
    return "_".join(filter(None, (f"sample-{index + 1:02d}", fault, contrast)))


def fault_of(index: int) -> str:
    """Return the fault of the scan at an index: one of `FAULTS`, or "" for a good scan."""
    turn, place = divmod(index, _PERIOD)
    if place not in _POOR:
        return ""
    return FAULTS[(len(_POOR) * turn + _POOR.index(place)) % len(FAULTS)]


def _poor(head: SampleHead, fault: str, rng: np.random.Generator) -> SampleHead:
    """Degrade a scan; the mask stays exact."""
    if fault != "cut":
        return replace(head, data=spoil(head.data, head.affine, fault, rng))
    part = cut_field_of_view(head.mask, rng)
    data, mask, labels = (
        np.ascontiguousarray(v[part]) for v in (head.data, head.mask, head.labels)
    )
    affine = head.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [along.start or 0 for along in part]
    return replace(head, data=data, mask=mask, labels=labels, affine=affine)


def _everyday_scan(person: int, contrast: str, spacing_mm: float, thick: bool) -> SampleHead:
    """One scan with random orientation, noise and tilt; axial slices if ``thick``."""
    rng = np.random.default_rng([person, 4])
    orientation = str(rng.choice(_ORIENTATIONS))
    sizes = [
        spacing_mm + (_THICK_MM if thick and letter in "SI" else 0.0) for letter in orientation
    ]
    noise, tilt = rng.uniform(0.015, 0.04), rng.choice([0.0, rng.uniform(-8, 8)])
    spacing = (sizes[0], sizes[1], sizes[2])
    return render_head(person, contrast, spacing, orientation, float(noise), float(tilt))


def write_sample_heads(
    folder: Path, n: int, seed: int = 0, spacing_mm: float = 2.0
) -> tuple[list[Path], list[Path]]:
    """Write sample heads as NIfTI files.

    Parameters
    ----------
    folder : Path
        Created if missing; receives ``scans/<name>.nii.gz`` and ``masks/<name>.nii.gz`` (0 and 1).
    n, seed, spacing_mm
        As for `sample_heads`.

    Returns
    -------
    scans, masks : list of Path
        In the same order. Each file is written atomically.
    """
    scans, masks = [], []
    for head in sample_heads(n, seed, spacing_mm):
        scan, mask = write_sample_head(folder, head)
        scans.append(scan)
        masks.append(mask)
    return scans, masks


def write_sample_head(folder: Path, head: SampleHead) -> tuple[Path, Path]:
    """Write one sample head; return the paths of its scan and its mask, as `write_sample_heads`."""
    mask_path, scan_path = (folder / part / f"{head.name}.nii.gz" for part in ("masks", "scans"))
    # The scan last: where there is a scan, there is its mask.
    mask = _write_nifti(mask_path, head.mask.astype(np.uint8), head.affine)
    return _write_nifti(scan_path, head.data, head.affine), mask


def _write_nifti(path: Path, volume: np.ndarray, affine: Affine) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(volume, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm")
    # Not `tempfile`, whose files are readable by their owner only.
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        nib.save(image, temporary)
        portable.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
