"""The scan on screen: what is painted lands in its voxels, is saved, and stays its own."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from gui_fixtures import pixel_of, press_key, process_events, stroke
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform
from qtpy.QtCore import Qt

from napari_singlestrip.engine.imaging.head_middle import middle_of_head
from napari_singlestrip.engine.imaging.volume import open_scan
from napari_singlestrip.study.drafts import load_draft
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.viewer import editing as editing_module
from napari_singlestrip.widgets.viewer.own_layers import IMAGE, MASK
from napari_singlestrip.widgets.viewer.shown import kept_mask

pytest_plugins = ("gui_fixtures",)

Z, CONTROL = Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def session(window: Any, ranked_study: Study) -> Any:
    """A session with the second scan on screen, to be painted on with a brush of one voxel."""
    window.session.take_study(ranked_study)
    show(window.session, ranked_study.scans.names[1])
    return window.session


def show(session: Any, name: str, view: str = "newest") -> Any:
    """Show a scan and take the brush."""
    session.show_scan(name, view)
    layer = session.layers.editing.layer
    layer.mode, layer.brush_size, layer.n_edit_dimensions = "paint", 1, 2
    return layer


def empty_voxel(session: Any) -> tuple[int, int, int]:
    """A voxel on the slice shown, outside the mask."""
    i, _, _ = session.layers.viewpoint.point
    p, l = np.argwhere(~session.layers.editing.mask_on_display()[i][2:-2, 2:-2])[0] + 2  # noqa: E741
    return i, int(p), int(l)


def paint(session: Any, voxel: tuple[int, int, int] | None = None) -> tuple[int, int, int]:
    """Paint one voxel with the mouse."""
    voxel = voxel or empty_voxel(session)
    stroke(session.viewer, [voxel])
    return voxel


def is_painted(session: Any, voxel: tuple[int, int, int]) -> bool:
    """Whether a voxel of the display is in the mask of the scan."""
    return bool(session.layers.editing.mask_on_display()[voxel])


def saved(session: Any, name: str) -> Any:
    """What is there when the scan is shown again: the draft, else what it would be made of."""
    session.unsaved.flush()
    draft = load_draft(session.study.folder, name)
    if draft is None:  # all changes were undone
        scan = open_scan(session.study.scans.path(name))
        draft, _ = kept_mask(session.study, name, scan)
    return draft


def test_another_scan_is_drawn_once(session: Any) -> None:
    """With its mask, and with the marks of the scan before: each key in Review waits for it."""
    names, own = session.study.scans.names, session.layers.own
    marks = np.zeros(session.layers.showing.now.mask.shape, np.uint8)
    session.layers.overlays.show_doubts(marks, seen=False)
    drawn = Counter[str]()
    for kind in (IMAGE, MASK):
        own.get(kind).events.set_data.connect(lambda _event, kind=kind: drawn.update([kind]))
    session.show_scan(names[2])
    assert drawn[MASK] == 1 and drawn[IMAGE] <= 3  # and for black and white


def test_scan_without_a_mask_opens_at_the_ventricles_in_all_planes(
    window: Any, study: Study
) -> None:
    window.session.take_study(study)
    window.session.show_scan(study.scans.names[1])
    layers = window.session.layers
    assert layers.editing.mask_on_display() is not None
    assert not layers.editing.mask_on_display().any()
    data = layers.showing.image_on_display()
    assert layers.viewpoint.point == middle_of_head(data, layers.viewpoint.scale)
    assert layers.viewpoint.point[0] < data.shape[0] // 2  # higher up than the skull base


def test_stroke_is_painted_told_and_saved(session: Any) -> None:
    told: list[None] = []
    session.mask_edited.connect(lambda: told.append(None))
    voxel = paint(session)
    assert is_painted(session, voxel)
    assert len(told) == 1
    draft = saved(session, session.scan)
    assert np.array_equal(draft, session.layers.editing.mask_on_scan())


def test_undo_and_redo_are_told_and_saved(session: Any) -> None:
    before = session.layers.editing.mask_on_scan()
    paint(session)
    after = session.layers.editing.mask_on_scan()
    told: list[None] = []
    session.mask_edited.connect(lambda: told.append(None))
    press_key(session.viewer, Z, CONTROL)
    assert np.array_equal(session.layers.editing.mask_on_scan(), before)
    assert np.array_equal(saved(session, session.scan), before)
    assert session.unfinished() == ()
    press_key(session.viewer, Z, CONTROL | SHIFT)
    assert np.array_equal(session.layers.editing.mask_on_scan(), after)
    assert np.array_equal(saved(session, session.scan), after)
    assert len(told) == 2


def test_undo_does_not_cross_scans(session: Any) -> None:
    first, second = session.scan, session.study.scans.names[2]
    paint(session)
    painted = session.layers.editing.mask_on_scan()
    show(session, second)
    before = session.layers.editing.mask_on_scan()
    for key in (CONTROL, CONTROL | SHIFT):
        press_key(session.viewer, Z, key)
        assert np.array_equal(session.layers.editing.mask_on_scan(), before)
    show(session, first)
    press_key(session.viewer, Z, CONTROL)
    assert np.array_equal(session.layers.editing.mask_on_scan(), painted)


def test_undo_does_not_reach_behind_another_view_of_the_same_scan(session: Any) -> None:
    paint(session)
    show(session, session.scan, "pseudo_label")
    before = session.layers.editing.mask_on_scan()
    press_key(session.viewer, Z, CONTROL)
    assert np.array_equal(session.layers.editing.mask_on_scan(), before)


def test_tool_is_one_step_of_undo(session: Any) -> None:
    layers = session.layers
    before = layers.editing.mask_on_display()
    mask = before.copy()
    mask[:4] ^= True
    told: list[None] = []
    session.mask_edited.connect(lambda: told.append(None))
    assert layers.editing.change(mask) == mask[:4].size
    assert np.array_equal(layers.editing.mask_on_display(), mask)
    assert len(told) == 1
    press_key(session.viewer, Z, CONTROL)
    assert np.array_equal(layers.editing.mask_on_display(), before)
    layers.editing.redo()
    assert np.array_equal(layers.editing.mask_on_display(), mask)


@pytest.mark.parametrize("quickly", [True, False])
def test_tool_shows_what_it_changed_and_keeps_to_no_range(
    session: Any, monkeypatch: pytest.MonkeyPatch, quickly: bool
) -> None:
    """Also with a napari that writes voxels only by their indices."""
    if not quickly:
        monkeypatch.setattr(editing_module, "write_part", lambda *_: False)
    layers = session.layers
    layers.brush.paint_only_in((1e6, 2e6))  # of nothing
    before = layers.editing.mask_on_display()
    box = (slice(None), slice(2, 9), slice(3, None))
    mask = ~before[box]
    assert layers.editing.change_part(box, mask) == mask.size
    expected = before.copy()
    expected[box] = mask
    assert np.array_equal(layers.editing.mask_on_display(), expected)
    level = layers.viewpoint.point[0]
    seen = np.asarray(layers.editing.layer._slice.image.view) != 0
    assert np.array_equal(seen, expected[level])
    layers.editing.undo()
    assert np.array_equal(layers.editing.mask_on_display(), before)


def test_tool_that_changes_nothing_leaves_nothing_to_undo(session: Any) -> None:
    voxel = paint(session)
    assert session.layers.editing.change(session.layers.editing.mask_on_display()) == 0
    press_key(session.viewer, Z, CONTROL)
    assert not is_painted(session, voxel)


def test_stroke_of_a_button_that_is_down_is_kept_when_the_scan_changes(session: Any) -> None:
    layer, name = session.layers.editing.layer, session.scan
    voxel = empty_voxel(session)
    layer._begin_stroke()
    layer.paint(voxel, 1)
    show(session, session.study.scans.names[2])
    session.unsaved.flush()
    draft = load_draft(session.study.folder, name)
    assert draft is not None
    scan = session.layers.cache.get(session.study.scans.path(name)).scan
    from napari_singlestrip.engine.imaging.display_orientation import Upright

    assert Upright(scan.grid.affine).to_display(draft)[voxel]


def test_polygon_is_saved_whole(session: Any) -> None:
    """napari tells of a polygon before it writes it."""
    layer, (i, p, l) = session.layers.editing.layer, empty_voxel(session)  # noqa: E741
    for leave in (False, True):
        name, before = session.scan, session.layers.editing.mask_on_scan()
        layer.paint_polygon([(i, p, l), (i, p + 4, l), (i, p + 4, l + 4), (i, p, l + 4)], 1 - leave)
        after = session.layers.editing.mask_on_scan()
        assert not np.array_equal(after, before)
        if leave:  # before Qt has come to it
            show(session, session.study.scans.names[2])
        process_events()
        assert np.array_equal(saved(session, name), after)


def test_any_label_is_brain_and_is_seen(session: Any) -> None:
    """napari's M chooses a new label: it must not be painted unseen."""
    layer = session.layers.editing.layer
    layer.selected_label = 2
    voxel = paint(session)
    assert is_painted(session, voxel)
    assert np.allclose(layer.get_color(2), layer.get_color(1))
    assert layer.get_color(1)[3] > 0


def test_change_of_type_keeps_painting_in_the_scan(session: Any) -> None:
    """napari's menu "Convert data type" puts a new array into the layer."""
    layer = session.layers.editing.layer
    before = session.layers.editing.mask_on_scan()
    layer.data = layer.data.astype(np.int32)
    assert np.array_equal(session.layers.editing.mask_on_scan(), before)
    assert is_painted(session, paint(session))


def test_layers_deleted_by_hand_come_back_in_order(session: Any) -> None:
    viewer, layers = session.viewer, session.layers
    viewer.layers.remove(layers.editing.layer)
    assert layers.editing.change(~layers.editing.mask_on_display()) == 0
    layers.editing.undo()
    session.remember()
    show(session, session.study.scans.names[2])
    assert is_painted(session, paint(session))
    viewer.layers.remove(layers.showing.image_layer)
    show(session, session.study.scans.names[1])
    assert [layer.name for layer in viewer.layers] == [IMAGE, MASK]
    assert is_painted(session, paint(session))


def test_layers_of_a_person_are_not_touched(session: Any) -> None:
    """One of them is called as ours is, has finer voxels and an axis more."""
    viewer = session.viewer
    session.layers.clear()
    theirs = viewer.add_labels(np.ones((2, 30, 30, 30), np.uint8), name=MASK, scale=(1, 1, 1, 1))
    image = viewer.add_image(np.ones((30, 30)), name=IMAGE)
    show(session, session.study.scans.names[1])
    session.layers.viewpoint.look_at((8, 9, 10))
    assert session.layers.viewpoint.point == (8, 9, 10)
    for plane in ("sagittal", "coronal", "axial"):
        session.layers.viewpoint.set_plane(plane)
        assert session.layers.viewpoint.plane == plane
        assert session.layers.viewpoint.point == (8, 9, 10)
    voxel = paint(session)
    assert is_painted(session, voxel)
    press_key(viewer, Z, CONTROL)
    show(session, session.study.scans.names[2])
    session.layers.clear()
    assert list(viewer.layers) == [theirs, image]
    assert theirs.data.all() and theirs.data.shape == (2, 30, 30, 30)


def test_renamed_layer_is_still_ours(session: Any) -> None:
    session.layers.editing.layer.name = "brain of today"
    layer = show(session, session.study.scans.names[2])
    assert layer.name == "brain of today"
    assert is_painted(session, paint(session))
    assert len(session.viewer.layers) == 2


def test_scan_can_be_changed_in_3d(session: Any) -> None:
    session.viewer.dims.ndisplay = 3
    process_events()
    assert session.layers.viewpoint.plane == ""
    show(session, session.study.scans.names[2])
    process_events()
    session.layers.viewpoint.set_plane("axial")
    assert is_painted(session, paint(session))


def test_contrast_stays_while_the_scan_stays(session: Any) -> None:
    image = session.layers.showing.image_layer
    image.contrast_limits = limits = [10, 20]
    show(session, session.scan, "pseudo_label")
    assert list(image.contrast_limits) == limits
    show(session, session.study.scans.names[2])
    assert list(image.contrast_limits) != limits


def test_scan_that_cannot_be_read_leaves_what_is_shown(session: Any, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.nii.gz"
    damaged.write_bytes(b"not a picture")
    session.study.scans.add([damaged])
    told: list[str] = []
    session.told.connect(lambda text, level: told.append(level))
    before, name = session.layers.editing.mask_on_scan(), session.scan
    session.show_scan("damaged")
    assert told == ["error"]
    assert session.scan == name
    assert np.array_equal(session.layers.editing.mask_on_scan(), before)


def test_place_is_kept(session: Any, window: Any) -> None:
    session.layers.viewpoint.set_plane("coronal")
    session.layers.viewpoint.look_at((7, 12, 9))
    name, folder = session.scan, session.study.folder
    session.close_study()
    assert not session.viewer.layers
    session.open_study(folder)
    assert (session.scan, session.layers.viewpoint.plane, session.layers.viewpoint.point) == (
        name, "coronal", (7, 12, 9)
    )  # fmt: skip


# --- orientations

# All 48 are in test_upright; these permute and flip every axis.
ORIENTATIONS = ("RAS", "LPS", "PIR", "ASL", "SRA", "ILP")


def turned(source: Path, target: Path, codes: str) -> None:
    """Write an image again with its axes in another order and direction."""
    image: Any = nib.load(source)
    turn = ornt_transform(nib.io_orientation(image.affine), axcodes2ornt(codes))
    data = nib.apply_orientation(np.asanyarray(image.dataobj), turn)
    affine = image.affine @ inv_ornt_aff(turn, image.shape)
    nib.save(nib.Nifti1Image(np.ascontiguousarray(data), affine), target)


def test_painting_lands_in_the_right_voxel_of_every_orientation(
    window: Any, heads: Any, tmp_path: Path
) -> None:
    """The same place of the head, in mm, is painted whatever the order of the file's axes."""
    files = []
    for codes in ORIENTATIONS:
        files.append(tmp_path / "scans" / f"{codes}.nii.gz")
        files[-1].parent.mkdir(exist_ok=True)
        turned(heads.scans[0], files[-1], codes)
    study = Study.create(tmp_path / "turned", files)
    window.session.take_study(study)
    places = {name: _painted_mm(window.session, name) for name in study.scans.names}
    expected = places["RAS"]
    for name, place in places.items():
        assert np.allclose(place, expected, atol=1e-3), name
    shutil.rmtree(tmp_path / "turned")


def _painted_mm(session: Any, name: str) -> Any:
    """Paint voxel (8, 12, 5) of the display; return where the scan's own grid says that is."""
    layer = show(session, name)
    session.layers.viewpoint.look_at((8, 12, 5))
    stroke(session.viewer, [(8, 12, 5)])
    (voxel,) = np.argwhere(session.layers.editing.mask_on_scan())
    assert pixel_of(session.viewer, (8, 12, 5), layer) is not None
    affine = session.layers.showing.now.scan.grid.affine
    return nib.affines.apply_affine(affine, voxel)


def test_showing_the_mask_again_leaves_the_tool_in_hand(session: Any) -> None:
    layer = session.layers.editing.layer
    layer.mode = "paint"
    session.layers.editing.unhide()
    assert layer.mode == "paint"
    session.layers.editing.hide()
    session.layers.editing.unhide()
    assert layer.visible
    assert layer.mode == "paint"


def test_the_status_bar_names_none_of_naparis_keys(session: Any) -> None:
    """Some are other tools here; 7 would move the mask off its scan."""
    for mode in ("lasso", "paint", "erase", "pan_zoom"):
        session.layers.brush.set_mode(mode)
        assert session.viewer.help == ""
    assert [layer.help for layer in session.viewer.layers] == [""] * len(session.viewer.layers)
