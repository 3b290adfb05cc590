"""The painted scan as it might have been: with little room, in thick slices, its brain cut off.

    python benchmarks/accuracy/painted_scans.py DATA OUT
    python benchmarks/accuracy/experiment.py OUT OUT2 --painted sub-07_cropped_T1w \\
        --seeds 0 --folds all --arms initial

OUT gets links to the scans and masks of all other people, and the painted scan and its mask in each
way of `WAYS`, which says what about a painted scan matters to the masks of others. It lies along
the RAS axes, up to their signs, with the last one upwards.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from experiment import PAINTED, in_the_experiment, person
from poor_scans import link

ROOM_MM = 10.0  # around the brain
N_SLICES = 3  # averaged
CUT_MM = 12.0  # of the brain, from above
Image = nib.Nifti1Image


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--painted", default=PAINTED)
    options = parser.parse_args()
    scans = in_the_experiment(options.data)
    if not scans:
        print(f"skipped: there are no scans in {options.data}")
        return
    for path in scans:
        for kind in ("scans", "masks"):
            if person(path.name) != person(options.painted):
                link(options.data / kind / path.name, options.out / kind / path.name)
    pair = [nib.load(options.data / kind / f"{options.painted}.nii.gz")
            for kind in ("scans", "masks")]
    for way, change in WAYS.items():
        name = f"{person(options.painted)}_{way}_{options.painted.rsplit('_', 1)[-1]}.nii.gz"
        for kind, image in zip(("scans", "masks"), change(*pair), strict=True):
            nib.save(image, options.out / kind / name)
        print(name)


def cropped(scan: Image, mask: Image) -> tuple[Image, Image]:
    """As a small field of view around the brain."""
    brain = np.argwhere(np.asarray(mask.dataobj) > 0)
    room = np.ceil(ROOM_MM / np.array(mask.header.get_zooms()[:3])).astype(int)
    low, high = np.maximum(brain.min(0) - room, 0), brain.max(0) + 1 + room
    box = tuple(map(slice, low, high))
    return scan.slicer[box], mask.slicer[box]


def thick(scan: Image, mask: Image) -> tuple[Image, Image]:
    """In thick axial slices; the mask is what is brain by half or more."""
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (N_SLICES - 1) / 2
    affine[:3, 2] *= N_SLICES
    values, inside = (_averaged(np.asarray(image.dataobj, np.float32)) for image in (scan, mask))
    return Image(np.round(values).astype(np.int16), affine), Image(
        (inside >= 0.5).astype(np.uint8), affine
    )


def _averaged(data: np.ndarray) -> np.ndarray:
    n = data.shape[2] // N_SLICES
    parts = data[:, :, : n * N_SLICES].reshape(*data.shape[:2], n, N_SLICES)
    mean: np.ndarray = parts.mean(-1)
    return mean


def cut(scan: Image, mask: Image) -> tuple[Image, Image]:
    """With a field of view that ends within the brain."""
    slices = np.flatnonzero(np.any(np.asarray(mask.dataobj) > 0, axis=(0, 1)))
    top = int(slices[-1]) + 1 - round(CUT_MM / float(mask.header.get_zooms()[2]))
    return scan.slicer[:, :, :top], mask.slicer[:, :, :top]


WAYS: dict[str, Callable[[Image, Image], tuple[Image, Image]]] = {
    "cropped": cropped, "thick": thick, "cut": cut,
}


if __name__ == "__main__":
    main()
