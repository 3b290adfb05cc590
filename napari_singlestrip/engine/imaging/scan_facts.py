"""The header of a scan for display: size, voxels, orientation, and warnings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from napari_singlestrip.engine.imaging.scan import open_scan
from napari_singlestrip.errors import UserError

THICK_MM = 3.0  # from here on slices are thick, if they also exceed twice the pixel size
SMALL_MM = 100.0  # an adult head is larger in every direction


@dataclass(frozen=True)
class ScanFacts:
    """Facts of a scan's header.

    Attributes
    ----------
    shape : tuple of int
        Voxels along the stored axes (i, j, k); empty when the file cannot be read.
    spacing : tuple of float
        Voxel size (mm) along the same axes.
    axes : str
        Where the stored axes point, such as "LPS".
    notes : tuple of str
        Remarks for the user that do not prevent using the scan.
    problem : str
        Why the scan cannot be used; empty when it can.
    """

    shape: tuple[int, ...] = ()
    spacing: tuple[float, ...] = ()
    axes: str = ""
    notes: tuple[str, ...] = ()
    problem: str = ""


def scan_facts(path: str | Path) -> ScanFacts:
    """Read the header of a scan; problems are returned, not raised."""
    try:
        scan = open_scan(path)
    except UserError as error:
        return ScanFacts(problem=str(error))
    spacing = tuple(float(s) for s in nib.affines.voxel_sizes(scan.grid.affine))
    axes = "".join(nib.aff2axcodes(scan.grid.affine))
    return ScanFacts(
        scan.grid.shape, spacing, axes, (*scan.notes, *_size_notes(scan.grid.shape, spacing))
    )


def _size_notes(shape: tuple[int, ...], spacing: tuple[float, ...]) -> tuple[str, ...]:
    notes = []
    if max(spacing) >= THICK_MM and max(spacing) >= 2 * min(spacing):
        notes.append(f"{max(spacing):.2g} mm slices")
    extent = np.array(shape) * np.array(spacing)
    if extent.min() < SMALL_MM:
        notes.append(f"only {extent.min():.0f} mm wide: a whole head?")
    return tuple(notes)
