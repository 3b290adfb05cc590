"""Writing masks for napari's File > Save, on the grid of the scan they were painted on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_singlestrip.engine.imaging.volume import Scan
    from napari_singlestrip.widgets.dock.find_dock import ScanOnScreen

    Candidate = tuple[Scan, ScanOnScreen]

EXTENSIONS = (".nii.gz", ".nii")


def write_mask(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a labels layer as a mask file (0 outside, 1 inside).

    Parameters
    ----------
    path : str
        Ends in .nii.gz or .nii; otherwise .nii.gz is added.
    data : array, shape (I, P, L)
        Labels as displayed upright; every label is brain.
    attributes : dict
        Of the layer. Its metadata may name the scan; else the scan on screen with the same shape is
        used.

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

    from napari_singlestrip.engine.imaging.display_orientation import Upright
    from napari_singlestrip.engine.imaging.volume import save_mask

    labels = np.asarray(data)
    scan = _scan_of(attributes, labels.shape)
    target = path if path.lower().endswith(EXTENSIONS) else path + EXTENSIONS[0]
    save_mask(target, Upright(scan.grid.affine).to_scan(labels != 0), like=scan)
    return [target]


def _scan_of(attributes: dict[str, Any], shape: tuple[int, ...]) -> Scan:
    """The scan a layer belongs to: named in its metadata, or the one that fits on screen.

    Raises
    ------
    UserError
        If there is none, or more than one, on different grids.
    """
    from napari_singlestrip.engine.imaging.volume import open_scan
    from napari_singlestrip.errors import UserError
    from napari_singlestrip.widgets.dock.find_dock import ScanOnScreen, scans_on_screen

    named = (attributes.get("metadata") or {}).get("path")
    on_screen = [ScanOnScreen(Path(named))] if named else scans_on_screen()
    name = attributes.get("name", "The layer")
    if not on_screen:
        raise UserError(
            f"{name}: it is not known which scan this mask belongs to.",
            "Open the scan with SingleStrip (File > Open), or in a study, and paint on it there.",
        )
    scans = [(open_scan(shown.path), shown) for shown in on_screen]
    fitting = [(scan, shown) for scan, shown in scans if _displayed_shape(scan) == tuple(shape)]
    if not fitting:
        size = " x ".join(str(n) for n in shape)
        raise UserError(
            f"{name} has {size} voxels, which no scan on screen has: "
            f"{', '.join(shown.path.name for shown in on_screen)}.",
            "Paint on a labels layer that was made for the scan.",
        )
    return _only_grid(name, _looked_at(_of_scale(fitting, attributes.get("scale"))))


def _of_scale(fitting: list[Candidate], scale: Any) -> list[Candidate]:
    """Keep candidates with the layer's voxel size, unless that is 1, napari's default."""
    import numpy as np

    from napari_singlestrip.engine.imaging.display_orientation import Upright

    if scale is None or np.shape(scale) != (3,) or np.allclose(scale, 1):
        return fitting
    alike = [
        (scan, shown) for scan, shown in fitting
        if np.allclose(Upright(scan.grid.affine).scale, scale, rtol=1e-3)
    ]
    return alike or fitting


def _looked_at(fitting: list[Candidate]) -> list[Candidate]:
    """Keep candidates that are visible and selected in the layer list, if any are."""
    visible = [candidate for candidate in fitting if candidate[1].is_visible]
    chosen = [candidate for candidate in fitting if candidate[1].is_chosen]
    both = [candidate for candidate in chosen if candidate[1].is_visible]
    if visible and chosen and not both:  # one is selected, another one is visible
        return fitting
    return both or chosen or visible or fitting


def _only_grid(name: str, fitting: list[Candidate]) -> Scan:
    from napari_singlestrip.errors import UserError

    scans = [scan for scan, _ in fitting]
    if not all(scan.grid.same_as(scans[0].grid) for scan in scans):
        raise UserError(
            f"{name} could belong to {' or '.join(scan.path.name for scan in scans)}: they have "
            "the same size, and lie at different places.",
            "Hide the other scans (the eye in the list of layers), and save it again.",
        )
    return scans[0]


def _displayed_shape(scan: Scan) -> tuple[int, ...]:
    from napari_singlestrip.engine.imaging.display_orientation import Upright

    return tuple(scan.grid.shape[axis] for axis in Upright(scan.grid.affine).source_axes)
