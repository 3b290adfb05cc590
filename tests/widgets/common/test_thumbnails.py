"""Thumbnails: drawn in the background, upright, kept in the study, drawn anew when files change."""

from __future__ import annotations

import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from conftest import Heads
from gui_fixtures import process_events, wait_until
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QApplication

from napari_singlestrip.engine.imaging.volume import load_mask, open_scan, save_mask
from napari_singlestrip.errors import UserError
from napari_singlestrip.study.study import Study
from napari_singlestrip.widgets.common import thumbnails as module
from napari_singlestrip.widgets.common.thumbnail_image import OUTLINE, ScanPicture, scan_picture
from napari_singlestrip.widgets.common.thumbnails import (
    FOLDER,
    Thumbnails,
    placeholder,
    warning_picture,
)

pytest_plugins = ("gui_fixtures",)


@pytest.fixture
def thumbnails(qapp: QApplication) -> Iterator[Thumbnails]:
    made = Thumbnails()
    yield made
    made.close_all()
    made.deleteLater()
    process_events()


@pytest.fixture
def own_study(tmp_path: Path, heads: Heads) -> Study:
    """A study whose scans may be changed."""
    (tmp_path / "scans").mkdir()
    for path in heads.scans:
        shutil.copy(path, tmp_path / "scans")
    return Study.create(tmp_path / "study", [tmp_path / "scans"])


def drawn(thumbnails: Thumbnails, study: Study, name: str, mask: Path | None = None) -> QImage:
    thumbnails.pixmap(study, name, mask)
    wait_until(lambda: not thumbnails.busy, "the picture")
    return thumbnails.pixmap(study, name, mask).toImage()


def same(image: QImage, pixmap: QPixmap) -> bool:
    return image == pixmap.toImage()


def test_a_placeholder_comes_at_once_and_the_picture_later(
    thumbnails: Thumbnails, study: Study
) -> None:
    told: list[str] = []
    thumbnails.ready.connect(told.append)
    name = study.scans.names[0]
    assert same(thumbnails.pixmap(study, name).toImage(), placeholder(48))
    image = drawn(thumbnails, study, name)
    assert told == [name]
    assert (image.width(), image.height()) == (48, 48)
    assert not same(image, placeholder(48)) and not same(image, warning_picture(48))


class TakenMeanwhile(OrderedDict[Any, Any]):
    """Requests of which a thread takes one whenever they are looked through."""

    def __iter__(self) -> Iterator[Any]:
        """Begin to look through; what follows meets the change."""
        seen = super().__iter__()
        self.popitem()
        return seen


def test_threads_may_take_what_is_dropped(
    thumbnails: Thumbnails, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of rows are scrolled by: the oldest requests are dropped while others are drawn."""
    monkeypatch.setattr(module, "MAX_WAITING", 1)
    monkeypatch.setattr(thumbnails, "_wishes", TakenMeanwhile())
    monkeypatch.setattr(thumbnails._background, "run", lambda *_: None)
    for name in study.scans.names:
        assert same(thumbnails.pixmap(study, name).toImage(), placeholder(48))
    assert len(thumbnails._wishes) == 1


def test_pictures_are_kept_in_the_study_and_nowhere_else(
    thumbnails: Thumbnails, own_study: Study
) -> None:
    scans = own_study.folder.parent / "scans"
    before = {path: path.stat().st_mtime_ns for path in scans.iterdir()}
    drawn(thumbnails, own_study, own_study.scans.names[0])
    assert [p.suffix for p in (own_study.folder / FOLDER).iterdir()] == [".png"]
    assert {path: path.stat().st_mtime_ns for path in scans.iterdir()} == before


def test_a_kept_picture_is_used_again(
    thumbnails: Thumbnails, own_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = own_study.scans.names[0]
    first = drawn(thumbnails, own_study, name)

    def fail(*_: object) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr("napari_singlestrip.widgets.common.thumbnails.scan_picture", fail)
    again = Thumbnails()
    try:
        assert drawn(again, own_study, name).convertToFormat(QImage.Format.Format_RGB32) == (
            first.convertToFormat(QImage.Format.Format_RGB32)
        )
    finally:
        again.close_all()


def test_a_changed_scan_is_drawn_anew(thumbnails: Thumbnails, own_study: Study) -> None:
    name, other = own_study.scans.names[:2]
    first = drawn(thumbnails, own_study, name)
    shutil.copy(own_study.scans.path(other), own_study.scans.path(name))
    os.utime(own_study.scans.path(name), (1, 1))
    assert thumbnails.pixmap(own_study, name).toImage() == first  # the old one until then
    assert drawn(thumbnails, own_study, name) != first


def test_the_outline_of_a_mask_is_drawn(
    thumbnails: Thumbnails, study: Study, heads: Heads
) -> None:
    name = study.scans.names[0]
    plain = drawn(thumbnails, study, name)
    outlined = drawn(thumbnails, study, name, study.masks.path(name))
    assert plain != outlined
    colours = {
        outlined.pixelColor(x, y).getRgb()[:3] for x in range(48) for y in range(48)
    }
    assert OUTLINE in colours


def test_a_broken_scan_has_a_warning_picture_and_a_reason(
    thumbnails: Thumbnails, own_study: Study
) -> None:
    name = own_study.scans.names[1]
    own_study.scans.path(name).write_bytes(b"\x1f\x8bnonsense")
    assert same(drawn(thumbnails, own_study, name), warning_picture(48))
    notes = thumbnails.notes(own_study, name)
    assert notes is not None and "is damaged" in notes[1]
    assert not (own_study.folder / FOLDER).exists()


def test_what_is_asked_for_last_is_drawn_first(
    thumbnails: Thumbnails, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both threads are held on their first image until all were asked for."""
    begun: list[int] = []
    go = threading.Event()

    def picture(
        path: Path, mask: Path | None, size: int, marks: Path | None = None
    ) -> ScanPicture:
        begun.append(size)
        go.wait(20)
        return ScanPicture(np.zeros((size, size, 3), np.uint8))

    monkeypatch.setattr("napari_singlestrip.widgets.common.thumbnails.scan_picture", picture)
    for size in (10, 11):
        thumbnails.pixmap(study, study.scans.names[0], size=size)
    wait_until(lambda: len(begun) == 2, "both threads")
    for size in (20, 21, 22, 20):
        thumbnails.pixmap(study, study.scans.names[0], size=size)
    go.set()
    wait_until(lambda: not thumbnails.busy, "all pictures")
    # Both threads continue at once, so that either may be the first to say what it took.
    assert 20 in begun[2:4] and sorted(begun) == [10, 11, 20, 21, 22]


def test_what_was_passed_by_is_dropped_and_can_be_asked_for_again(
    thumbnails: Thumbnails, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_singlestrip.widgets.common.thumbnails.MAX_WAITING", 2)
    name = study.scans.names[0]
    for size in range(10, 20):
        thumbnails.pixmap(study, name, size=size)
    wait_until(lambda: not thumbnails.busy, "the last pictures")
    assert not same(thumbnails.pixmap(study, name, size=19).toImage(), placeholder(19))
    assert same(thumbnails.pixmap(study, name, size=13).toImage(), placeholder(13))
    wait_until(lambda: not thumbnails.busy, "the picture")
    assert not same(thumbnails.pixmap(study, name, size=13).toImage(), placeholder(13))


def test_closing_ends_the_threads(qapp: QApplication, study: Study) -> None:
    made = Thumbnails()
    for name in study.scans.names:
        made.pixmap(study, name)
    made.close_all()
    assert not [t for t in threading.enumerate() if t.name.startswith("thumbnails")]
    # A late question is answered, and starts nothing.
    made.pixmap(study, study.scans.names[0], size=20)
    assert not [t for t in threading.enumerate() if t.name.startswith("thumbnails")]


# --- the image itself, without Qt


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SAL", "ARI"])
def test_the_left_of_the_patient_is_on_the_right(codes: str, tmp_path: Path) -> None:
    values = np.zeros((40, 40, 40), np.int16)
    values[4:36, 4:36, 4:36] = 50
    values[4:12, 15:25] = 100  # at the patient's left (RAS: i grows to the right)
    values[15:25, 28:36] = 200  # in front
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes)
    )
    affine = np.diag([5.0, 5, 5, 1]) @ nib.orientations.inv_ornt_aff(turn, values.shape)
    path = tmp_path / "head.nii.gz"
    nib.save(nib.Nifti1Image(nib.orientations.apply_orientation(values, turn), affine), path)
    grey = scan_picture(path, size=48).rgb[..., 0].astype(int)
    left, right = grey[22:26, 6], grey[22:26, 41]
    assert right.min() > left.max()
    assert grey[6, 24] > grey[41, 24]


def test_slices_keep_their_proportions(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(50, 100, (60, 20, 30)).astype(np.int16)
    values[:, :, 0] = 0
    path = tmp_path / "head.nii.gz"
    nib.save(nib.Nifti1Image(values, np.diag([1.0, 6.0, 3.0, 1.0])), path)  # 60 x 120 mm
    seen = scan_picture(path, size=48).rgb[..., 0] > 0
    assert np.flatnonzero(seen.any(axis=0)).size == pytest.approx(24, abs=2)
    assert np.flatnonzero(seen.any(axis=1)).size == pytest.approx(48, abs=2)


@pytest.mark.parametrize(
    ("values", "message"),
    [(np.full((20, 20, 20), 7, np.int16), "all its values are the same"),
     (np.full((20, 20, 20), np.nan, np.float32), "no finite value")],
    ids=["constant", "nan"],
)
def test_values_that_show_nothing_are_told(
    values: np.ndarray[Any, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "head.nii.gz"
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    with pytest.raises(UserError, match=message):
        scan_picture(path)


def test_some_nan_are_noted(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((20, 20, 20)).astype(np.float32)
    values[0, 0, :3] = np.nan
    path = tmp_path / "head.nii.gz"
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    assert scan_picture(path).notes == ("3 values are NaN or inf: they are replaced",)


def test_a_mask_on_another_grid_is_not_drawn(tmp_path: Path, heads: Heads) -> None:
    other = open_scan(heads.scans[2])  # with thick slices
    save_mask(tmp_path / "m.nii.gz", load_mask(heads.masks[2], like=other), like=other)
    plain = scan_picture(heads.scans[0]).rgb
    assert np.array_equal(scan_picture(heads.scans[0], tmp_path / "m.nii.gz").rgb, plain)
