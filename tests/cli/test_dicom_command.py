from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from dicom_series import Head

from napari_singlestrip.cli.app import main
from napari_singlestrip.errors import NOTHING_DONE, OK, SOME_FAILED, USER_MISTAKE

pytest.importorskip("dcm2niix", reason="the extra dicom is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Head().write(tmp_path / "in" / "a")
    Head(number=4, description="t2_gap", left_out=(5,)).write(tmp_path / "in" / "b")
    return tmp_path / "in"


def test_lists_and_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.rglob("*"))
    assert main(["dicom", str(folder)]) == OK
    said = " ".join(capsys.readouterr().out.split())
    assert "t1_mprage" in said
    assert "20 x 16 x 10" in said
    assert "missing" in said
    assert "Sommerfeldt" not in said
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("series", "code"),
    [("1", OK), ("1,2", SOME_FAILED), ("2", NOTHING_DONE), ("all", SOME_FAILED),
     ("3", USER_MISTAKE)],
)
def test_exit_codes(folder: Path, tmp_path: Path, series: str, code: int) -> None:
    out = tmp_path / "out"
    assert main(["dicom", str(folder), "--series", series, "--out", str(out)]) == code
    assert len(list(out.glob("*.nii.gz"))) == (code in (OK, SOME_FAILED))


def test_all_leaves_out_what_is_no_volume_and_goes_on_after_damage(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(folder / "b")
    Head(number=5, description="localiser", size=(20, 16, 1)).write(folder / "c")
    out = tmp_path / "out"
    assert main(["dicom", str(folder), "--series", "all", "--out", str(out)]) == OK
    Head(number=6, description="cut_off").write(folder / "d")
    Head(number=7, description="flair").write(folder / "e")
    one = sorted((folder / "d").iterdir())[3]
    one.write_bytes(one.read_bytes()[:-300])
    capsys.readouterr()
    assert main(["dicom", str(folder), "--series", "all", "--out", str(out)]) == SOME_FAILED
    said = " ".join("".join(capsys.readouterr()).split())
    assert "(cut_off): dcm2niix could not convert it: one of its files may be cut off" in said
    assert {path.name for path in out.glob("*.nii.gz")} == {
        "p01_003_t1-mprage.nii.gz", "p01_007_flair.nii.gz",
    }  # fmt: skip


def test_half_a_command_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dicom", str(folder), "--series", "1"]) == USER_MISTAKE
    assert "belong together" in capsys.readouterr().err


def test_a_study_of_dicom_files_says_how_to_convert_them(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", str(tmp_path / "study"), str(folder)]) == USER_MISTAKE
    assert f"singlestrip dicom {folder}" in " ".join(capsys.readouterr().err.split())


def test_converted_scans_make_a_study(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "scans"
    assert main(["dicom", str(folder), "--series", "1", "--out", str(out)]) == OK
    assert main(["new", str(tmp_path / "study"), str(out)]) == OK


def test_a_folder_of_dicom_files_that_is_not_there_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["masks", str(tmp_path), "--out", str(tmp_path / "out"), "--as", "dicom-seg"]
    assert main([*arguments, "--dicom", str(tmp_path / "nowhere")]) == USER_MISTAKE
    assert "There is no folder" in capsys.readouterr().err
