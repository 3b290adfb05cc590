from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_series import Head, pydicom

from napari_singlestrip.cli.app import main
from napari_singlestrip.errors import NOTHING_DONE, OK, SOME_FAILED, USER_MISTAKE
from napari_singlestrip.study.dicom_sources import source_of
from napari_singlestrip.study.study import Study

hd = pytest.importorskip("highdicom", reason="the extra dicom is not installed")
pytest.importorskip("dcm2niix", reason="the extra dicom is not installed")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Two scans from DICOM, the first painted."""
    Head(number=3).write(tmp_path / "in" / "a")
    Head(number=4, directions=(0, 1, 0, 0, 0, -1)).write(tmp_path / "in" / "b")
    scans = tmp_path / "scans"
    assert main(["dicom", str(tmp_path / "in"), "--series", "all", "--out", str(scans)]) == OK
    for path in scans.glob("*.nii.gz"):
        image = nib.Nifti1Image.from_filename(str(path))
        mask = (np.asarray(image.dataobj) > 900).astype(np.uint8)
        nib.save(nib.Nifti1Image(mask, image.affine), tmp_path / f"{path.name[:7]}_mask.nii.gz")
    return Study.create(
        tmp_path / "study", [scans], masks={"p01_003_t1-mprage": tmp_path / "p01_003_mask.nii.gz"}
    )


def test_the_study_keeps_where_its_scans_come_from(study: Study, tmp_path: Path) -> None:
    (tmp_path / "scans" / "dicom_sources.json").unlink()
    for entry in study.scans:
        source = source_of(study.folder, entry)
        assert source is not None
        assert source.path.parent == tmp_path / "in"


def test_scans_added_later_are_kept_too(study: Study, tmp_path: Path) -> None:
    Head(number=9).write(tmp_path / "more" / "in")
    out = tmp_path / "more" / "scans"
    assert main(["dicom", str(tmp_path / "more" / "in"), "--series", "1", "--out", str(out)]) == OK
    (name,) = study.scans.add([out])
    (out / "dicom_sources.json").unlink()
    source = source_of(study.folder, study.scans.entry(name))
    assert source is not None
    assert source.series_number == 9


def test_masks_go_back_as_dicom_seg(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "segs"
    assert main(["masks", str(study.folder), "--out", str(out), "--as", "dicom-seg"]) == OK
    assert [path.name for path in out.glob("*.dcm")] == ["p01_003_t1-mprage_desc-brain_seg.dcm"]
    seg = hd.seg.segread(out / "p01_003_t1-mprage_desc-brain_seg.dcm")
    assert seg.SegmentSequence[0].SegmentAlgorithmType == "MANUAL"
    table = (out / "masks.csv").read_text()
    assert "p01_003_t1-mprage_desc-brain_seg.dcm" in table
    assert not list(out.glob("*.nii.gz"))


def test_a_corrected_mask_is_semiautomatic(study: Study, tmp_path: Path) -> None:
    name = "p01_004_t1-mprage"
    study.rounds.pseudo_label_path(0, name).parent.mkdir(parents=True)
    mask = tmp_path / "p01_004_mask.nii.gz"
    study.rounds.pseudo_label_path(0, name).write_bytes(mask.read_bytes())
    out = tmp_path / "segs"
    command = ["masks", str(study.folder), "--out", str(out), "--as", "dicom-seg"]

    def kind() -> str:
        assert main(command) == OK
        seg = pydicom.dcmread(out / f"{name}_desc-brain_seg.dcm")
        return str(seg.SegmentSequence[0].SegmentAlgorithmType)

    assert kind() == "AUTOMATIC"
    assert main(["decide", str(study.folder), name, "correct", "--mask", str(mask)]) == OK
    assert kind() == "SEMIAUTOMATIC"
    painted = study.masks.load(name, mask)
    study.masks.save(name, painted, "painted")
    assert kind() == "MANUAL"
    study.masks.save(name, painted, "painted", source="suggested by a network")
    assert kind() == "SEMIAUTOMATIC"


def test_a_source_that_is_gone_is_told_and_found_again(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").rename(tmp_path / "moved")
    command = ["masks", str(study.folder), "--out", str(tmp_path / "segs"), "--as", "dicom-seg"]
    assert main(command) == NOTHING_DONE
    told = " ".join(capsys.readouterr().out.split())
    assert "p01_003_t1-mprage: Its source, series 3 (t1_mprage)" in told
    assert main([*command, "--dicom", str(tmp_path / "moved")]) == OK


def test_a_scan_that_was_no_dicom_is_told_and_the_rest_goes_on(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.nii.gz"
    values = np.random.default_rng(0).integers(0, 99, (9, 9, 9)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.eye(4)), own)
    (name,) = study.scans.add([own])
    study.masks.save(name, np.indices((9, 9, 9)).sum(axis=0) > 12, "painted")
    command = ["masks", str(study.folder), "--out", str(tmp_path / "segs"), "--as", "dicom-seg"]
    assert main(command) == SOME_FAILED
    assert "not converted from DICOM" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "options",
    [["--as", "dicom-seg", "--brain"], ["--as", "dicom-seg", "--layout", "bids"], ["--dicom", "x"]],
)
def test_options_that_do_not_go_together(study: Study, tmp_path: Path, options: list[str]) -> None:
    command = ["masks", str(study.folder), "--out", str(tmp_path / "segs"), *options]
    assert main(command) == USER_MISTAKE
