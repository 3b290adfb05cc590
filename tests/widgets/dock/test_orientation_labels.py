"""Letters at the edges of the canvas: they tell the patient's sides in every plane."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from gui_fixtures import camera, canvas_of, process_events, stroke
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from napari_singlestrip.study.study import Study

pytest_plugins = ("gui_fixtures",)

# A bright ball at the patient's left, in front and above: RAS mm, from the middle of the head.
MARKER_MM = np.array((-24.0, 24.0, 24.0))
MARKER_SIDES = {"L", "A", "S"}
ORIENTATIONS = ("RAS", "LPS", "PIR", "SAL")


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The marker in several orientations of the file's axes, with voxels of three sizes."""
    spacing = np.array((3.0, 4.0, 5.0))
    shape = (28, 21, 17)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) / 2 * spacing
    mm = nib.affines.apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
    data = 1000.0 * (np.linalg.norm(mm - MARKER_MM, axis=-1) < 9).astype(np.float32)
    folder = tmp_path_factory.mktemp("marked")
    for codes in ORIENTATIONS:
        turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
        turned = np.ascontiguousarray(nib.apply_orientation(data, turn))
        image = nib.Nifti1Image(turned, affine @ inv_ornt_aff(turn, shape))
        assert "".join(nib.aff2axcodes(image.affine)) == codes
        nib.save(image, folder / f"{codes}.nii.gz")
    return sorted(folder.iterdir())


def letters(window: Any) -> dict[str, str]:
    """Letters that are seen, by edge."""
    labels = window.letters.labels
    return {edge: label.text() for edge, label in labels.items() if label.isVisible()}


def sides_of_the_marker(window: Any) -> set[str]:
    """Letters of the two edges that the bright spot on the canvas is nearer to."""
    texts = letters(window)
    for label in window.letters.labels.values():
        label.hide()  # they are bright too
    picture = window.viewer.screenshot(canvas_only=True, flash=False)[..., :3].min(axis=-1)
    window.letters.refresh()
    rows, columns = np.nonzero(picture > 200)
    assert len(rows), "the marker is not on the canvas"
    vertical = "top" if rows.mean() < picture.shape[0] / 2 else "bottom"
    horizontal = "left" if columns.mean() < picture.shape[1] / 2 else "right"
    return {texts[vertical], texts[horizontal]}


def test_marker_is_at_the_sides_it_has_in_the_patient(
    window: Any, marked: list[Path], tmp_path: Path
) -> None:
    session = window.session
    session.take_study(Study.create(tmp_path / "study", marked))
    for name in session.study.scans.names:
        session.show_scan(name)
        image = session.layers.showing.image_on_display()
        i, p, l = (int(n) for n in np.argwhere(image > 0).mean(axis=0).round())  # noqa: E741
        for plane, hidden in (("axial", "S"), ("coronal", "A"), ("sagittal", "L")):
            session.layers.viewpoint.set_plane(plane)
            session.layers.viewpoint.look_at((i, p, l))
            assert sides_of_the_marker(window) == MARKER_SIDES - {hidden}, f"{name} {plane}"


def test_letters_are_those_of_radiologists(window: Any, ranked_study: Study) -> None:
    assert letters(window) == {}
    session = window.session
    session.take_study(ranked_study)
    session.show_scan(ranked_study.scans.names[1])
    assert letters(window) == {"top": "A", "bottom": "P", "left": "R", "right": "L"}
    session.layers.viewpoint.set_plane("coronal")
    assert letters(window) == {"top": "S", "bottom": "I", "left": "R", "right": "L"}
    session.layers.viewpoint.set_plane("sagittal")
    assert letters(window) == {"top": "S", "bottom": "I", "left": "A", "right": "P"}
    camera(window.viewer).orientation2d = ("up", "left")
    assert letters(window) == {"top": "I", "bottom": "S", "left": "P", "right": "A"}
    camera(window.viewer).orientation2d = ("down", "right")
    session.layers.viewpoint.set_plane("axial")
    window.viewer.dims.transpose()
    assert letters(window) == {"top": "R", "bottom": "L", "left": "A", "right": "P"}


def test_letters_are_hidden_where_they_would_mislead(window: Any, ranked_study: Study) -> None:
    session = window.session
    session.take_study(ranked_study)
    session.show_scan(ranked_study.scans.names[1])
    window.viewer.dims.ndisplay = 3
    assert letters(window) == {}
    window.viewer.dims.ndisplay = 2
    assert len(letters(window)) == 4
    window.viewer.add_image(np.zeros((2, 9, 9, 9)))
    window.viewer.dims.order = (1, 2, 0, 3)  # a person's own axis across the image
    assert letters(window) == {}
    window.viewer.dims.order = (0, 1, 2, 3)
    assert len(letters(window)) == 4
    session.close_study()
    assert letters(window) == {}


def test_letters_stay_at_the_edges_and_let_the_mouse_through(
    window: Any, ranked_study: Study
) -> None:
    session, viewer = window.session, window.viewer
    session.take_study(ranked_study)
    session.show_scan(ranked_study.scans.names[1])
    viewer.window._qt_window.resize(1200, 700)
    process_events()
    canvas, labels = canvas_of(viewer), window.letters.labels
    for label in labels.values():
        assert canvas.rect().contains(label.geometry())
    assert labels["left"].x() < 20
    assert canvas.width() - labels["right"].geometry().right() < 20
    assert labels["top"].y() < 20
    assert canvas.height() - labels["bottom"].geometry().bottom() < 20
    layer = session.layers.editing.layer
    layer.mode, before = "paint", layer.data.sum()
    camera(viewer).zoom *= 3  # the head is under the letters
    i, _, _ = session.layers.viewpoint.point
    _move_the_head_below(viewer, layer, labels["right"].geometry().center())
    stroke(viewer, [_voxel_at(viewer, i, labels["right"].geometry().center())])
    assert layer.data.sum() != before


def _move_the_head_below(viewer: Any, layer: Any, pixel: Any) -> None:
    """Move the camera so that a voxel outside the brain lies under a letter."""
    process_events()
    view = viewer.window._qt_viewer.canvas.view
    x, y = (view.transform * view.scene.transform).imap([pixel.x(), pixel.y()])[:2]
    _, p, l = layer.data_to_world((0, 2, 2))  # noqa: E741
    centre = camera(viewer).center
    camera(viewer).center = (centre[0], centre[1] + p - float(y), centre[2] + l - float(x))
    process_events()


def _voxel_at(viewer: Any, i: int, pixel: Any) -> tuple[float, float, float]:
    view = viewer.window._qt_viewer.canvas.view
    x, y = (view.transform * view.scene.transform).imap([pixel.x(), pixel.y()])[:2]
    layer = viewer.layers.selection.active
    _, p, l = layer.world_to_data((0, float(y), float(x)))  # noqa: E741
    return float(i), float(p), float(l)


def test_another_napari_goes_without_letters(window: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_singlestrip.widgets.dock import orientation_labels as canvas_letters

    monkeypatch.setattr(canvas_letters, "canvas_of", lambda viewer: None)
    letters = canvas_letters.CanvasLetters(window.session)
    letters.refresh()
    letters.close_all()
