"""The table beside applied masks: written, read, and refused when it is something else."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from napari_singlestrip.errors import UserError
from napari_singlestrip.files.atomic import write_text_atomic
from napari_singlestrip.study import volumes_table as applied_table
from napari_singlestrip.study.volumes_table import AppliedRow, add_row, read_table, tidy

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


def test_rows_are_appended_and_a_thousand_are_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, whole = tmp_path / "volumes.csv", []

    def write(path: Path, text: str) -> None:
        whole.append(len(text))
        write_text_atomic(path, text)

    monkeypatch.setattr(applied_table, "write_text_atomic", write)
    monkeypatch.setattr("os.fsync", lambda _: None)
    for n in range(300):
        add_row(path, AppliedRow(f"scan-{n % 250}", float(n), 0.1))
    assert len(whole) == 1  # the first row, with the header
    assert len(path.read_text().splitlines()) == 301
    rows = read_table(path)
    assert [row.scan for row in rows] == [f"scan-{n}" for n in range(250)]
    assert (rows[0].volume_ml, rows[249].volume_ml) == (250.0, 249.0)  # the last one counts
    tidy(path)
    assert len(path.read_text().splitlines()) == 251
    assert read_table(path) == rows


@pytest.mark.parametrize(
    "half",
    [
        "b", "b,12", 'b,1,0.1,"it said\n', "b,1,0.1,,m,/f,model,abc",
        f"b,1,0.1,,m,/f,model,{'0' * 16},{'1' * 16},abc",
    ],
)
def test_half_a_line_of_a_killed_job_costs_that_line_alone(tmp_path: Path, half: str) -> None:
    path = tmp_path / "volumes.csv"
    add_row(path, ROWS[0])
    with path.open("a") as file:
        file.write(half)
    assert read_table(path)[0] == ROWS[0]
    tidy(path)
    add_row(path, ROWS[1])
    rows = {row.scan: row for row in read_table(path)}
    assert rows["a"] == ROWS[0] and rows[ROWS[1].scan].flag == ROWS[1].flag
    assert not rows.get("b", ROWS[0]).brain_mask_digest


def test_a_table_of_an_older_version_gets_the_new_columns(tmp_path: Path) -> None:
    path = tmp_path / "volumes.csv"
    path.write_text("scan,volume_ml,autoencoder_error,flag,mask\r\na,10,0.1,,a.nii.gz\r\n")
    add_row(path, ROWS[1])
    assert [row.scan for row in read_table(path)] == ["a", ROWS[1].scan]
    assert path.read_text().splitlines()[0].endswith(",mask_digest,brain_mask_digest")


def test_names_are_no_formulas_and_files_are_found_again(tmp_path: Path) -> None:
    path = tmp_path / "volumes.csv"
    row = AppliedRow(
        "=cmd|'/c calc'!A1", 1.0, 0.1, "-flag", "@m.nii.gz", "/M\udcfcller\n/a.nii", "+model",
        "0" * 16, "1" * 16, "2" * 16,
    )
    add_row(path, row)
    assert read_table(path) == (row,)
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) == 2
    assert not any(cell.startswith(("=", "@", "-", "+")) for cell in text.split(","))
