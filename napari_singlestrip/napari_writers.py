"""Masks to files, for napari's File > Save: on the grid of the scan that they were painted on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_singlestrip.engine.volume import Scan

EXTENSIONS = (".nii.gz", ".nii")


def write_mask(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a labels layer as a mask file (0 outside, 1 inside).

    Parameters
    ----------
    path : str
        Ends in .nii.gz or .nii; without either, .nii.gz is added.
    data : array, shape (I, P, L)
        Labels as displayed upright; every label is brain.
    attributes : dict
        Of the layer. Its metadata may name the scan; else the scan on screen that it fits counts.

    Returns
    -------
    list of str
        The file that was written.

    Raises
    ------
    UserError
        If the scan is not known or has another shape, or the file cannot be written.
    """
    import numpy as np

    from napari_singlestrip.engine.volume import save_mask
    from napari_singlestrip.upright import Upright

    labels = np.asarray(data)
    scan = _scan_of(attributes, labels.shape)
    target = path if path.lower().endswith(EXTENSIONS) else path + EXTENSIONS[0]
    save_mask(target, Upright(scan.grid.affine).to_scan(labels != 0), like=scan)
    return [target]


def _scan_of(attributes: dict[str, Any], shape: tuple[int, ...]) -> Scan:
    from napari_singlestrip.engine.volume import open_scan
    from napari_singlestrip.errors import UserError

    named = (attributes.get("metadata") or {}).get("path")
    candidates = [Path(named)] if named else _scans_on_screen()
    for path in candidates:
        scan = open_scan(path)
        if _displayed_shape(scan) == tuple(shape):
            return scan
    name = attributes.get("name", "The layer")
    if not candidates:
        raise UserError(
            f"{name}: it is not known which scan this mask belongs to.",
            "Open the scan with SingleStrip (File > Open), or in a study, and paint on it there.",
        )
    size = " x ".join(str(n) for n in shape)
    raise UserError(
        f"{name} has {size} voxels, which no scan on screen has: "
        f"{', '.join(path.name for path in candidates)}.",
        "Paint on a labels layer that was made for the scan.",
    )


def _displayed_shape(scan: Scan) -> tuple[int, ...]:
    from napari_singlestrip.upright import Upright

    return tuple(scan.grid.shape[axis] for axis in Upright(scan.grid.affine).source_axes)


def _scans_on_screen() -> list[Path]:
    from napari_singlestrip.widgets.open_dock import scans_on_screen

    return scans_on_screen()
