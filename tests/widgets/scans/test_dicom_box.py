"""DICOM in the window: a folder is dropped, series are ticked, converted, and become a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dicom_series import Head
from gui_fixtures import child, click, wait_until
from qtpy.QtCore import Qt

pytest.importorskip("dcm2niix", reason="the extra dicom is not installed")
pytest_plugins = ("gui_fixtures",)

Window = Any


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    Head().write(folder / "a")
    Head(number=4, description="t2_gap", left_out=(5,)).write(folder / "b")
    Head(number=5, name="Else^Other", patient_id="8", directions=(0, 1, 0, 0, 0, -1)).write(
        folder / "c"
    )
    return folder


def show_list(window: Window, folder: Path) -> Any:
    window.take_files([folder])
    table = child(window, "dicom_list")
    wait_until(lambda: table.topLevelItemCount() == 3)
    return table


def test_ticked_series_become_a_study(window: Window, folder: Path, tmp_path: Path) -> None:
    table = show_list(window, folder)
    convert = child(window, "dicom_convert")
    assert not convert.isEnabled()
    lines = [[table.topLevelItem(n).text(c) for c in range(3)] for n in range(3)]
    assert lines[0] == [
        "3 t1_mprage (person 1)", "10", "axial, 20 x 16 x 10, 2 x 2.5 x 3"
    ]
    assert "1 slice is missing" in lines[1][2]
    assert "Sommerfeldt" not in str(lines)
    assert not table.topLevelItem(1).flags() & Qt.ItemFlag.ItemIsEnabled
    for n in (0, 2):
        table.topLevelItem(n).setCheckState(0, Qt.CheckState.Checked)
    assert convert.text() == "Convert 2 series"
    assert child(window, "dicom_out").text() == str(tmp_path / "export_scans")
    click(convert)
    wait_until(lambda: child(window, "place").isVisible(), "the question", 60)
    assert "2 scans found" in child(window, "place_question").text()
    click(child(window, "place_ok"))
    wait_until(lambda: window.session.study is not None)
    assert window.session.study.scans.names == ("p01_003_t1-mprage", "p02_005_t1-mprage")
    assert (window.session.study.folder / "dicom_sources.json").is_file()
    assert not child(window, "dicom_box").isVisible()


def test_cancel_leaves_everything_as_it_was(window: Window, folder: Path, tmp_path: Path) -> None:
    show_list(window, folder)
    assert not child(window, "empty").isVisible()
    click(child(window, "dicom_cancel"))
    assert not child(window, "dicom_box").isVisible()
    assert child(window, "empty").isVisible()
    assert not (tmp_path / "export_scans").exists()
