"""Hard looks: the scans as other scanners, habits and ages would have them, and what a study finds.

    python benchmarks/accuracy/hard_looks.py DATA OUT
    python benchmarks/accuracy/hard_looks.py DATA OUT --study STUDY [--round 1] [--name WORDS]
    python benchmarks/accuracy/keep.py OUT real

OUT gets scans/ and masks/: each look of `LOOKS` is given to four scans of DATA, taken in turn, two
of each half of the people (to those of thin slices where slices are made thicker). Strengths are
written here, were set before anything was measured, and are not changed. Masks follow where a scan
is cut, resampled or warped. With --study, the model of a round is applied to them, and the Dice of
each is kept in OUT/hard_looks/WORDS.json, beside that of the same scan as it was, by half: what is
made better by these figures is chosen on the first half and told on the second.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from experiment import PAINTED, command, evaluated, in_the_experiment, split_people, stem
from poor_scans import link
from scipy import ndimage

from napari_singlestrip.engine.imaging.geometry import resample
from napari_singlestrip.engine.imaging.grid import Grid, Volume

Array = np.ndarray
SLICES_MM = 5.5
THIN_MM = 2.0  # scans of thinner voxels can be given thick slices in any plane
HARD = "_hard-"
PER_HALF = 2


@dataclass(frozen=True)
class Head:
    """A scan with its mask, along the RAS axes as nearly as its voxels allow."""

    data: Array
    mask: Array
    affine: Array

    @property
    def spacing(self) -> Array:
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def middle(self) -> Array:
        """Centre of mass of the brain (RAS mm)."""
        return nib.affines.apply_affine(self.affine, np.argwhere(self.mask).mean(0))

    def millimetres(self) -> list[Array]:
        """From the brain's centre to every voxel, along the scan's own axes (mm)."""
        centre = np.argwhere(self.mask).mean(0)
        axes = [(np.arange(n) - c) * step for n, c, step in
                zip(self.data.shape, centre, self.spacing, strict=True)]
        return list(np.ix_(*axes))

    def reach(self) -> float:
        """Radius of a ball as large as the brain (mm)."""
        return float((self.mask.sum() * np.prod(self.spacing) * 3 / (4 * np.pi)) ** (1 / 3))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--painted", default=PAINTED)
    parser.add_argument("--study", type=Path)
    parser.add_argument("--round", type=int, default=None)
    parser.add_argument("--name", default="found")
    options = parser.parse_args()
    if not in_the_experiment(options.data):
        print(f"skipped: there are no scans in {options.data}")
        return
    given = list(looks_of(options.data, options.painted))
    for path, look in given:
        make(options.data, path, look, options.out)
    if options.study:
        measure(options, given)


def looks_of(data: Path, painted: str) -> Iterator[tuple[Path, str]]:
    """Which scans get which look: in turn, so that no scan gets all the hard ones."""
    for half in split_people(in_the_experiment(data), painted):
        thin = [path for path in half if max(nib.load(path).header.get_zooms()[:3]) < THIN_MM]
        for n, look in enumerate(LOOKS):
            among = thin if look.startswith("slices") else half
            for k in range(min(PER_HALF, len(among))):
                yield among[(n + k * (len(half) // PER_HALF)) % len(among)], look


def make(data: Path, path: Path, look: str, out: Path) -> None:
    """Write a scan with a look, its mask, and a link to the scan as it was."""
    name = hard_name(path.name, look)
    link(path, out / "scans" / path.name)
    link(data / "masks" / path.name, out / "masks" / path.name)
    if (out / "masks" / name).exists():
        return
    head = LOOKS[look](read(path, data / "masks" / path.name))
    top = max(float(np.percentile(head.data, 99.9)), 1e-6)
    whole = np.rint(np.clip(head.data / top, 0, 1.5) * 1000).astype(np.int16)
    for kind, array in (("scans", whole), ("masks", head.mask.astype(np.uint8))):
        nib.save(nib.Nifti1Image(array, head.affine), out / kind / name)


def hard_name(name: str, look: str) -> str:
    """The person still comes first, the contrast last."""
    before, contrast = name.rsplit("_", 1)
    return f"{before}{HARD}{look}_{contrast}"


def read(scan: Path, mask: Path) -> Head:
    """Read a scan with its axes in the order of RAS."""
    image, label = (nib.as_closest_canonical(nib.load(path)) for path in (scan, mask))
    return Head(image.get_fdata(dtype=np.float32), np.asarray(label.dataobj) > 0, image.affine)


def measure(options: argparse.Namespace, given: list[tuple[Path, str]]) -> None:
    """Apply a study's model to all looks, and keep the Dice of each."""
    masks = options.out / f"masks_{options.name}"
    words = ["--round", options.round] if options.round is not None else []
    command("apply", options.study, options.out / "scans", "--out", masks, *words)
    dice = {row["scan"]: row["dice"] for row in evaluated(masks, options.out / "masks")}
    first = set(split_people(in_the_experiment(options.data), options.painted)[0])
    rows = [
        {"look": look, "scan": stem(path), "half": int(path not in first),
         "dice": dice.get(stem(Path(hard_name(path.name, look))), 0.0),
         "as_it_was": dice.get(stem(path), 0.0)}
        for path, look in given
    ]
    found = options.out / "hard_looks" / f"{options.name}.json"
    found.parent.mkdir(exist_ok=True)
    found.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    for look in LOOKS:
        for half in (0, 1):
            dices = [row["dice"] for row in rows if (row["look"], row["half"]) == (look, half)]
            if dices:
                print(f"{look:16s} half {half}: {np.mean(dices):.4f}, lowest {min(dices):.4f}")


def shading(head: Head, fall: float, dark: float) -> Head:
    """Bright in the middle, as waves shorter than the head add up there; dark beside the ears.

    Parameters
    ----------
    head : Head
    fall : float
        What is lost at the brain's surface, of the signal in its middle.
    dark : float
        What is lost besides at the skull base below the temples.
    """
    x, y, z = head.millimetres()
    reach = head.reach()
    field = 1 / (1 + fall / (1 - fall) * (x**2 + y**2 + z**2) / reach**2)
    for side in (-0.8, 0.8):
        place = (x - side * reach) ** 2 + y**2 + (z + 0.8 * reach) ** 2
        field = field * (1 - dark * np.exp(-place / (2 * (0.4 * reach) ** 2)))
    return replace(head, data=(head.data * field).astype(np.float32))


def surface_coil(head: Head) -> Head:
    """Ten times as bright at the back of the head as at the front."""
    _, y, _ = head.millimetres()
    extent = 2 * head.reach()
    return replace(head, data=(head.data * np.exp(-np.log(10) * y / extent)).astype(np.float32))


def slices(head: Head, axis: int) -> Head:
    """Slices of `SLICES_MM` along an axis, each the mean over its thickness."""
    step = SLICES_MM / head.spacing[axis]
    # A box as wide as the slice, softened as slice profiles are.
    smooth = ndimage.gaussian_filter1d(head.data, step / 2.355, axis)
    n = int(head.data.shape[axis] // step)
    at = np.rint((np.arange(n) + 0.5) * step - 0.5).astype(int)
    affine = head.affine.copy()
    affine[:3, 3] += affine[:3, axis] * ((0.5 * step) - 0.5)
    affine[:3, axis] *= step
    fraction = ndimage.uniform_filter1d(head.mask.astype(np.float32), max(1, round(step)), axis)
    return Head(smooth.take(at, axis), fraction.take(at, axis) >= 0.5, affine)


def cut(head: Head, axis: int, *, high: bool, share: float = 0.3) -> Head:
    """Leave out a share of the brain's extent at one end of an axis."""
    found = np.flatnonzero(head.mask.any(axis=tuple(a for a in range(3) if a != axis)))
    gone = round(share * (found[-1] - found[0]))
    part = [slice(None)] * 3
    part[axis] = slice(0, found[-1] - gone) if high else slice(found[0] + gone, None)
    affine = head.affine.copy()
    affine[:3, 3] += affine[:3, axis] * (part[axis].start or 0)
    return Head(head.data[tuple(part)], head.mask[tuple(part)], affine)


def slab(head: Head) -> Head:
    """A slab of 100 mm through the brain, tilted by 30 degrees: all that was measured."""
    step = np.maximum(head.spacing, 1.0)
    shape = tuple(int(n) for n in np.ceil(np.array([200, 220, 100]) / step))
    affine = turned(np.diag([*step, 1.0]), 0, 30.0, np.zeros(3))
    affine[:3, 3] = head.middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return _on(head, Grid(shape, affine))


def _on(head: Head, grid: Grid) -> Head:
    data, mask = (
        resample(Volume(part.astype(np.float32), head.affine), grid, fill=0.0)
        for part in (head.data, head.mask)
    )
    return Head(data, mask > 0.5, grid.affine)


def lying(head: Head, axis: int, degrees: float) -> Head:
    """The same voxels, with a header that says they lie turned: the head, or a wrong header."""
    return replace(head, affine=turned(head.affine, axis, degrees, head.middle))


def turned(affine: Array, axis: int, degrees: float, centre: Array) -> Array:
    """An affine turned about an axis of RAS through a point."""
    angle, (a, b) = np.deg2rad(degrees), [n for n in range(3) if n != axis]
    turn = np.eye(4)
    turn[[a, b], [a, b]] = np.cos(angle)
    turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
    there, back = np.eye(4), np.eye(4)
    there[:3, 3], back[:3, 3] = centre, -np.asarray(centre)
    return there @ turn @ back @ affine


def low_field(head: Head) -> Head:
    """Voxels of 5 mm, and noise of a tenth of the signal."""
    rng, sigma = np.random.default_rng(0), 5 / 2.355 / head.spacing
    smooth = ndimage.gaussian_filter(head.data, sigma)
    strength = 0.1 * float(np.percentile(head.data, 99))
    grains = [ndimage.gaussian_filter(rng.standard_normal(smooth.shape), sigma) for _ in range(2)]
    real, imaginary = (strength * grain / grain.std() for grain in grains)
    return replace(head, data=np.hypot(smooth + real, imaginary).astype(np.float32))


def child(head: Head) -> Head:
    """The proportions of a three-year-old: a brain of nine tenths, a face of six tenths below it.

    Heights are mapped smoothly, so that the base of the brain takes part in it; the mask, too.
    """
    _, _, z = head.millimetres()
    height = z.ravel()
    scale = 0.9 - 0.3 / (1 + np.exp((height + 0.5 * head.reach()) / 8.0))
    # From heights in the new head to those in the old one.
    source = np.cumsum(head.spacing[2] / scale)
    source -= np.interp(0.0, height, source)
    index = np.interp(source, height, np.arange(len(height)), left=-1, right=-1)
    centre = np.argwhere(head.mask).mean(0)
    i, j = ((np.arange(n) - c) / 0.9 + c for n, c in
            zip(head.data.shape[:2], centre[:2], strict=True))
    places = np.stack(np.meshgrid(i, j, index, indexing="ij"))
    data = ndimage.map_coordinates(head.data, places, order=1, cval=0.0)
    mask = ndimage.map_coordinates(head.mask.astype(np.float32), places, order=1, cval=0.0)
    return Head(data, mask > 0.5, head.affine)


LOOKS: dict[str, Callable[[Head], Head]] = {
    "shading-3t": lambda head: shading(head, 0.35, 0.3),
    "shading-7t": lambda head: shading(head, 0.6, 0.7),
    "surface-coil": surface_coil,
    "slices-sagittal": lambda head: slices(head, 0),
    "slices-coronal": lambda head: slices(head, 1),
    "slices-axial": lambda head: slices(head, 2),
    "cut-above": lambda head: cut(head, 2, high=True),
    "cut-below": lambda head: cut(head, 2, high=False),
    "cut-front": lambda head: cut(head, 1, high=True),
    "slab-tilted": slab,
    "pitch-down": lambda head: lying(head, 0, -40.0),
    "pitch-up": lambda head: lying(head, 0, 40.0),
    "turned-x": lambda head: lying(head, 0, 90.0),
    "turned-y": lambda head: lying(head, 1, 90.0),
    "turned-z": lambda head: lying(head, 2, 90.0),
    "low-field": low_field,
    "child": child,
}


if __name__ == "__main__":
    main()
