"""The table beside applied masks: written, read, and refused when it is something else."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from napari_singlestrip.applied_table import AppliedRow, add_row, read_table
from napari_singlestrip.errors import UserError

ROWS = (
    AppliedRow("a", 1234.5, 0.0125, "", "a_mask.nii.gz", "/scans/a.nii.gz", "study, round 1"),
    AppliedRow("b, with a comma", flag='it said "no"\nand stopped', file="/scans/b.nii.gz"),
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    for row in ROWS:
        add_row(tmp_path / "new" / "volumes.csv", row)
    first, second = read_table(tmp_path / "new" / "volumes.csv")
    assert first == ROWS[0]
    assert (second.scan, second.flag, second.mask) == (ROWS[1].scan, ROWS[1].flag, "")
    assert math.isnan(second.volume_ml) and math.isnan(second.autoencoder_error)


def test_a_row_replaces_that_of_its_scan_alone(tmp_path: Path) -> None:
    path = tmp_path / "volumes.csv"
    for row in (*ROWS, AppliedRow("a", 5.0, 0.5)):
        add_row(path, row)
    first, second = read_table(path)
    assert (first.scan, first.volume_ml, second.scan) == ("a", 5.0, ROWS[1].scan)


def test_jobs_that_write_at_once_lose_no_row(tmp_path: Path) -> None:
    def write(part: int) -> None:
        for i in range(20):
            add_row(tmp_path / "volumes.csv", AppliedRow(f"{part}-{i}", 1.0, 0.1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert len(read_table(tmp_path / "volumes.csv")) == 80


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UserError, match="file"):
        add_row(tmp_path / "file" / "volumes.csv", ROWS[0])


def test_no_table_has_no_rows(tmp_path: Path) -> None:
    assert read_table(tmp_path / "volumes.csv") == ()


def test_a_table_of_an_older_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "volumes.csv"
    path.write_text("scan,volume_ml,autoencoder_error,flag,mask\na,10,0.1,,a.nii.gz\n")
    assert read_table(path) == (AppliedRow("a", 10.0, 0.1, "", "a.nii.gz"),)


@pytest.mark.parametrize("content", [b"name,x\na,1\n", b"\xff\xfe\x00", b"scan,volume_ml\na,b\n"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "volumes.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"volumes\.csv"):
        read_table(path)
