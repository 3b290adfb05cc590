from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from dicom_series import CORONAL, OBLIQUE, SAGITTAL, Head, pydicom
from numpy.typing import NDArray

from napari_singlestrip import __version__
from napari_singlestrip.dicom.convert import convert
from napari_singlestrip.dicom.seg import SourceSeries, write_seg
from napari_singlestrip.dicom.series import Series, find_series
from napari_singlestrip.dicom.sources import RECORD, read_sources
from napari_singlestrip.errors import UserError

hd = pytest.importorskip("highdicom", reason="the extra dicom is not installed")
pytest.importorskip("dcm2niix", reason="the extra dicom is not installed")


def brain(values: NDArray[Any]) -> NDArray[np.bool_]:
    """A part without any symmetry, empty in the first slices."""
    part: NDArray[np.bool_] = (values % 7 == 0) & (values > 900)
    return part


def converted(head: Head, folder: Path) -> tuple[Series, NDArray[np.bool_], NDArray[np.float64]]:
    """The series, and a mask on the grid of its scan."""
    (series,) = find_series(folder / "in")
    list(convert([series], folder / "out"))
    (path,) = (folder / "out").glob("*.nii.gz")
    image = nib.Nifti1Image.from_filename(str(path))
    return series, brain(np.asarray(image.dataobj)), np.asarray(image.affine)


@pytest.mark.parametrize("directions", [(1, 0, 0, 0, 1, 0), SAGITTAL, CORONAL, OBLIQUE])
def test_read_back_voxel_for_voxel_in_the_slices_of_the_source(
    tmp_path: Path, directions: tuple[float, ...]
) -> None:
    head = Head(directions=directions).write(tmp_path / "in")
    series, mask, affine = converted(head, tmp_path)
    write_seg(tmp_path / "seg.dcm", mask, affine, series, "SEMIAUTOMATIC")
    seg = hd.seg.segread(tmp_path / "seg.dcm")
    sources = sorted(map(pydicom.dcmread, series.files), key=lambda one: one.InstanceNumber)
    found = seg.get_pixels_by_source_instance(
        [one.SOPInstanceUID for one in sources], combine_segments=True,
        assert_missing_frames_are_empty=True,
    )
    np.testing.assert_array_equal(found.astype(bool), brain(head.values))


def test_a_multi_frame_source_has_its_frames(tmp_path: Path) -> None:
    head = Head().write_enhanced(tmp_path / "in" / "file")
    series, mask, affine = converted(head, tmp_path)
    write_seg(tmp_path / "seg.dcm", mask, affine, series, "AUTOMATIC")
    found = hd.seg.segread(tmp_path / "seg.dcm").get_pixels_by_source_frame(
        pydicom.dcmread(series.files[0]).SOPInstanceUID, list(range(1, head.size[2] + 1)),
        combine_segments=True, assert_missing_frames_are_empty=True,
    )
    np.testing.assert_array_equal(found.astype(bool), brain(head.values))


@pytest.mark.parametrize("algorithm", ["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"])
def test_it_says_what_it_is_and_whose(tmp_path: Path, algorithm: Any) -> None:
    head = Head().write(tmp_path / "in")
    series, mask, affine = converted(head, tmp_path)
    write_seg(tmp_path / "seg.dcm", mask, affine, series, algorithm)
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    (segment,) = seg.SegmentSequence
    assert segment.SegmentAlgorithmType == algorithm
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "12738006"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == "SCT"
    assert seg.FrameOfReferenceUID == head.frame_uid
    assert seg.StudyInstanceUID == head.study_uid
    assert seg.PatientID == head.patient_id
    assert [one.SeriesInstanceUID for one in seg.ReferencedSeriesSequence] == [head.uid]


def test_it_says_that_another_program_made_the_mask(tmp_path: Path) -> None:
    series, mask, affine = converted(Head().write(tmp_path / "in"), tmp_path)
    made_by = []
    for program in ("", "bet"):
        write_seg(tmp_path / "seg.dcm", mask, affine, series, "AUTOMATIC", program)
        (segment,) = pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence
        (said,) = segment.SegmentationAlgorithmIdentificationSequence
        made_by.append((said.AlgorithmName, said.AlgorithmVersion == __version__))
    assert made_by == [("napari-singlestrip", True), ("bet", False)]


def test_an_anonymised_source_is_enough(tmp_path: Path) -> None:
    head = Head().write(tmp_path / "in")
    for path in (tmp_path / "in").iterdir():
        data = pydicom.dcmread(path)
        for tag in ("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber",
                    "StudyDate", "StudyTime", "StudyID", "ReferringPhysicianName"):
            delattr(data, tag)
        data.save_as(path)
    series, mask, affine = converted(head, tmp_path)
    write_seg(tmp_path / "seg.dcm", mask, affine, series, "MANUAL")
    assert hd.seg.segread(tmp_path / "seg.dcm").number_of_segments == 1


def test_two_images_of_each_slice_have_the_mask_of_the_first(tmp_path: Path) -> None:
    head = Head(extra={"EchoTime": 5.0, "EchoNumbers": 1}).write(tmp_path / "in" / "one")
    second = {"EchoTime": 9.0, "EchoNumbers": 2}
    Head(uid=head.uid, frame_uid=head.frame_uid, extra=second).write(tmp_path / "in" / "two")
    (series,) = find_series(tmp_path / "in")
    assert series.note == "2 images of each slice"
    list(convert([series], tmp_path / "out"))
    first = sorted((tmp_path / "out").glob("*.nii.gz"))[0]
    image = nib.Nifti1Image.from_filename(str(first))
    mask = brain(np.asarray(image.dataobj))
    write_seg(tmp_path / "seg.dcm", mask, np.asarray(image.affine), series, "AUTOMATIC")
    assert hd.seg.segread(tmp_path / "seg.dcm").NumberOfFrames == brain(head.values).any(
        axis=(1, 2)
    ).sum()


def test_another_grid_and_an_empty_mask_are_refused(tmp_path: Path) -> None:
    head = Head().write(tmp_path / "in")
    series, mask, affine = converted(head, tmp_path)
    with pytest.raises(UserError, match="does not lie on the slices"):
        write_seg(tmp_path / "seg.dcm", mask[:, :, 1:], affine, series, "MANUAL")
    with pytest.raises(UserError, match="empty"):
        write_seg(tmp_path / "seg.dcm", np.zeros_like(mask), affine, series, "MANUAL")
    assert not (tmp_path / "seg.dcm").exists()


def test_only_a_mask_of_the_same_series_is_replaced(tmp_path: Path) -> None:
    head = Head().write(tmp_path / "in")
    series, mask, affine = converted(head, tmp_path)
    write_seg(tmp_path / "seg.dcm", mask, affine, series, "MANUAL")
    write_seg(tmp_path / "seg.dcm", mask, affine, series, "AUTOMATIC")
    image = next((tmp_path / "in").iterdir())
    before = image.read_bytes()
    with pytest.raises(UserError, match="not a mask of this scan"):
        write_seg(image, mask, affine, series, "MANUAL")
    assert image.read_bytes() == before


def test_a_source_that_is_gone_is_named(tmp_path: Path) -> None:
    Head().write(tmp_path / "in")
    list(convert(find_series(tmp_path / "in"), tmp_path / "out"))
    (source,) = read_sources(tmp_path / "out" / RECORD).scans.values()
    (tmp_path / "in").rename(tmp_path / "Sommerfeldt")
    with pytest.raises(UserError, match=r"series 3 \(t1_mprage\).*--dicom DIR"):
        SourceSeries().find(source)
    assert SourceSeries(tmp_path / "Sommerfeldt").find(source).uid == source.series_uid
