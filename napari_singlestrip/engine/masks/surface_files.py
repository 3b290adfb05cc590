"""Surfaces as files that other programs open: binary PLY (shared vertices) and binary STL."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_singlestrip.engine.imaging.scan import open_scan
from napari_singlestrip.engine.imaging.volume import load_mask
from napari_singlestrip.engine.masks.surface import Surface, surface_of
from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import atomic_path

ENDINGS = (".ply", ".stl")
STL_TITLE = b"surface of a brain mask, mm, RAS"  # must not begin with "solid"


def write_surface(path: str | Path, surface: Surface) -> None:
    """Write a surface in the format given by the extension.

    Parameters
    ----------
    path : str or Path
        Extension .ply or .stl.
    surface : Surface

    Raises
    ------
    UserError
        If the extension is another, the surface is empty, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise UserError(
            f"A surface cannot be written as {path.name}.", "Choose a name with .ply or .stl."
        )
    if not len(surface.faces):
        raise UserError("The mask is empty: it has no surface.", "Paint the mask first.")
    content = _ply(surface) if path.suffix.lower() == ".ply" else _stl(surface)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def save_surface(mask: str | Path, path: str | Path) -> Path:
    """Write the surface of a mask in a file, in RAS mm of the scanner.

    Parameters
    ----------
    mask : str or Path
        A mask or label file; every value above 0.5 is inside.
    path : str or Path
        Extension .ply or .stl.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    UserError
        As `load_mask` and `write_surface`.
    """
    scan = open_scan(mask)
    inside = load_mask(mask, like=scan, check=False)
    write_surface(path, surface_of(inside, scan.grid.affine))
    return Path(path)


def _ply(surface: Surface) -> bytes:
    header = "\n".join([
        "ply", "format binary_little_endian 1.0", "comment mm, RAS",
        f"element vertex {len(surface.vertices)}",
        *(f"property float {name}" for name in ("x", "y", "z", "nx", "ny", "nz")),
        f"element face {len(surface.faces)}", "property list uchar int vertex_indices",
        "end_header", "",
    ])
    faces = np.empty(len(surface.faces), [("n", "u1"), ("corners", "<i4", 3)])
    faces["n"], faces["corners"] = 3, surface.faces
    vertices = np.concatenate([surface.vertices, surface.normals()], 1).astype("<f4")
    return header.encode("ascii") + vertices.tobytes() + faces.tobytes()


def _stl(surface: Surface) -> bytes:
    corners = surface.vertices[surface.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    facets = np.zeros(
        len(corners), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("unused", "<u2")]
    )
    facets["normal"], facets["corners"] = normals, corners
    return STL_TITLE.ljust(80) + np.array(len(facets), "<u4").tobytes() + facets.tobytes()
