from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_series import CORONAL, OBLIQUE, SAGITTAL, Head, pydicom
from pydicom.encaps import encapsulate
from pydicom.uid import generate_uid

from napari_singlestrip.dicom import convert as module
from napari_singlestrip.dicom.convert import convert
from napari_singlestrip.dicom.geometry import onto_stack
from napari_singlestrip.dicom.series import find_series
from napari_singlestrip.dicom.sources import RECORD, read_sources
from napari_singlestrip.errors import UserError
from napari_singlestrip.events import Event, Finished, Note, Wrote

pytest.importorskip("dcm2niix", reason="the extra dicom is not installed")


def converted(folder: Path, out: Path) -> list[Event]:
    return list(convert(find_series(folder), out))


def notes(events: list[Event]) -> str:
    return " ".join(event.text for event in events if isinstance(event, Note))


def scans(out: Path) -> list[str]:
    return sorted(path.name for path in out.glob("*.nii.gz"))


@pytest.mark.parametrize("directions", [(1, 0, 0, 0, 1, 0), SAGITTAL, CORONAL, OBLIQUE])
@pytest.mark.parametrize("enhanced", [False, True])
def test_every_voxel_lies_where_the_dicom_headers_say(
    tmp_path: Path, directions: tuple[float, ...], enhanced: bool
) -> None:
    head = Head(directions=directions)
    if enhanced:
        head.write_enhanced(tmp_path / "in" / "file")
    else:
        head.write(tmp_path / "in")
    (event,) = (e for e in converted(tmp_path / "in", tmp_path / "out") if isinstance(e, Wrote))
    image = nib.Nifti1Image.from_filename(event.path)
    (series,) = find_series(tmp_path / "in")
    assert series.grid is not None
    found = onto_stack(np.asarray(image.dataobj), image.affine, series.grid)
    np.testing.assert_array_equal(found, head.values)


def test_files_are_named_by_person_series_and_description(tmp_path: Path) -> None:
    Head(description="t1 MPRAGE: sag/iso").write(tmp_path / "in" / "a")
    Head(number=12, description="").write(tmp_path / "in" / "b")
    Head(name="Else^Other", patient_id="8").write(tmp_path / "in" / "c")
    converted(tmp_path / "in", tmp_path / "out")
    assert scans(tmp_path / "out") == [
        "p01_003_t1-MPRAGE-sag-iso.nii.gz", "p01_012.nii.gz",
        "p02_003_t1-mprage.nii.gz",
    ]


def test_nothing_names_the_patient(tmp_path: Path) -> None:
    """Neither files and what is in them, nor what the job says."""
    extra = {
        "ProtocolName": "for Sommerfeldt", "SequenceName": "Apollonia",
        "StudyDescription": "KH-4711", "InstitutionName": "Apollonia hospital",
    }
    Head(description="t1 Sommerfeldt", extra=extra).write(tmp_path / "in")
    Head(number=4, description="Apollonia", left_out=(3,)).write(tmp_path / "in")
    events = converted(tmp_path / "in", tmp_path / "out")
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(scans(tmp_path / "out")) == 1
    content = b"".join(
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in written
    )
    told = " ".join(event.to_json() for event in events) + " ".join(map(str, written))
    for word in ("sommerfeldt", "apollonia", "4711", "19520317", "arzt"):
        assert word.encode() not in content.lower()
        assert word not in told.lower()


def test_the_way_back_is_kept(tmp_path: Path) -> None:
    head = Head().write(tmp_path / "in")
    converted(tmp_path / "in", tmp_path / "out")
    (source,) = read_sources(tmp_path / "out" / RECORD).scans.values()
    assert source.series_uid == head.uid
    assert source.study_uid == head.study_uid
    assert source.frame_uid == head.frame_uid
    assert source.path == tmp_path / "in"


def test_a_person_keeps_the_number_in_later_conversions(tmp_path: Path) -> None:
    Head(name="Else^Other", patient_id="8").write(tmp_path / "one")
    Head(number=7).write(tmp_path / "two")
    Head(number=8, name="Else^Other", patient_id="8").write(tmp_path / "three")
    for name in ("one", "two", "three"):
        converted(tmp_path / name, tmp_path / "out")
    assert [name[:7] for name in scans(tmp_path / "out")] == ["p01_003", "p01_008", "p02_007"]


def test_two_visits_with_one_number_are_two_scans(tmp_path: Path) -> None:
    for name in ("one", "two"):
        Head(study_uid=generate_uid()).write(tmp_path / "in" / name)
    converted(tmp_path / "in", tmp_path / "out")
    assert scans(tmp_path / "out") == [
        "p01_003_t1-mprage.nii.gz", "p01_003_t1-mprage_2.nii.gz"
    ]


def test_what_is_there_stays_and_counts_as_done(tmp_path: Path) -> None:
    Head().write(tmp_path / "in")
    converted(tmp_path / "in", tmp_path / "out")
    (path,) = (tmp_path / "out").glob("*.nii.gz")
    path.write_bytes(b"mine")
    events = converted(tmp_path / "in", tmp_path / "out")
    assert path.read_bytes() == b"mine"
    assert isinstance(events[-1], Finished)
    assert (events[-1].n_done, events[-1].n_failed) == (1, 0)
    path.unlink()
    converted(tmp_path / "in", tmp_path / "out")
    assert scans(tmp_path / "out") == [path.name]


def test_a_bad_series_does_not_stop_the_rest(tmp_path: Path) -> None:
    Head(number=1, left_out=(4,)).write(tmp_path / "in" / "a")
    Head(number=2, positions=(0, 2, 5, 6, 9, 11, 15, 16, 19, 20)).write(tmp_path / "in" / "b")
    Head(number=3).write(tmp_path / "in" / "c")
    events = converted(tmp_path / "in", tmp_path / "out")
    assert "1 slice is missing" in notes(events)
    assert "1 to 4 mm apart" in notes(events)
    assert isinstance(events[-1], Finished)
    assert (events[-1].n_done, events[-1].n_failed) == (1, 2)
    assert len(scans(tmp_path / "out")) == 1


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEGLSLossless"])
def test_compressed_images_are_converted(tmp_path: Path, syntax: str) -> None:
    head = Head().write(tmp_path / "in")
    for path in (tmp_path / "in").iterdir():
        data = pydicom.dcmread(path)
        data.compress(getattr(pydicom.uid, syntax))
        data.save_as(path)
    converted(tmp_path / "in", tmp_path / "out")
    (name,) = scans(tmp_path / "out")
    values = np.asarray(nib.Nifti1Image.from_filename(str(tmp_path / "out" / name)).dataobj)
    np.testing.assert_array_equal(np.unique(values), np.unique(head.values))


def test_a_compression_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    Head().write(tmp_path / "in" / "a")
    for path in (tmp_path / "in" / "a").iterdir():
        data = pydicom.dcmread(path)
        data.file_meta.TransferSyntaxUID = pydicom.uid.HTJ2KLossless
        data.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(60)])
        data["PixelData"].is_undefined_length = True
        data.save_as(path)
    Head(number=4).write(tmp_path / "in" / "b")
    events = converted(tmp_path / "in", tmp_path / "out")
    assert "High-Throughput JPEG 2000" in notes(events)
    assert scans(tmp_path / "out") == ["p01_004_t1-mprage.nii.gz"]


def test_never_among_the_dicom_files(tmp_path: Path) -> None:
    Head().write(tmp_path / "in")
    before = sorted(os.listdir(tmp_path / "in"))
    with pytest.raises(UserError, match="Choose another folder"):
        converted(tmp_path / "in", tmp_path / "in")
    assert sorted(os.listdir(tmp_path / "in")) == before


def test_a_killed_conversion_has_its_name_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Head().write(tmp_path / "in")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_keep", killed)
        with pytest.raises(KeyboardInterrupt):
            converted(tmp_path / "in", tmp_path / "out")
    converted(tmp_path / "in", tmp_path / "out")
    assert scans(tmp_path / "out") == ["p01_003_t1-mprage.nii.gz"]


def test_what_lies_elsewhere_than_the_headers_say_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Head().write(tmp_path / "in")
    monkeypatch.setattr(module, "lies_on", lambda *_: False)
    events = converted(tmp_path / "in", tmp_path / "out")
    assert "does not lie where the DICOM headers say" in notes(events)
    assert scans(tmp_path / "out") == []


def test_the_sidecar_has_what_the_scanner_did(tmp_path: Path) -> None:
    Head().write(tmp_path / "in")
    converted(tmp_path / "in", tmp_path / "out")
    told = json.loads((tmp_path / "out" / "p01_003_t1-mprage.json").read_text())
    assert told["MagneticFieldStrength"] == 3
    assert told["EchoTime"] == 0.003
