"""Heads with exact masks, drawn from whole-head label maps, for the accuracy experiment.

    python benchmarks/accuracy/label_map_heads.py LABEL_MAPS OUT [--seed 0]
    python benchmarks/accuracy/experiment.py OUT OUT2 --painted head-01_labels_T1w

LABEL_MAPS holds label maps with FreeSurfer's numbers, NAME.nii.gz: 1 to 499 are the brain, 500 and
more the rest of the head. Each is drawn as T1w, T2w, FLAIR and PDw into OUT/scans, its mask into
OUT/masks. Signals, texture, bias field, point spread and noise are those of the sample heads;
grids, tilt, orientation and, in a third of the scans, slices of 3 to 6 mm are drawn. The first is
a clean T1w with isotropic voxels: the one to be painted.

The mask has the fluid around the brain in it, as the label maps have, but not that of the spinal
canal: do not set these figures beside those of masks that stop at the pia.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations
from scipy import ndimage

from napari_singlestrip.engine.imaging.geometry import resample
from napari_singlestrip.engine.imaging.grid import Grid, Volume
from napari_singlestrip.engine.masks.cleanup import bounding_box, largest_component
from napari_singlestrip.sample_data import CONTRASTS, TISSUES, SampleHead, write_sample_head
from napari_singlestrip.sample_data.contrast import acquire, draw_signals, textured
from napari_singlestrip.sample_data.person import rotation
from napari_singlestrip.sample_data.shapes import Noise, Space

N_BRAIN = 500  # numbers from 1 to below this are the brain
CEREBELLUM = (7, 8, 46, 47)
FLUID, EYE, SOFT, SKIN, CORD = 24, 506, 507, 511, 512
TISSUE_OF = {
    0: "air", 2: "white_matter", 3: "cortex", 4: "ventricles", 5: "ventricles",
    7: "white_matter", 8: "cerebellar_cortex", 10: "deep_grey", 11: "deep_grey", 12: "deep_grey",
    13: "pallidum", 14: "ventricles", 15: "ventricles", 16: "brainstem", 17: "deep_grey",
    18: "deep_grey", FLUID: "csf", 25: "deep_grey", 26: "deep_grey", 28: "deep_grey",
    30: "vessel", 41: "white_matter", 42: "cortex", 43: "ventricles", 44: "ventricles",
    46: "white_matter", 47: "cerebellar_cortex", 49: "deep_grey", 50: "deep_grey",
    51: "deep_grey", 52: "pallidum", 53: "deep_grey", 54: "deep_grey", 57: "deep_grey",
    58: "deep_grey", 60: "deep_grey", 62: "vessel", 72: "ventricles", 85: "nerve",
    502: "vessel", EYE: "vitreous", SOFT: "muscle", 508: "muscle", 509: "mucosa", SKIN: "skin",
    CORD: "spinal_cord", 514: "vessel", 515: "bone", 516: "marrow", 530: "nerve",
}  # fmt: skip
ORIENTATIONS = ("RAS", "LPS", "LAS", "PIR", "PSR", "RSA", "LIP", "ASR")
SMOOTH_VOXELS = 0.6  # standard deviation; softens the steps of the label map
EYE_SOCKET_MM = 24.0


@dataclass(frozen=True)
class Anatomy:
    """A head as tissues on the label map's grid, cut to the head, along RAS axes.

    Attributes
    ----------
    name : str
    tissues : array of uint8, shape (i, j, k)
        As `TISSUES`.
    brain : array of bool, shape (i, j, k)
    grain : array of float32, shape (i, j, k)
        Unevenness of the tissues, about 1 in size.
    affine : array of float, shape (4, 4)
    """

    name: str
    tissues: np.ndarray
    brain: np.ndarray
    grain: np.ndarray
    affine: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("label_maps", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    files = sorted(options.label_maps.glob("*.nii*"))
    if not files:
        print(f"skipped: there are no label maps in {options.label_maps}")
        return
    for head in heads(files, options.seed):
        write_sample_head(options.out, head)
        print(f"{head.name}: {' x '.join(map(str, head.data.shape))}", flush=True)


def heads(files: Sequence[Path], seed: int) -> Iterator[SampleHead]:
    """Draw every label map in every contrast."""
    for n, file in enumerate(files):
        anatomy = read_anatomy(file, np.random.default_rng([seed, n]))
        for c, contrast in enumerate(CONTRASTS):
            rng = np.random.default_rng([seed, n, c])
            index = n * len(CONTRASTS) + c
            yield render(anatomy, contrast, rng, clean=index == 0, thick=index % 3 == 2)


def read_anatomy(file: Path, rng: np.random.Generator) -> Anatomy:
    """Read a label map; divide soft tissue into fat and muscle, which it does not tell apart."""
    image = nib.as_closest_canonical(nib.load(file))
    labels = np.asanyarray(image.dataobj).astype(np.int16)
    box = bounding_box(labels > 0)
    start = np.eye(4)
    start[:3, 3] = [part.start for part in box]
    labels, affine = labels[box], image.affine @ start
    space = points(labels.shape, affine)
    tissues = tissues_of(labels)
    tissues[fatty(labels, space, rng)] = TISSUES["fat"]
    inside = labels > 0
    grain = 0.7 * Noise.draw(rng, 12.0).where(inside, space)
    grain += 2.0 * Noise.draw(rng, 40.0).where(inside, space)
    return Anatomy(file.name.split(".")[0], tissues, brain_of(labels), grain, affine)


def points(shape: tuple[int, ...], affine: np.ndarray) -> Space:
    """RAS mm of every voxel."""
    x, y, z = (
        np.broadcast_to(
            (affine[a, a] * np.arange(n) + affine[a, 3]).astype(np.float32).reshape(
                [-1 if a == b else 1 for b in range(3)]), shape)
        for a, n in enumerate(shape)
    )
    return Space(x, y, z, affine)


def tissues_of(labels: np.ndarray) -> np.ndarray:
    """Tissue of each label; unknown ones are grey matter in the brain, and muscle outside it."""
    table = np.full(max(int(labels.max()) + 1, 1000), TISSUES["muscle"], np.uint8)
    table[:N_BRAIN] = TISSUES["deep_grey"]
    for label, tissue in TISSUE_OF.items():
        table[label] = TISSUES[tissue]
    return table[labels]


def fatty(labels: np.ndarray, space: Space, rng: np.random.Generator) -> np.ndarray:
    """Which soft tissue is fat: a layer under the skin, the eye sockets, streaks in muscle."""
    soft = labels == SOFT
    under_skin = ndimage.distance_transform_edt(labels != SKIN, sampling=space.steps)[soft]
    layer = rng.uniform(3.5, 6.5) + 1.5 * Noise.draw(rng, 45.0).where(soft, space)[soft]
    streaks = np.abs(Noise.draw(rng, 18.0).where(soft, space)[soft]) < 0.1
    chosen = (under_skin < layer) | streaks
    for side in (space.x < 0, space.x >= 0):
        eye = (labels == EYE) & side
        if eye.any():
            centre = [axis[eye].mean() for axis in (space.x, space.y, space.z)]
            away = [axis[soft] - c for axis, c in
                    zip((space.x, space.y + 8, space.z), centre, strict=True)]
            chosen |= np.sqrt(sum(a * a for a in away)) < EYE_SOCKET_MM
    fat = np.zeros(labels.shape, bool)
    fat[soft] = chosen
    return fat


def brain_of(labels: np.ndarray) -> np.ndarray:
    """The brain as one body without holes, without the fluid of the spinal canal.

    That is the fluid below the cerebellum, and what is nearer to the cord than to the brain.
    """
    brain = (labels > 0) & (labels < N_BRAIN)
    tissue = brain & (labels != FLUID)
    cerebellum = np.isin(labels, CEREBELLUM)
    above = cerebellum if cerebellum.any() else tissue
    lowest = int(np.flatnonzero(above.any(axis=(0, 1)))[0])
    brain[:, :, :lowest] = tissue[:, :, :lowest]
    cord = labels == CORD
    if cord.any():
        to_cord, to_tissue = (ndimage.distance_transform_edt(~part) for part in (cord, tissue))
        brain &= to_cord >= to_tissue
    return ndimage.binary_fill_holes(largest_component(brain))


def render(
    anatomy: Anatomy, contrast: str, rng: np.random.Generator, *, clean: bool, thick: bool
) -> SampleHead:
    """Scan a head: a clean isotropic scan in RAS, or one with a drawn grid, tilt and noise."""
    levels = draw_signals(rng, contrast)
    signal = np.array([levels[name] for name in TISSUES], np.float32)[anatomy.tissues]
    signal = textured(signal, anatomy.tissues, anatomy.grain)
    signal = ndimage.gaussian_filter(signal, SMOOTH_VOXELS, truncate=3)
    noise = 0.012 if clean else float(rng.uniform(0.015, 0.045))
    grid, orientation = draw_grid(anatomy, rng, clean=clean, thick=thick)
    data = acquire(resample(Volume(signal, anatomy.affine), grid), rng, noise)
    mask = resample(Volume(anatomy.brain.astype(np.float32), anatomy.affine), grid) > 0.5
    to_source = np.linalg.solve(anatomy.affine, grid.affine)
    tissues = ndimage.affine_transform(
        anatomy.tissues, to_source, output_shape=grid.shape, order=0, cval=TISSUES["air"]
    )
    turn = orientations.ornt_transform(
        orientations.axcodes2ornt("RAS"), orientations.axcodes2ornt(orientation)
    )
    data, mask, tissues = (
        np.ascontiguousarray(orientations.apply_orientation(v, turn))
        for v in (data, mask, tissues)
    )
    affine = grid.affine @ orientations.inv_ornt_aff(turn, grid.shape)
    return SampleHead(f"{anatomy.name}_{contrast}", data, mask, affine, tissues)


def draw_grid(
    anatomy: Anatomy, rng: np.random.Generator, *, clean: bool, thick: bool
) -> tuple[Grid, str]:
    """Voxels, tilt and field of view of a scan, along RAS axes, and how its axes are stored."""
    spacing = np.full(3, rng.uniform(0.9, 1.2))
    if thick:
        spacing[rng.choice(3, p=(0.15, 0.2, 0.65))] = rng.uniform(3.0, 6.0)
    angles = np.radians(rng.uniform(-1, 1, 3) * (12, 3, 5)) * rng.choice([0.0, 1.0])
    orientation = str(rng.choice(ORIENTATIONS))
    below, margin = rng.uniform(8, 60), rng.uniform(4, 16, (2, 3))
    if clean:
        spacing, angles, orientation = np.ones(3), np.zeros(3), "RAS"
    index = np.argwhere(anatomy.tissues.any(axis=2))
    low = np.array([*index.min(axis=0), 0.0])
    high = np.array([*index.max(axis=0), anatomy.tissues.shape[2] - 1.0])
    lowest = np.flatnonzero(anatomy.brain.any(axis=(0, 1)))[0]
    steps = np.diag(anatomy.affine)[:3]
    low, high = (steps * corner + anatomy.affine[:3, 3] for corner in (low, high))
    low, high = low - margin[0], high + margin[1]
    low[2] = max(low[2], anatomy.affine[2, 3] + steps[2] * lowest - below)
    shape = np.ceil((high - low) / spacing).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = rotation(tuple(angles)) @ np.diag(spacing)
    affine[:3, 3] = (low + high) / 2 - affine[:3, :3] @ ((shape - 1) / 2)
    return Grid(tuple(int(n) for n in shape), affine), orientation


if __name__ == "__main__":
    main()
