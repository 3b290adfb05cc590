"""Surfaces in files, read back byte by byte."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import napari_singlestrip as ss
from napari_singlestrip.engine.masks.surface import Surface, surface_of
from napari_singlestrip.engine.masks.surface_files import write_surface
from napari_singlestrip.errors import UserError


@pytest.fixture
def surface() -> Surface:
    """A box, somewhere in the scanner."""
    mask = np.zeros((10, 11, 12), bool)
    mask[2:8, 3:8, 2:10] = True
    affine = np.diag([-1.0, 2.0, 1.5, 1.0])
    affine[:3, 3] = (80, -100, 30)
    return surface_of(mask, affine)


def test_ply_has_the_vertices_and_faces(tmp_path: Path, surface: Surface) -> None:
    write_surface(tmp_path / "brain.PLY", surface)
    content = (tmp_path / "brain.PLY").read_bytes()
    header, body = content.split(b"end_header\n", 1)
    lines = header.decode("ascii").splitlines()
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
    n, m = len(surface.vertices), len(surface.faces)
    assert f"element vertex {n}" in lines and f"element face {m}" in lines
    vertices = np.frombuffer(body, "<f4", n * 6).reshape(n, 6)
    assert np.array_equal(vertices[:, :3], surface.vertices)
    assert np.allclose(vertices[:, 3:], surface.normals())
    faces = np.frombuffer(body, [("n", "u1"), ("corners", "<i4", 3)], m, 24 * n)
    assert (faces["n"] == 3).all() and np.array_equal(faces["corners"], surface.faces)
    assert len(body) == 24 * n + 13 * m


def test_stl_has_the_triangles_and_their_normals(tmp_path: Path, surface: Surface) -> None:
    write_surface(tmp_path / "brain.stl", surface)
    content = (tmp_path / "brain.stl").read_bytes()
    assert not content.startswith(b"solid")
    m = int(np.frombuffer(content, "<u4", 1, 80)[0])
    assert m == len(surface.faces) and len(content) == 84 + 50 * m
    kind = [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("unused", "<u2")]
    facets = np.frombuffer(content, kind, m, 84)
    assert np.array_equal(facets["corners"], surface.vertices[surface.faces])
    away = facets["corners"].mean(axis=1) - surface.vertices.mean(axis=0)
    assert (np.einsum("ij,ij->i", facets["normal"], away) > 0).all()
    assert np.linalg.norm(facets["normal"], axis=1) == pytest.approx(1, abs=1e-4)


def test_other_endings_and_empty_masks_are_refused(tmp_path: Path, surface: Surface) -> None:
    with pytest.raises(UserError, match=r"brain\.obj"):
        write_surface(tmp_path / "brain.obj", surface)
    with pytest.raises(UserError, match="empty"):
        write_surface(tmp_path / "brain.ply", surface_of(np.zeros((3, 3, 3)), np.eye(4)))
    assert not list(tmp_path.iterdir())


def test_mask_file_becomes_a_surface_where_it_lies_in_the_scanner(tmp_path: Path) -> None:
    mask = np.zeros((16, 18, 20), np.uint8)
    mask[4:9, 5:12, 6:15] = 1
    affine = np.array([[0, 0, 2, -11], [-1.5, 0, 0, 40], [0, 1, 0, 7], [0, 0, 0, 1.0]])
    nib.save(nib.Nifti1Image(mask, affine), tmp_path / "mask.nii.gz")
    path = ss.save_surface(tmp_path / "mask.nii.gz", tmp_path / "brain.stl")
    kind = [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("unused", "<u2")]
    corners = np.frombuffer(path.read_bytes(), kind, offset=84)["corners"].reshape(-1, 3)
    expected = nib.affines.apply_affine(affine, np.argwhere(mask)).mean(axis=0)
    assert (corners.min(axis=0) + corners.max(axis=0)) / 2 == pytest.approx(expected, abs=0.2)
