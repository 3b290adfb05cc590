"""Readers: upright for every orientation, all kinds of files, studies and folders in the dock."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from conftest import Heads
from gui_fixtures import process_events

from napari_singlestrip.errors import UserError
from napari_singlestrip.napari_io.readers import NO_LAYER, get_reader, read_scan
from napari_singlestrip.study.study import Study

pytest_plugins = ("gui_fixtures",)

AXES = [
    "".join(codes)
    for axes in itertools.permutations(("LR", "PA", "IS"))
    for codes in itertools.product(*axes)
]


def load(path: str | Path) -> Any:
    """Open a file as nibabel does."""
    return nib.load(path)


def write(path: Path, values: np.ndarray[Any, Any], affine: np.ndarray[Any, Any]) -> Path:
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


def arrow(path: Path, codes: str) -> Path:
    """A scan (left-right, 1 mm; front-back, 2 mm; up-down, 3 mm) with three marks."""
    canonical = np.zeros((6, 7, 8), np.int16)  # R, A, S
    canonical[0, 3, 4] = 50  # at the patient's left
    canonical[3, 6, 4] = 60  # in front
    canonical[3, 3, 7] = 70  # on top
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes)
    )
    affine = np.diag([1.0, 2.0, 3.0, 1.0]) @ nib.orientations.inv_ornt_aff(turn, canonical.shape)
    return write(path, nib.orientations.apply_orientation(canonical, turn), affine)


@pytest.mark.parametrize("codes", AXES)
def test_upright_for_all_48_orientations(codes: str, tmp_path: Path) -> None:
    data, attributes, kind = read_scan(arrow(tmp_path / "head.nii.gz", codes))
    assert kind == "image" and data.shape == (8, 7, 6)
    assert attributes["scale"] == pytest.approx((3.0, 2.0, 1.0))
    # Down the rows is down the head, to the right is the patient's left: radiological.
    assert np.argwhere(data == 50).tolist() == [[3, 3, 5]]
    assert np.argwhere(data == 60).tolist() == [[3, 0, 2]]
    assert np.argwhere(data == 70).tolist() == [[0, 3, 2]]


def test_metadata_say_where_it_came_from(tmp_path: Path) -> None:
    path = arrow(tmp_path / "head.nii", "PIR")
    _, attributes, _ = read_scan(path)
    assert attributes["name"] == "head"
    assert attributes["metadata"]["path"] == str(path)
    assert np.allclose(attributes["metadata"]["affine"], load(path).affine)
    low, high = attributes["contrast_limits"]
    assert low < high


def test_4d_is_shown_as_its_mean_and_says_so(tmp_path: Path) -> None:
    frames = np.zeros((4, 5, 6, 3), np.int16)
    frames[1, 1, 1] = (0, 30, 60)
    data, attributes, _ = read_scan(write(tmp_path / "bold.nii.gz", frames, np.eye(4)))
    assert data.shape == (6, 5, 4) and data.max() == 30
    assert "4D: mean of 3 frames" in attributes["metadata"]["notes"]


def test_masks_become_labels(tmp_path: Path) -> None:
    values = np.zeros((4, 5, 6), np.uint8)
    values[1:3, 1:3, 1:3] = 1
    data, _, kind = read_scan(write(tmp_path / "sub-01_brain_mask.nii.gz", values, np.eye(4)))
    assert kind == "labels" and data.dtype.kind == "i" and data.sum() == 8
    _, _, kind = read_scan(write(tmp_path / "sub-01_T1w.nii.gz", values, np.eye(4)))
    assert kind == "image"


@pytest.mark.parametrize(
    "name", ["seg3d_T1w", "sub-Segura_T1w", "T1w_unmasked", "labelled", "mask_T1w", "T1w_seg"]
)
def test_a_scan_whose_name_holds_a_word_of_masks_is_an_image(name: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 900, (8, 9, 10)).astype(np.int16)
    data, _, kind = read_scan(write(tmp_path / f"{name}.nii.gz", values, np.eye(4)))
    assert kind == "image" and data.size == values.size


@pytest.mark.parametrize("name", ["a_mask", "a_dseg", "a-label", "brainmask"])
def test_labels_are_told_by_whole_words_and_values(name: str, tmp_path: Path) -> None:
    values = np.zeros((8, 9, 10), np.float32)
    values[2:6, 2:4], values[2:6, 5:8] = 3, 17
    data, _, kind = read_scan(write(tmp_path / f"{name}.nii.gz", values, np.eye(4)))
    assert kind == "labels" and set(np.unique(data)) == {0, 3, 17}


@pytest.mark.parametrize("extension", [".mgz", ".mgh"])
def test_mgh(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"T1{extension}"
    values = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    nib.save(nib.MGHImage(values, np.eye(4)), path)
    reader = get_reader(str(path))
    assert reader is not None
    ((data, _, kind),) = reader(str(path))
    assert kind == "image" and sorted(data.ravel()) == sorted(values.ravel())


def test_analyze_pair(tmp_path: Path) -> None:
    values = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    nib.save(nib.AnalyzeImage(values, np.eye(4)), tmp_path / "old.img")
    reader = get_reader(str(tmp_path / "old.hdr"))
    assert reader is not None
    ((data, attributes, _),) = reader(str(tmp_path / "old.hdr"))
    assert data.size == values.size
    assert any("check left and right" in note for note in attributes["metadata"]["notes"])


def test_a_broken_file_is_told_by_name(tmp_path: Path) -> None:
    path = tmp_path / "broken.nii.gz"
    path.write_bytes(b"\x1f\x8b not really")
    reader = get_reader(str(path))
    assert reader is not None
    with pytest.raises(UserError, match=r"broken\.nii\.gz is damaged"):
        reader(str(path))


def test_what_is_not_ours_is_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / "study.json.txt").write_text("{}")
    assert get_reader(str(tmp_path / "picture.tif")) is None
    assert get_reader([]) is None
    assert get_reader(str(tmp_path / "notes.json")) is None
    assert get_reader(str(tmp_path)) is None  # a folder without scans


def test_several_files_at_once(heads: Heads) -> None:
    paths = [str(path) for path in heads.scans[:2]]
    reader = get_reader(paths)
    assert reader is not None
    assert [kind for _, _, kind in reader(paths)] == ["image", "image"]


# --- in a window


@pytest.mark.parametrize("part", ["", "study.json"])
def test_a_study_is_opened_in_the_dock(window: Any, study: Study, part: str) -> None:
    reader = get_reader(str(study.folder / part))
    assert reader is not None
    assert reader(str(study.folder / part)) == NO_LAYER
    assert window.session.study is not None
    assert window.session.study.folder == study.folder


def test_a_folder_of_scans_begins_a_study_in_the_dock(window: Any, heads: Heads) -> None:
    folder = str(heads.scans[0].parent)
    reader = get_reader(folder)
    assert reader is not None and reader(folder) == NO_LAYER
    process_events()
    assert window.panels["scans"].adding.place.isVisible()


def test_a_study_needs_a_window(study: Study) -> None:
    reader = get_reader(str(study.folder))
    assert reader is not None
    with pytest.raises(UserError, match="no window"):
        reader(str(study.folder))


def test_a_folder_without_a_window_gives_layers(heads: Heads) -> None:
    folder = str(heads.scans[0].parent)
    reader = get_reader(folder)
    assert reader is not None
    assert len(reader(folder)) == len(heads.scans)


def test_napari_chooses_our_reader(viewer: Any, tmp_path: Path) -> None:
    """File > Open of a scan, through napari and the installed manifest."""
    path = arrow(tmp_path / "head.nii.gz", "LIP")
    (layer,) = viewer.open(path, plugin="napari-singlestrip")
    assert layer.data.shape == (8, 7, 6)
    assert tuple(layer.scale) == pytest.approx((3, 2, 1))
    assert np.argwhere(np.asarray(layer.data) == 50).tolist() == [[3, 3, 5]]


def test_napari_opens_the_dock_for_a_study(viewer: Any, study: Study) -> None:
    from napari_singlestrip.widgets.dock.find_dock import find_dock

    assert viewer.open(study.folder, plugin="napari-singlestrip") == []
    dock = find_dock(viewer)
    assert dock is not None and dock.session.study is not None
    process_events()


def test_where_the_reader_was_scripts_still_find_it() -> None:
    from napari_singlestrip import napari_readers
    from napari_singlestrip.napari_io import readers

    assert napari_readers.get_reader is readers.get_reader
    assert napari_readers.read_scan is readers.read_scan
