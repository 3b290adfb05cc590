from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from dicom_series import CORONAL, OBLIQUE, SAGITTAL, Head

from napari_singlestrip.dicom import reading
from napari_singlestrip.dicom.series import choose, find_series
from napari_singlestrip.errors import UserError


def test_every_series_has_its_line(tmp_path: Path) -> None:
    Head().write(tmp_path / "a")
    Head(number=4, directions=SAGITTAL, description="t2_tse").write(tmp_path / "a")
    Head(number=5, directions=CORONAL, size=(12, 18, 8)).write(tmp_path / "b")
    Head(number=6, directions=OBLIQUE).write(tmp_path / "b")
    Head(number=7).write_enhanced(tmp_path / "c" / "one_file")
    found = find_series(tmp_path)
    lines = {
        one.series_number: (one.description, one.n_images, one.size_words, one.voxel_words)
        for one in found
    }
    assert lines[4] == ("t2_tse", 10, "20 x 16 x 10", "2 x 2.5 x 3")
    assert lines[5][1:3] == (8, "12 x 18 x 8")
    assert lines[7] == lines[3]
    assert len(next(one for one in found if one.series_number == 7).files) == 1
    turned = {one.series_number: one.orientation for one in found}
    assert turned == {
        3: "axial", 4: "sagittal", 5: "coronal", 6: "axial, oblique 22°", 7: "axial"
    }
    assert not [one.problem for one in found if one.problem]


def test_persons_and_visits_are_numbers(tmp_path: Path) -> None:
    later = Head(number=1, study_uid="1.2.9", extra={"StudyDate": "20270101"})
    for n, head in enumerate((later, Head(number=9), Head(name="Else^Other", patient_id="8"))):
        head.write(tmp_path / str(n))
    found = find_series(tmp_path)
    told = [(one.number, one.person_number, one.visit, one.series_number) for one in found]
    assert told == [(1, 1, 1, 9), (2, 1, 2, 1), (3, 2, 1, 3)]
    assert "Sommerfeldt" not in repr(found)


def test_a_name_in_a_description_is_not_shown(tmp_path: Path) -> None:
    Head(description="t1 SOMMERFELDT kh-4711 sag").write(tmp_path)
    assert find_series(tmp_path)[0].description == "t1 sag"


def test_what_makes_no_volume_is_listed_with_the_reason(tmp_path: Path) -> None:
    uid = Head().uid
    for directions in ((1, 0, 0, 0, 1, 0), SAGITTAL, CORONAL):
        Head(number=1, uid=uid, directions=directions, size=(16, 16, 3)).write(
            tmp_path / str(directions)
        )
    Head(number=2, left_out=(4, 5)).write(tmp_path / "gap")
    Head(number=3, extra={"ImageType": ["DERIVED", "SECONDARY"]}).write(tmp_path / "good")
    Head(number=4, extra={"ImageOrientationPatient": None}).write(tmp_path / "one")
    notes = {one.series_number: one.note for one in find_series(tmp_path)}
    assert "3 orientations" in notes[1]
    assert "2 slices are missing" in notes[2]
    assert notes[3] == ""


def test_images_without_a_place_are_told(tmp_path: Path) -> None:
    import pydicom

    Head().write(tmp_path)
    for path in tmp_path.iterdir():
        data = pydicom.dcmread(path)
        del data.ImagePositionPatient
        data.save_as(path)
    (found,) = find_series(tmp_path)
    assert found.problem == "Its images have no position in space."


def test_the_rest_is_passed_over_with_a_count(tmp_path: Path) -> None:
    Head().write(tmp_path)
    (tmp_path / "copy").mkdir()
    first = next(path for path in tmp_path.iterdir() if path.is_file())
    (tmp_path / "copy" / "again").write_bytes(first.read_bytes())
    (tmp_path / "readme.txt").write_text("no image")
    (tmp_path / "broken").write_bytes(bytes(128) + b"DICM" + b"\xff" * 20)
    (said,) = find_series(tmp_path).notes
    assert "1 file there twice" in said
    assert "1 file of other kinds" in said
    assert "damaged" in said or "without an image" in said


def test_odd_values_of_a_header_are_not_warned_of(tmp_path: Path) -> None:
    """Warnings of pydicom quote values, such as a name."""
    Head(number=3).write(tmp_path)
    for path in tmp_path.iterdir():
        content = path.read_bytes().replace(b"20260102", b"never???")
        path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(find_series(tmp_path)) == 1


def test_choosing_by_the_numbers_of_the_list(tmp_path: Path) -> None:
    for number in (1, 2, 3, 4):
        Head(number=number, left_out=(4,) if number == 2 else ()).write(tmp_path / str(number))
    Head(number=5, description="localiser", size=(20, 16, 1)).write(tmp_path / "5")
    found = find_series(tmp_path)
    assert [one.number for one in choose(found, "4, 1-2,1")] == [4, 1, 2]
    # A cut one fails, so that the exit code tells; a localiser is not meant.
    assert [one.number for one in choose(found, "all")] == [1, 2, 3, 4]
    for wrong in ("0", "6", "3-9", "a", "", "2-1", "1;2"):
        with pytest.raises(UserError):
            choose(found, wrong)


def test_looking_can_be_stopped(tmp_path: Path) -> None:
    Head().write(tmp_path)
    assert find_series(tmp_path, lambda n: n <= 4)[0].n_images == 4


def test_a_folder_without_dicom_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(UserError, match="no DICOM images"):
        find_series(tmp_path)
    with pytest.raises(UserError, match="no folder"):
        find_series(tmp_path / "nowhere")


def test_without_pydicom_a_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r'pip install "napari-singlestrip\[dicom\]"'):
        find_series(tmp_path)


